//! How much of a serial line pnnlink uses: batches of shots at 921,600 baud, throttled, against what the line can carry.
//!
//! `cargo bench -p hil --bench line_rate`

use std::sync::Arc;
use std::time::Instant;

use drivers::pnnlink::link::{Options, Pnnlink};
use drivers::{Address, Batch, LinkOptions, Plant};
use hil::Faults;
use hil::pnnlink::{Build, Firmware, Pattern, Place, Served};

/// Symbols a second on the line.
const BAUD: u32 = 921_600;
/// Bits on the line for each byte.
const BITS: f64 = 10.0;
/// Values of a shot, either way.
const WIDTH: usize = 64;
/// Shots of a batch.
const SHOTS: usize = 2000;

fn main() {
    let link = std::env::temp_dir().join(format!("pnnlab-line-rate-{}", std::process::id()));
    let faults = Faults::new(0);
    let firmware = Firmware::new(Arc::new(Pattern::new(WIDTH)), Build::default(), faults.clone());
    let _served = Served::start(firmware, Place::Pty(link.clone()), Some(BAUD), &faults).expect("a pseudo-terminal");
    let address = Address::Serial { path: link, baud: BAUD };
    let mut plant =
        Pnnlink::open(&LinkOptions::new("bench", address), Options::default()).expect("the instrument answers");
    let inputs = Batch::from_fn(SHOTS, WIDTH, |row, column| (row * WIDTH + column) as f32);
    plant.measure(&inputs).expect("readings");
    let bytes = SHOTS * WIDTH * 4;
    let line = bytes as f64 * BITS / f64::from(BAUD);
    let start = Instant::now();
    plant.measure(&inputs).expect("readings");
    let seconds = start.elapsed().as_secs_f64();
    println!(
        "{SHOTS} shots of {WIDTH} values each way at {BAUD} baud: {seconds:.3} s; their values alone take the line \
         {line:.3} s: {:.1} % of the line rate; sent again: {} shots",
        100.0 * line / seconds,
        plant.report().resent
    );
}
