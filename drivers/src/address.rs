//! Where an instrument is: `PyVISA` resource strings and URLs, read and written.
//!
//! ```text
//! TCPIP0::192.168.1.5::5025::SOCKET    tcp://192.168.1.5:5025      a raw socket
//! ASRL/dev/ttyUSB0::INSTR              serial:///dev/ttyUSB0?baud=9600
//! /dev/pts/3                           a serial port or pseudo-terminal by its path
//! audio://hw:CARD=Box,DEV=0              an audio interface, by the name that the system gives it
//! replay://bench.jsonl                 a recorded dialogue
//! ```
//!
//! The grammar of resource strings is that of VPP-4.3 as `PyVISA` reads it.

use std::path::PathBuf;
use std::str::FromStr;

use crate::Error;

/// What VISA takes for `ASRL…::INSTR` unless told otherwise.
const VISA_BAUD: u32 = 9_600;
/// What other serial addresses take; USB CDC and pseudo-terminals ignore it.
const BAUD: u32 = 115_200;

/// Where an instrument is.
///
/// ```
/// use drivers::Address;
///
/// let address: Address = "TCPIP0::192.168.1.50::5000::SOCKET".parse()?;
/// assert_eq!(address, Address::Tcp { host: "192.168.1.50".into(), port: 5000 });
/// assert_eq!("tcp://192.168.1.50:5000".parse::<Address>()?, address);
/// assert!("192.168.1.50".parse::<Address>().is_err(), "it lacks a port");
/// # Ok::<(), drivers::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Address {
    /// A raw TCP socket.
    Tcp {
        /// Name or number.
        host: String,
        /// Port.
        port: u16,
    },
    /// A serial port or pseudo-terminal.
    Serial {
        /// Such as `/dev/ttyACM0`.
        path: PathBuf,
        /// Symbols a second.
        baud: u32,
    },
    /// An audio interface.
    Audio {
        /// As the system calls it, such as `hw:CARD=Box,DEV=0`.
        device: String,
    },
    /// A recorded dialogue.
    Replay {
        /// The recording.
        path: PathBuf,
    },
}

impl FromStr for Address {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let refuse = |message: &str| Error::Address { text: text.to_owned(), message: message.to_owned() };
        if let Some(rest) = text.strip_prefix("tcp://") {
            return tcp(rest.trim_end_matches('/'), ':').map_err(|message| refuse(&message));
        }
        if let Some(rest) = text.strip_prefix("serial://") {
            return serial(rest).map_err(|message| refuse(&message));
        }
        if let Some(rest) = text.strip_prefix("replay://") {
            return if rest.is_empty() {
                Err(refuse("names no file: write replay://FILE"))
            } else {
                Ok(Self::Replay { path: rest.into() })
            };
        }
        if let Some(device) = text.strip_prefix("audio://") {
            return if device.trim().is_empty() {
                Err(refuse("names no audio interface: write audio://NAME, as in audio://hw:CARD=Box,DEV=0"))
            } else {
                Ok(Self::Audio { device: device.to_owned() })
            };
        }
        if text.starts_with('/') {
            return Ok(Self::Serial { path: text.into(), baud: BAUD });
        }
        if text.contains("::") {
            return visa(text).map_err(|message| refuse(&message));
        }
        Err(refuse(
            "is not an address: write TCPIP0::HOST::PORT::SOCKET, ASRL/dev/TTY::INSTR, tcp://HOST:PORT, \
             serial:///dev/TTY?baud=N, audio://NAME, replay://FILE or the path of a serial port",
        ))
    }
}

impl std::fmt::Display for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Tcp { host, port } if host.contains(':') => write!(f, "tcp://[{host}]:{port}"),
            Self::Tcp { host, port } => write!(f, "tcp://{host}:{port}"),
            Self::Serial { path, baud } => write!(f, "serial://{}?baud={baud}", path.display()),
            Self::Audio { device } => write!(f, "audio://{device}"),
            Self::Replay { path } => write!(f, "replay://{}", path.display()),
        }
    }
}

impl Address {
    /// Whether it admits one connection only: then nobody can make the instrument safe beside its holder.
    pub fn is_exclusive(&self) -> bool {
        matches!(self, Self::Serial { .. } | Self::Audio { .. })
    }

    /// The resource string that `PyVISA` opens; audio interfaces and recordings have none.
    pub fn visa(&self) -> Option<String> {
        match self {
            Self::Tcp { host, port } => Some(format!("TCPIP0::{host}::{port}::SOCKET")),
            Self::Serial { path, .. } => Some(format!("ASRL{}::INSTR", path.display())),
            Self::Audio { .. } | Self::Replay { .. } => None,
        }
    }
}

/// `HOST<separator>PORT`, where a number of version 6 may stand in brackets.
fn tcp(text: &str, separator: char) -> Result<Address, String> {
    let (host, port) =
        text.rsplit_once(separator).ok_or("has no port: write it after the host, as in tcp://192.168.1.5:5025")?;
    let host = host.trim_end_matches(separator);
    let host = host.strip_prefix('[').and_then(|inner| inner.strip_suffix(']')).unwrap_or(host);
    let number = port.parse().ok().filter(|number| *number != 0);
    let port = number.ok_or(format!("has the port `{port}`: it must be a number from 1 to 65535"))?;
    if host.is_empty() || host.contains(char::is_whitespace) {
        return Err("has no host: give a name or a number".to_owned());
    }
    Ok(Address::Tcp { host: host.to_owned(), port })
}

/// `PATH?baud=N`.
fn serial(text: &str) -> Result<Address, String> {
    let (path, query) = text.split_once('?').map_or((text, None), |(path, query)| (path, Some(query)));
    if path.is_empty() {
        return Err("names no serial port: write serial:///dev/ttyACM0".to_owned());
    }
    let baud = match query {
        None => BAUD,
        Some(query) => {
            let number = query.strip_prefix("baud=").ok_or(format!("has `?{query}`: only `?baud=N` is known here"))?;
            number
                .parse()
                .ok()
                .filter(|baud| 0 < *baud)
                .ok_or(format!("has the baud rate `{number}`: give a whole number from 1 to 4294967295"))?
        }
    };
    Ok(Address::Serial { path: path.into(), baud })
}

/// A resource string.
fn visa(text: &str) -> Result<Address, String> {
    let (interface, rest) = text.split_once("::").ok_or("is not a resource string")?;
    let (middle, class) = rest.rsplit_once("::").map_or(("", rest), |(middle, class)| (middle, class));
    let upper = interface.to_ascii_uppercase();
    match (upper.as_str(), class.to_ascii_uppercase().as_str()) {
        (board, "SOCKET") if is_board(board, "TCPIP") => {
            tcp(&middle.replace("::", "\u{1}"), '\u{1}').map(|address| match address {
                Address::Tcp { host, port } => Address::Tcp { host: host.replace('\u{1}', "::"), port },
                other => other,
            })
        }
        (port, "INSTR") if port.starts_with("ASRL") => {
            let path = &interface["ASRL".len()..];
            if path.starts_with('/') {
                Ok(Address::Serial { path: path.into(), baud: VISA_BAUD })
            } else {
                Err("names a serial port by number: give its path, as in ASRL/dev/ttyUSB0::INSTR".to_owned())
            }
        }
        (board, "INSTR") if is_board(board, "TCPIP") => Err(
            "asks for VXI-11 or HiSLIP, which is not spoken here: use the instrument's raw socket, TCPIP0::HOST::5025::SOCKET"
                .to_owned(),
        ),
        ("GPIB" | "USB", _) => Err(foreign_bus()),
        (board, _) if is_board(board, "GPIB") || is_board(board, "USB") => Err(foreign_bus()),
        _ => Err("is not a resource string that is known here: write TCPIP0::HOST::PORT::SOCKET or ASRL/dev/TTY::INSTR"
            .to_owned()),
    }
}

/// Why USB and GPIB are refused.
fn foreign_bus() -> String {
    "is on a bus that is not spoken here: use the instrument's raw socket or serial port".to_owned()
}

/// Whether `text` is `name` with or without a board number.
fn is_board(text: &str, name: &str) -> bool {
    text.strip_prefix(name).is_some_and(|number| number.chars().all(|digit| digit.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parse(text: &str) -> Address {
        text.parse().unwrap()
    }

    fn error(text: &str) -> String {
        text.parse::<Address>().unwrap_err().to_string()
    }

    #[test]
    fn resource_strings_and_urls_say_the_same() {
        let socket = Address::Tcp { host: "192.168.1.5".into(), port: 5025 };
        assert_eq!(parse("TCPIP0::192.168.1.5::5025::SOCKET"), socket);
        assert_eq!(parse("tcpip::192.168.1.5::5025::socket"), socket);
        assert_eq!(parse("tcp://192.168.1.5:5025"), socket);
        assert_eq!(socket.visa().unwrap(), "TCPIP0::192.168.1.5::5025::SOCKET");
        assert_eq!(parse("tcp://[::1]:5000"), Address::Tcp { host: "::1".into(), port: 5000 });
        assert_eq!(parse("TCPIP0::::1::5000::SOCKET"), Address::Tcp { host: "::1".into(), port: 5000 });
        assert_eq!(parse("ASRL/dev/ttyUSB0::INSTR"), Address::Serial { path: "/dev/ttyUSB0".into(), baud: 9600 });
        assert_eq!(parse("serial:///dev/ttyACM0?baud=921600").to_string(), "serial:///dev/ttyACM0?baud=921600");
        assert_eq!(parse("/dev/pts/3"), Address::Serial { path: "/dev/pts/3".into(), baud: 115_200 });
        assert_eq!(parse("audio://hw:CARD=Box,DEV=0"), Address::Audio { device: "hw:CARD=Box,DEV=0".into() });
        assert!(parse("audio://pulse").is_exclusive() && parse("audio://pulse").visa().is_none());
        assert_eq!(parse("replay://a/b.jsonl"), Address::Replay { path: "a/b.jsonl".into() });
    }

    #[test]
    fn what_cannot_be_opened_is_refused_with_what_to_write() {
        assert!(error("tcp://host").contains("`tcp://host` has no port"));
        assert!(error("tcp://host:70000").contains("has the port `70000`"));
        assert!(error("tcp://host:0").contains("a number from 1 to 65535"));
        assert!(error("tcp://:5025").contains("has no host"));
        assert!(error("serial:///dev/ttyACM0?speed=3").contains("only `?baud=N`"));
        assert!(error("serial:///dev/ttyACM0?baud=0").contains("a whole number from 1"));
        assert!(error("TCPIP0::scope::inst0::INSTR").contains("raw socket"));
        assert!(error("USB0::0x1234::5::SN::INSTR").contains("bus that is not spoken"));
        assert!(error("GPIB0::22::INSTR").contains("bus that is not spoken"));
        assert!(error("ASRL1::INSTR").contains("give its path"));
        assert!(error("nonsense").contains("is not an address"));
        assert!(error("audio:// ").contains("names no audio interface"));
        assert!(error("replay://").contains("names no file"));
    }

    proptest! {
        #[test]
        fn every_address_is_read_as_it_was_written(host in "[a-z0-9.-]{1,20}", port in 1_u16.., path in "/[a-z/0-9A-Z]{1,20}", baud in 1_u32..4_000_000) {
            for address in [
                Address::Tcp { host, port },
                Address::Serial { path: path.clone().into(), baud },
                Address::Audio { device: path.clone() },
                Address::Replay { path: path.into() },
            ] {
                prop_assert_eq!(&parse(&address.to_string()), &address);
                if let (Some(text), Address::Tcp { .. }) = (address.visa(), &address) {
                    prop_assert_eq!(&parse(&text), &address);
                }
            }
        }

        #[test]
        fn garbage_never_panics(text in "\\PC{0,40}") {
            let _ = text.parse::<Address>();
        }
    }
}
