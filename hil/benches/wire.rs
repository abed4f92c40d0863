//! What a query costs through a link against a bare socket or serial port, in one run: `cargo bench -p hil --bench wire`.
//!
//! All talk to the same simulated instrument and take turns, so that whatever else the machine does strikes all alike. `numbered` is
//! what plants use: the same query with the number of the exchange and the event register, in the same write.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use drivers::{Address, Link, LinkOptions, Scpi, ScpiRequest, WaveformConfig};
use hil::{Faults, ScpiBox, Served, SimulatedRedPitaya, WaveformWorld, Wire, serve_scpi};
use sims::Electrical;

/// Queries of each kind in a turn.
const TURN: usize = 200;
/// Turns.
const TURNS: usize = 25;
/// The longest wait.
const WITHIN: Duration = Duration::from_secs(2);

fn main() {
    for wire in [Wire::Tcp { port: 0 }, Wire::Pty { link: None, baud: None }] {
        // An instrument each: a serial port has one user.
        let (bare, linked, numbered) = (serve(&wire), serve(&wire), serve(&wire));
        let mut port = open_bare(&bare.address);
        let (plain, full) = (open(&linked.address, false), open(&numbered.address, true));
        let mut seconds = [vec![], vec![], vec![]];
        for _ in 0..TURNS {
            time(&mut seconds[0], || ask_bare(port.as_mut()));
            time(&mut seconds[1], || drop(plain.ask(ScpiRequest::Query(b"*IDN?".to_vec()), WITHIN).unwrap()));
            time(&mut seconds[2], || drop(full.ask(ScpiRequest::Query(b"*IDN?".to_vec()), WITHIN).unwrap()));
        }
        let [bare, linked, numbered] = seconds.map(quantiles);
        println!("{}", if matches!(wire, Wire::Tcp { .. }) { "TCP" } else { "pseudo-terminal" });
        for (name, [p50, p99]) in [("bare", bare), ("link", linked), ("link, numbered", numbered)] {
            println!(
                "  {name:16} p50 {:6.1} µs ({:.2} ×)   p99 {:6.1} µs ({:.2} ×)",
                1e6 * p50,
                p50 / bare[0],
                1e6 * p99,
                p99 / bare[1]
            );
        }
    }
}

/// A simulated instrument.
fn serve(wire: &Wire) -> Served {
    let waveform = WaveformConfig {
        samples: 16,
        rest_samples: 8,
        sample_rate_hertz: 1e6,
        drive_volts: 1.0,
        reading_volts: 1.0,
        burst_samples: 100,
        retries: 0,
    };
    let system = Electrical { samples: 16, ..Electrical::default() }.build().unwrap().system;
    let world = Arc::new(Mutex::new(WaveformWorld::new(system, &waveform, Faults::new(0))));
    let instrument = ScpiBox::new(Box::new(SimulatedRedPitaya::new(world, "SIM-1")));
    serve_scpi(instrument, wire, Faults::new(0)).unwrap()
}

/// A link without or with numbers.
fn open(address: &Address, numbered: bool) -> Link<Scpi> {
    Link::open(Scpi::new("", vec![]).numbered(numbered), &LinkOptions::new("instrument", address.clone())).unwrap()
}

/// What a bare port does.
trait Bare: Read + Write {}

impl<T: Read + Write> Bare for T {}

fn open_bare(address: &Address) -> Box<dyn Bare> {
    match address {
        Address::Tcp { host, port } => {
            let stream = TcpStream::connect((host.as_str(), *port)).unwrap();
            stream.set_nodelay(true).unwrap();
            Box::new(stream)
        }
        Address::Serial { path, .. } => {
            Box::new(std::fs::OpenOptions::new().read(true).write(true).open(path).unwrap())
        }
        Address::Audio { .. } | Address::Replay { .. } => unreachable!("nothing is heard or replayed here"),
    }
}

fn ask_bare(port: &mut dyn Bare) {
    port.write_all(b"*IDN?\n").unwrap();
    let (mut answer, mut count) = ([0; 256], 0);
    while count == 0 || answer[count - 1] != b'\n' {
        count += port.read(&mut answer[count..]).unwrap();
    }
}

/// The times of one turn.
fn time(seconds: &mut Vec<f64>, mut work: impl FnMut()) {
    for _ in 0..TURN {
        let start = Instant::now();
        work();
        seconds.push(start.elapsed().as_secs_f64());
    }
}

/// Half, and all but a hundredth, are below.
fn quantiles(mut seconds: Vec<f64>) -> [f64; 2] {
    seconds.sort_by(f64::total_cmp);
    [seconds[seconds.len() / 2], seconds[seconds.len() * 99 / 100]]
}
