//! `pnnlab ports`: the serial ports of this computer, and what answers there.

use clap::Args;
use comfy_table::{ContentArrangement, Table, presets};
use drivers::{FoundPort, find_ports, who_answers};
use serde_json::json;

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
    if arguments.json {
        let ports: Vec<_> = ports
            .iter()
            .map(|(port, answer)| json!({ "address": format!("serial://{}", port.path), "usb": port.usb, "answers": answer }))
            .collect();
        say!("{:#}", json!({ "ports": ports }));
        return;
    }
    if ports.is_empty() {
        say!("no serial ports; pseudo-terminals are not listed");
        return;
    }
    let mut table = Table::new();
    table.load_preset(presets::UTF8_HORIZONTAL_ONLY).set_content_arrangement(ContentArrangement::Dynamic);
    table.set_header(["address", "USB", "answers"]);
    for (port, answer) in ports {
        table.add_row([format!("serial://{}", port.path), port.usb.unwrap_or_default(), answer]);
    }
    say!("{table}");
}
