//! What a query costs through a link against a bare socket or serial port, in one run: `cargo bench -p hil --bench wire`.
//!
//! All talk to the same simulated instrument and take turns, so that whatever else the machine does strikes all alike. `numbered` is
//! what plants use: the same query with the number of the exchange and the event register, in the same write.
//!
//! The last rows are of a server that writes each answer by itself and without `TCP_NODELAY`, as a Red Pitaya's does: whoever does not
//! acknowledge at once waits 40 ms for the second answer. `bare` there asks for two answers in one write.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
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
        print(&[("bare", bare), ("link", linked), ("link, numbered", numbered)]);
    }
    delayed();
}

/// A server without `TCP_NODELAY`.
fn delayed() {
    let address = serve_delayed();
    let (mut port, full) = (open_bare(&address), open(&address, true));
    let mut seconds = [vec![], vec![]];
    // Each bare turn takes 40 ms a query.
    for _ in 0..20 {
        let start = Instant::now();
        ask_twice(port.as_mut());
        seconds[0].push(start.elapsed().as_secs_f64());
    }
    time(&mut seconds[1], || drop(full.ask(ScpiRequest::Query(b"*IDN?".to_vec()), WITHIN).unwrap()));
    let [bare, numbered] = seconds.map(quantiles);
    println!("TCP, server without TCP_NODELAY");
    print(&[("bare, 2 answers", bare), ("link, numbered", numbered)]);
}

/// Rows beside the first.
fn print(rows: &[(&str, [f64; 2])]) {
    let bare = rows[0].1;
    for (name, [p50, p99]) in rows {
        println!(
            "  {name:16} p50 {:8.1} µs ({:.2} ×)   p99 {:8.1} µs ({:.2} ×)",
            1e6 * p50,
            p50 / bare[0],
            1e6 * p99,
            p99 / bare[1]
        );
    }
}

/// An instrument that writes each answer by itself, and lets the system hold it back.
fn serve_delayed() -> Address {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            std::thread::spawn(move || answer_each(stream));
        }
    });
    Address::Tcp { host: "127.0.0.1".to_owned(), port }
}

fn answer_each(stream: TcpStream) {
    let mut writer = stream.try_clone().unwrap();
    let mut mask = String::new();
    for line in BufReader::new(stream).lines().map_while(Result::ok) {
        let answer = match line.as_str() {
            "*IDN?" => "pnnlab,Delayed (simulated),1,1.0",
            "*ESE?" => &mask,
            "*ESR?" => "0",
            ":SYST:ERR?" => "0,\"No error\"",
            line => {
                line.strip_prefix("*ESE ").unwrap_or(&mask).to_owned().clone_into(&mut mask);
                continue;
            }
        };
        if writer.write_all(format!("{answer}\n").as_bytes()).is_err() {
            return;
        }
    }
}

fn ask_twice(port: &mut dyn Bare) {
    port.write_all(b"*IDN?\n*IDN?\n").unwrap();
    let (mut answer, mut lines) = ([0; 256], 0);
    while lines < 2 {
        let count = port.read(&mut answer).unwrap();
        lines += answer[..count].split(|byte| *byte == b'\n').count() - 1;
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
    let instrument = ScpiBox::new(SimulatedRedPitaya::new(world, "SIM-1"));
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
