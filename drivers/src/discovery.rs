//! The serial ports of this computer, and what answers there.

use std::time::Duration;

use serialport::SerialPortType;

use crate::dialogue::shown;
use crate::pnnlink::link::{Options, Pnnlink};
use crate::{Address, Error, Link, LinkOptions, Plant, Scpi, ScpiRequest};

/// An instrument that does not say who it is within this speaks another protocol.
const ANSWER: Duration = Duration::from_millis(400);

/// A serial port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundPort {
    /// Such as `/dev/ttyACM0`.
    pub path: String,
    /// Vendor and product number with maker, product and serial number, if it is on USB.
    pub usb: Option<String>,
}

/// The serial ports that the system lists, by path.
pub fn find_ports() -> Vec<FoundPort> {
    let mut found: Vec<FoundPort> = serialport::available_ports()
        .unwrap_or_default()
        .into_iter()
        .map(|port| FoundPort { path: port.port_name, usb: usb(port.port_type) })
        .collect();
    found.sort_by(|a, b| a.path.cmp(&b.path));
    found
}

/// What a USB port says of itself.
fn usb(port: SerialPortType) -> Option<String> {
    let SerialPortType::UsbPort(usb) = port else { return None };
    let words = [usb.manufacturer, usb.product, usb.serial_number].into_iter().flatten();
    Some(words.fold(format!("{:04x}:{:04x}", usb.vid, usb.pid), |text, word| text + " " + &word))
}

/// Who answers on a serial port, `*IDN?` or the hello of pnnlink, or why nobody does. A board is made safe when it is left.
pub fn who_answers(path: &str) -> String {
    let address = Address::Serial { path: path.into(), baud: 115_200 };
    let options = LinkOptions { open_within: ANSWER, ..LinkOptions::new(path, address) };
    let asked = Link::open(Scpi::new("", vec![]).numbered(false), &options)
        .and_then(|link| link.ask(ScpiRequest::Identity, ANSWER));
    match asked {
        Ok(answers) => answers.first().map(|answer| shown(answer)).unwrap_or_default(),
        Err(Error::Owned { owner, .. }) => format!("held by {owner}"),
        Err(Error::Unreachable { message, .. }) => format!("cannot be opened: {message}"),
        Err(_) => Pnnlink::open(&options, Options { deadline: ANSWER, ..Options::default() }).map_or_else(
            |_| "nothing that speaks SCPI or pnnlink".to_owned(),
            |board| format!("pnnlink: {} {}", board.card().identity.system, board.card().identity.serial),
        ),
    }
}
