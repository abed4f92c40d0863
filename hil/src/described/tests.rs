//! A described pair as its clients see it: SCPI, not letters.

use std::sync::{Arc, Mutex};

use drivers::{Numbers, ScpiPairConfig};
use sims::Electrical;

use super::{Described, Half};
use crate::Faults;
use crate::scpi_box::{ScpiBox, ScpiClient};
use crate::waveform_world::WaveformWorld;

/// An instrument with one client.
struct Bench {
    generator: (ScpiBox, ScpiClient),
    digitizer: (ScpiBox, ScpiClient),
}

impl Bench {
    fn new() -> Self {
        let mut config: ScpiPairConfig = toml::from_str(include_str!("../scpi_server/pair.toml")).unwrap();
        config.generator.settings[0].header = "SOURce1:FUNCtion".into();
        config.generator.numbers = Numbers::Text;
        config.digitizer.numbers = Numbers::Text;
        let system = Electrical { samples: 16, ..Electrical::default() }.build().unwrap().system;
        let world = Arc::new(Mutex::new(WaveformWorld::new(system, &config.waveform, Faults::new(0))));
        let open = |half| {
            let instrument = ScpiBox::new(Described::new(world.clone(), &config, half));
            let client = instrument.client();
            (instrument, client)
        };
        Self { generator: open(Half::Generator), digitizer: open(Half::Digitizer) }
    }

    fn ask(pair: &mut (ScpiBox, ScpiClient), message: &str) -> Option<String> {
        pair.0.message(&mut pair.1, message.as_bytes()).map(|answer| String::from_utf8(answer).unwrap())
    }

    fn generator(&mut self, message: &str) -> String {
        Self::ask(&mut self.generator, message).expect("an answer at once")
    }

    fn digitizer(&mut self, message: &str) -> String {
        Self::ask(&mut self.digitizer, message).expect("an answer at once")
    }

    fn error(&mut self, half: Half, message: &str) -> i32 {
        let said = match half {
            Half::Generator => self.generator(&format!("{message};:SYST:ERR:CODE?")),
            Half::Digitizer => self.digitizer(&format!("{message};:SYST:ERR:CODE?")),
        };
        said.rsplit(';').next().unwrap().parse().unwrap_or_else(|_| panic!("{message}: {said}"))
    }
}

#[test]
fn a_rig_files_commands_are_understood_in_every_spelling() {
    let mut bench = Bench::new();
    for (message, state) in [
        ("OUTP1 ON", "1"),
        ("OUTP 0", "0"),
        ("output1 1", "1"),
        (":OUTPut OFF", "0"),
        ("OUTPUT:STATE ON;:OUTP ON", "1"),
    ] {
        assert!(bench.generator(&format!("{message};:OUTPut1?")).ends_with(state), "{message}");
    }
    assert!(bench.generator("SYST:ERR?").starts_with("-113,\"Undefined header;OUTPUT:STATE\""));
    for message in ["SOURce1:FUNCtion ARB", "sour:func arbitrary", "SOUR1:FUNCTION ARB"] {
        assert_eq!(bench.generator(&format!("*RST;{message};FUNC?;:SYST:ERR?")), "ARB;0,\"No error\"", "{message}");
    }
    assert_eq!(bench.generator("*RST;SOUR1:FUNC:ARB:SRAT 1 MHZ;SRAT?"), "1000000");
    for (message, code) in [
        ("SOUR1:FUNC NOISE", -224),
        ("SOUR1:FUNC", -109),
        ("SOUR1:FUNC ARB,1", -108),
        ("SOUR2:FUNC ARB", -114),
        ("SOUR1:FUN ARB", -113),
        ("SOUR1:FUNC:ARB:SRAT fast", -224),
        ("SOUR1:FUNC:ARB:SRAT 1 V", -131),
        ("SOUR1:FUNC:ARB:SRAT -1", -222),
        ("OUTP1 MAYBE", -224),
        ("OUTP1", -109),
        ("SOUR1:DATA:ARB OTHER,0.1", -224),
        ("SOUR1:DATA:ARB BURST,0.1,x", -224),
        ("SOUR1:DATA:ARB BURST,9", -222),
        ("SOUR1:DATA:ARB BURST,#11a", -168),
    ] {
        assert_eq!(bench.error(Half::Generator, message), code, "{message}");
    }
}

#[test]
fn readings_are_what_was_taken_and_nothing_else() {
    let mut bench = Bench::new();
    assert_eq!(bench.error(Half::Digitizer, "FETC? 10"), -230, "before a trigger");
    bench.generator("SOUR1:DATA:ARB BURST,0.1,0.2,0.3;:OUTP1 ON");
    bench.digitizer("INIT");
    assert_eq!(bench.error(Half::Digitizer, "FETC? 3"), -230, "armed, and not fired");
    assert_eq!(bench.digitizer("STAT:OPER:COND?"), "32", "it waits for its trigger");
    assert_eq!(Bench::ask(&mut bench.digitizer, "*OPC?"), None, "it waits for the end of the measurement");
    bench.generator("*TRG");
    let (instrument, client) = &mut bench.digitizer;
    assert_eq!(instrument.go_on(client), Some(b"1".to_vec()));
    assert_eq!(bench.digitizer("FETC? 3").split(',').count(), 3);
    assert_eq!(bench.digitizer("FETC? 2").split(',').count(), 2);
    assert_eq!(bench.error(Half::Digitizer, "FETC? 4"), -222, "more than was taken");
    assert_eq!(bench.error(Half::Digitizer, "FETC? some"), -224);
    assert_eq!(bench.digitizer("STAT:OPER:EVEN?;COND?"), "32;0");
    bench.digitizer("*RST");
    assert_eq!(bench.error(Half::Digitizer, "FETC? 3"), -230);
}
