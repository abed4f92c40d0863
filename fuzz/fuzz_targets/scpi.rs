//! Any bytes, in two pieces, from a SCPI instrument: an exchange ends with answers or with an error, and holds no more than it may.
#![no_main]

use std::io::Cursor;

use drivers::{Numbers, Opening, Port, Scpi, ScpiRequest, Session, Setting, Step, scpi_numbers, settings_agree};
use libfuzzer_sys::fuzz_target;
use tokio::io::{AsyncReadExt, join, sink};
use tokio::runtime::{Builder, Runtime};

thread_local! {
    static RUNTIME: Runtime = Builder::new_current_thread().enable_time().build().expect("a runtime");
}

/// A port that gives `bytes` in two pieces and takes whatever is sent.
fn port(bytes: &[u8]) -> Port {
    let cut = bytes.first().map_or(0, |first| usize::from(*first).min(bytes.len()));
    let (first, rest) = bytes.split_at(cut);
    Port::over("fuzz", join(Cursor::new(first.to_vec()).chain(Cursor::new(rest.to_vec())), sink()))
}

fuzz_target!(|bytes: &[u8]| {
    RUNTIME.with(|runtime| {
        let steps = vec![Step::tell("A 1"), Step::query("B?"), Step::query_block("C?"), Step::query(":SYST:ERR?")];
        for request in [ScpiRequest::Steps(steps), ScpiRequest::Query(b"*IDN?".to_vec())] {
            for numbered in [true, false] {
                let mut scpi = Scpi::new("", vec![]).numbered(numbered);
                let _ = runtime.block_on(scpi.exchange(&mut port(bytes), &request));
            }
        }
        let mut scpi = Scpi::new("", vec![Setting::new("SOUR:VOLT", &0.5)]);
        let _ = runtime.block_on(scpi.greet(&mut port(bytes), Opening { count: 0, stale: false }));
    });
    for numbers in [Numbers::Text, Numbers::FloatBig, Numbers::FloatLittle, Numbers::CodeBig, Numbers::CodeLittle] {
        if let Some(values) = numbers.read(bytes, 1.0) {
            assert!(values.len() <= bytes.len() + 1);
        }
    }
    let text = String::from_utf8_lossy(bytes);
    let _ = scpi_numbers(&text);
    let _ = settings_agree("0.5", &text);
});
