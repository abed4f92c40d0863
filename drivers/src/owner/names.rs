//! Under which names an instrument is locked: where it really is, however its address is spelled, and who it says that it is.
//!
//! A host is looked up, and each of its addresses is a name; all that lead to this machine's loopback are one. A serial port is the
//! device behind all links to it, an audio interface the card. An instrument that says its serial number has that as a further name:
//! so the same instrument by two ways is found out, a name server or a forwarded port between.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr, SocketAddrV6, ToSocketAddrs};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;
use std::sync::mpsc::channel;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use md5::{Digest, Md5};

use crate::Address;

/// A name server that takes longer is not waited for.
const LOOKUP: Duration = Duration::from_secs(3);
/// Hosts that were looked up: what waits for a lock to become free asks often.
static KNOWN: Mutex<BTreeMap<String, Vec<String>>> = Mutex::new(BTreeMap::new());
/// The longest name as it is: the kernel has room for some hundred bytes.
const LONGEST: usize = 80;
/// What instruments say that have no serial number.
const NO_NUMBER: [&str; 8] = ["none", "unknown", "n/a", "na", "null", "serial", "default", "not available"];

/// The names of the instrument at `address`, in their order; none for a recording.
pub(crate) fn names(address: &Address) -> Vec<String> {
    let mut names = match address {
        Address::Tcp { host, port } => hosts(host, *port).iter().map(|host| format!("tcp-{host}-{port}")).collect(),
        Address::Serial { path, .. } => vec![serial(path)],
        Address::Audio { device } => vec![format!("audio-{}", card(device))],
        Address::Replay { .. } => vec![],
    };
    for name in &mut names {
        *name = plain(name);
    }
    names.sort();
    names.dedup();
    names
}

/// The name of the instrument of this maker and model that says this serial number, unless that is none: simulated ones of ours
/// (`SIM-1`) share theirs.
pub(crate) fn numbered(maker: &str, model: &str, serial: &str) -> Option<String> {
    let number = serial.trim().to_lowercase();
    let is_number = is_serial_number(serial) && !number.starts_with("sim");
    is_number.then(|| plain(&format!("number-{}-{}-{number}", maker.trim(), model.trim()).to_lowercase()))
}

/// Whether what an instrument says for its serial number tells it from others.
pub(crate) fn is_serial_number(serial: &str) -> bool {
    let number = serial.trim().to_lowercase();
    let tells = number.len() > 1 && number.chars().any(|letter| letter.is_ascii_alphanumeric() && letter != '0');
    tells && !NO_NUMBER.contains(&number.as_str())
}

/// The addresses of a host; the host itself where nobody knows any.
fn hosts(host: &str, port: u16) -> Vec<String> {
    if let Ok(address) = host.parse::<IpAddr>() {
        return vec![place(&SocketAddr::new(address, port))];
    }
    if let Some(places) = KNOWN.lock().unwrap_or_else(PoisonError::into_inner).get(host) {
        return places.clone();
    }
    let (found, answer) = channel();
    let wanted = host.to_owned();
    // A name server may keep its caller waiting for minutes; the thread ends when it answers.
    let looks = std::thread::Builder::new().name("name lookup".to_owned()).spawn(move || {
        let places = (wanted.as_str(), port).to_socket_addrs().map(|all| all.map(|one| place(&one)).collect());
        drop(found.send(places.unwrap_or_default()));
    });
    let places: Vec<String> = looks.ok().and_then(|_| answer.recv_timeout(LOOKUP).ok()).unwrap_or_default();
    if places.is_empty() {
        return vec![host.trim_end_matches('.').to_lowercase()];
    }
    KNOWN.lock().unwrap_or_else(PoisonError::into_inner).insert(host.to_owned(), places.clone());
    places
}

/// One address of a host.
fn place(address: &SocketAddr) -> String {
    match (address.ip().to_canonical(), address) {
        // Nobody listens at no address: connecting there leads to this machine.
        (ip, _) if ip.is_unspecified() || ip == IpAddr::from([127, 0, 0, 1]) || ip.is_loopback() && ip.is_ipv6() => {
            "loopback".to_owned()
        }
        // The same address on two networks is two places.
        (ip, SocketAddr::V6(v6)) if v6.scope_id() != 0 => format!("{ip}-{}", SocketAddrV6::scope_id(v6)),
        (ip, _) => ip.to_string(),
    }
}

/// The device behind a path.
fn serial(path: &Path) -> String {
    let whole = std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    match std::fs::metadata(&whole) {
        Ok(found) if found.file_type().is_char_device() => {
            format!("serial-{}-{}", rustix::fs::major(found.rdev()), rustix::fs::minor(found.rdev()))
        }
        _ => format!("serial{}", whole.display()),
    }
}

/// The card of an ALSA name such as `hw:1,0`, `plughw:CARD=Box,DEV=0`, and its device; other names as they are.
fn card(device: &str) -> String {
    let Some((_, arguments)) = device.split_once(':') else { return device.to_owned() };
    let (mut card, mut number) = (None, "0");
    for (place, argument) in arguments.split(',').enumerate() {
        match (argument.trim().split_once('='), place) {
            (Some(("CARD", name)), _) => card = Some(name),
            (Some(("DEV", value)), _) => number = value,
            (None, 0) => card = Some(argument.trim()),
            (None, 1) => number = argument.trim(),
            _ => {}
        }
    }
    let Some(card) = card.filter(|card| !card.is_empty()) else { return device.to_owned() };
    // `/proc/asound/Box` is a link to `card1`.
    let index = std::fs::canonicalize(Path::new("/proc/asound").join(card)).ok();
    let index = index.and_then(|path| Some(path.file_name()?.to_str()?.strip_prefix("card")?.to_owned()));
    format!("{}-{number}", index.unwrap_or_else(|| card.to_owned()))
}

/// A name that files can have, short enough for the kernel.
fn plain(name: &str) -> String {
    let plain: String = name.chars().map(|letter| if letter.is_ascii_alphanumeric() { letter } else { '-' }).collect();
    if plain.len() <= LONGEST {
        return plain;
    }
    let digest = format!("{:032x}", u128::from_be_bytes(Md5::digest(name.as_bytes()).into()));
    format!("{}-{digest}", &plain[..LONGEST - digest.len() - 1])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(address: &str) -> Vec<String> {
        names(&address.parse().unwrap())
    }

    #[test]
    fn one_instrument_has_one_name_however_it_is_spelled() {
        let here = of("tcp://127.0.0.1:5025");
        for spelling in [
            "TCPIP0::127.0.0.1::5025::SOCKET",
            "tcp://localhost:5025",
            "tcp://LOCALHOST:05025",
            "tcp://[::1]:5025",
            "tcp://[::ffff:127.0.0.1]:5025",
            "tcp://0.0.0.0:5025",
            "tcp://127.1:5025",
        ] {
            let names = of(spelling);
            assert!(names.iter().any(|name| here.contains(name)), "{spelling}: {names:?}");
        }
        assert_ne!(of("tcp://127.0.0.2:5025"), here, "a forwarded port of its own");
        assert_ne!(of("tcp://127.0.0.1:5026"), here);
        assert_eq!(of("tcp://No-Such-Host.invalid.:5025"), of("tcp://no-such-host.invalid:5025"));
        assert_eq!(of("tcp://10.0.0.1:5025"), ["tcp-10-0-0-1-5025"]);
        assert!(of("replay://a.jsonl").is_empty());
    }

    #[test]
    fn a_serial_port_is_the_device_behind_its_links() {
        let folder = tempfile::tempdir().unwrap();
        let link = folder.path().join("by-id");
        std::os::unix::fs::symlink("/dev/null", &link).unwrap();
        let twice = folder.path().join("twice");
        std::os::unix::fs::symlink(&link, &twice).unwrap();
        for path in [&link, &twice] {
            assert_eq!(of(&format!("serial://{}?baud=9600", path.display())), ["serial-1-3"]);
        }
        assert_eq!(of("ASRL/dev/null::INSTR"), ["serial-1-3"]);
        assert_eq!(of("/dev/no/such/port"), ["serial-dev-no-such-port"]);
    }

    #[test]
    fn a_card_is_one_by_number_or_name() {
        assert_eq!(of("audio://hw:CARD=NoSuch,DEV=0"), of("audio://plughw:NoSuch"));
        assert_ne!(of("audio://hw:CARD=NoSuch,DEV=0"), of("audio://hw:NoSuch,1"));
        assert_eq!(of("audio://default"), ["audio-default"]);
    }

    #[test]
    fn a_serial_number_is_a_name_where_it_is_one() {
        assert_eq!(numbered("Acme", "GEN 1", "MY123"), Some("number-acme-gen-1-my123".to_owned()));
        assert_eq!(numbered(" acme", "gen 1", "my123 "), numbered("Acme", "GEN 1", "MY123"));
        for none in ["", "0", "0000000", "7", "N/A", "none", "SIM-1", "--"] {
            assert_eq!(numbered("Acme", "GEN", none), None, "{none}");
        }
        let long = "x".repeat(300);
        let name = numbered("Acme", &long, "MY1").unwrap();
        assert_eq!(name.len(), LONGEST);
        assert_ne!(Some(name), numbered("Acme", &long, "MY2"));
    }
}
