//! `pnnlab ports`: the serial ports of this computer and what answers there, and its audio interfaces.

use clap::Args;
use comfy_table::{ContentArrangement, Table, presets};
use drivers::audio::{FoundInterface, Offer};
use drivers::{FoundPort, find_ports, who_answers};
use serde_json::{Value, json};

/// `pnnlab ports`.
#[derive(Debug, Args)]
pub struct PortsArgs {
    /// Opens nothing: a board that resets when its port is opened is left alone
    #[arg(long)]
    pub quiet: bool,
    /// Prints one JSON object on standard output
    #[arg(long)]
    pub json: bool,
}

/// Lists them.
pub fn run(arguments: &PortsArgs) {
    let ports: Vec<(FoundPort, String)> = find_ports()
        .into_iter()
        .map(|port| {
            let answer = if arguments.quiet { "not asked".to_owned() } else { who_answers(&port.path) };
            (port, answer)
        })
        .collect();
    // Without an audio library nobody knows which there are.
    #[cfg(feature = "audio")]
    let interfaces = Some(drivers::audio::find_interfaces(!arguments.quiet));
    #[cfg(not(feature = "audio"))]
    let interfaces: Option<Vec<FoundInterface>> = None;
    if arguments.json {
        say!("{:#}", as_json(&ports, interfaces.as_deref()));
        return;
    }
    print_ports(ports);
    match interfaces {
        None => say!("audio interfaces are not listed: this pnnlab was built without `--features audio`"),
        Some(interfaces) => print_interfaces(interfaces, arguments.quiet),
    }
}

/// The object that other programs read.
fn as_json(ports: &[(FoundPort, String)], interfaces: Option<&[FoundInterface]>) -> Value {
    let port = |(port, answer): &(FoundPort, String)| json!({ "address": format!("serial://{}", port.path), "usb": port.usb, "answers": answer });
    let offer = |offer: &Option<Offer>| {
        offer.map(|Offer { channels, lowest_hertz, highest_hertz }| {
            json!({ "channels": channels, "lowest_hertz": lowest_hertz, "highest_hertz": highest_hertz })
        })
    };
    let interface = |found: &FoundInterface| {
        json!({
            "address": found.address,
            "description": found.description,
            "output": offer(&found.output),
            "input": offer(&found.input),
        })
    };
    let audio = interfaces.map(|interfaces| interfaces.iter().map(interface).collect::<Vec<_>>());
    json!({ "ports": ports.iter().map(port).collect::<Vec<_>>(), "audio": audio })
}

fn print_ports(ports: Vec<(FoundPort, String)>) {
    if ports.is_empty() {
        say!("no serial ports; pseudo-terminals are not listed");
        return;
    }
    let rows = ports
        .into_iter()
        .map(|(port, answer)| [format!("serial://{}", port.path), port.usb.unwrap_or_default(), answer]);
    say!("{}", table(["address", "USB", "answers"], rows));
}

fn print_interfaces(interfaces: Vec<FoundInterface>, is_quiet: bool) {
    if interfaces.is_empty() {
        say!("no audio interfaces");
        return;
    }
    let nothing = if is_quiet { "not asked" } else { "nothing" };
    let offers = |offer: Option<Offer>| offer.map_or_else(|| nothing.to_owned(), |offer| offer.to_string());
    let rows = interfaces.into_iter().map(|found| [found.address, offers(found.output), offers(found.input)]);
    say!("{}", table(["address", "plays", "records"], rows));
}

fn table(header: [&str; 3], rows: impl Iterator<Item = [String; 3]>) -> Table {
    let mut table = Table::new();
    table.load_preset(presets::UTF8_HORIZONTAL_ONLY).set_content_arrangement(ContentArrangement::Dynamic);
    table.set_header(header).add_rows(rows);
    table
}
