//! The commands of a Red Pitaya, and the vendor's published sequences.

use std::sync::{Arc, Mutex};

use sims::Electrical;

use super::data_sheet::BUFFER;
use super::*;
use crate::Faults;
use crate::scpi_box::{ScpiBox, ScpiClient};
use crate::scpi_server::tests::waveform;
use crate::waveform_world::WaveformWorld;

/// A board with one client.
struct Talk {
    board: ScpiBox,
    client: ScpiClient,
}

impl Talk {
    fn with(commands: RedPitayaCommands) -> Self {
        let system = Electrical { samples: 16, ..Electrical::default() }.build().unwrap().system;
        let world = Arc::new(Mutex::new(WaveformWorld::new(system, &waveform(), Faults::new(1))));
        let board = ScpiBox::new(SimulatedRedPitaya::with(world, "0", commands));
        let client = board.client();
        Self { board, client }
    }

    fn new() -> Self {
        Self::with(RedPitayaCommands::Second)
    }

    fn ask(&mut self, query: &str) -> String {
        String::from_utf8(self.board.message(&mut self.client, query.as_bytes()).unwrap()).unwrap()
    }

    /// The number of the error that a line leads to.
    fn error(&mut self, line: &str) -> i32 {
        self.ask(line);
        let entry = self.ask("SYST:ERR?");
        entry.split(',').next().unwrap().parse().unwrap()
    }

    /// Obeys lines, none of which may be refused.
    fn tell(&mut self, lines: &[&str]) {
        for line in lines {
            assert_eq!(self.ask(line), "", "{line}");
            assert_eq!(self.ask("SYST:ERR?"), "0,\"No error\"", "{line}");
        }
    }

    fn numbers(&mut self, query: &str) -> Vec<f64> {
        let text = self.ask(query);
        let inner = text.strip_prefix('{').and_then(|rest| rest.strip_suffix('}'));
        inner.unwrap_or_else(|| panic!("{query}: {text}")).split(',').map(|number| number.parse().unwrap()).collect()
    }
}

#[test]
fn triggers_fire_by_themselves_by_an_edge_and_from_outside() {
    for trigger in ["NOW", "CH2_PE", "CH2_NE", "EXT_PE", "EXT_NE"] {
        let mut talk = Talk::new();
        talk.tell(&[
            "SOUR2:FUNC SINE",
            "SOUR2:FREQ:FIX 100000",
            "SOUR2:VOLT 0.5",
            "OUTPUT2:STATE ON",
            "SOUR2:TRig:INT",
        ]);
        talk.tell(&["ACQ:RST", "ACQ:DEC 8", "ACQ:TRig:LEV 0.2", "ACQ:TRig:DLY 0", "ACQ:START"]);
        assert_eq!(talk.ask("ACQ:TRig:STAT?"), "WAIT");
        talk.tell(&[&format!("ACQ:TRig {trigger}")]);
        assert_eq!([talk.ask("ACQ:TRig:STAT?"), talk.ask("ACQ:TRig:FILL?")], ["TD", "1"], "{trigger}");
        assert_eq!(talk.numbers("ACQ:SOUR1:DATA?").len(), BUFFER);
        let volts = talk.numbers("ACQ:SOUR2:DATA?");
        assert_eq!(volts.len(), BUFFER);
        let most = volts.iter().fold(0.0_f64, |most, volts| most.max(volts.abs()));
        assert!((most - 0.5).abs() < 1e-3, "{most}");
        match trigger {
            // With no delay the trigger is in the middle.
            "CH2_PE" => assert!(volts[BUFFER / 2 - 1] < 0.2 && 0.2 <= volts[BUFFER / 2]),
            "CH2_NE" => assert!(0.2 < volts[BUFFER / 2 - 1] && volts[BUFFER / 2] <= 0.2),
            _ => {}
        }
    }
}

#[test]
fn a_level_that_is_not_reached_waits_until_it_is() {
    let mut talk = Talk::new();
    talk.tell(&["ACQ:TRig:LEV 0.5", "ACQ:START", "ACQ:TRig CH2_PE"]);
    assert_eq!(talk.ask("ACQ:TRig:STAT?"), "WAIT");
    talk.tell(&["SOUR2:FUNC SQUARE", "SOUR2:FREQ:FIX 1 MHZ", "OUTPUT2:STATE ON"]);
    assert_eq!(talk.ask("ACQ:TRig:STAT?"), "TD");
    // A source without a start is none.
    talk.tell(&["ACQ:STOP", "ACQ:TRig NOW"]);
    assert_eq!(talk.ask("ACQ:TRig:STAT?"), "WAIT");
}

#[test]
fn each_waveform_plays_itself_and_not_the_buffer() {
    let mut talk = Talk::new();
    talk.tell(&["SOUR2:TRAC:DATA:DATA 0.25,0.25,0.25,0.25", "SOUR2:FREQ:FIX 7629.39453125", "OUTPUT2:STATE ON"]);
    // One cycle fills the buffer; the places are a quarter apart, and lie off the steps.
    for (shape, wanted) in [
        ("SINE", [0.0, 1.0, 0.0, -1.0]),
        ("SQUARE", [1.0, 1.0, -1.0, -1.0]),
        ("TRIANGLE", [0.0, 1.0, 0.0, -1.0]),
        ("SAWU", [-1.0, -0.5, 0.0, 0.5]),
        ("SAWD", [1.0, 0.5, 0.0, -0.5]),
        ("DC", [1.0; 4]),
        ("DC_NEG", [-1.0; 4]),
        ("PWM", [1.0, 1.0, -1.0, -1.0]),
        ("ARBITRARY", [0.25; 4]),
    ] {
        talk.tell(&[&format!("SOUR2:FUNC {shape}"), "ACQ:TRig:DLY 8192", "ACQ:START", "ACQ:TRig NOW"]);
        assert_eq!(talk.ask("SOUR2:FUNC?"), shape);
        let volts = talk.numbers("ACQ:SOUR2:DATA?");
        let read = [8, 4104, 8200, 12_296].map(|place: usize| volts[place]);
        let off = read.iter().zip(wanted).map(|(read, wanted)| (read - wanted).abs()).fold(0.0, f64::max);
        assert!(off < 0.01, "{shape}: {read:?}");
    }
}

#[test]
fn the_format_belongs_to_a_connection_and_is_text_at_first() {
    let mut talk = Talk::new();
    talk.tell(&[
        "ACQ:DATA:FORMAT BIN",
        "SOUR2:FUNC DC",
        "SOUR2:VOLT 0.5",
        "OUTPUT2:STATE ON",
        "ACQ:START",
        "ACQ:TRig NOW",
    ]);
    let mut other = talk.board.client();
    assert_eq!(talk.board.message(&mut other, b"ACQ:DATA:FORMAT?").unwrap(), b"ASCII");
    let block = talk.board.message(&mut talk.client, b"ACQ:SOUR2:DATA:STArt:N? 0,2").unwrap();
    assert_eq!(block, [b"#18".as_slice(), &0.5_f32.to_be_bytes(), &0.5_f32.to_be_bytes()].concat());
    talk.tell(&["ACQ:DATA:BYTE:ORDER LEND", "ACQ:DATA:UNITS RAW"]);
    let block = talk.board.message(&mut talk.client, b"ACQ:SOUR2:DATA:STArt:N? 0,2").unwrap();
    assert_eq!(block, [b"#14".as_slice(), &4096_i16.to_le_bytes(), &4096_i16.to_le_bytes()].concat());
    assert_eq!(talk.board.message(&mut other, b"ACQ:SOUR2:DATA:STArt:N? 0,2").unwrap(), b"{4096,4096}");
    talk.tell(&["ACQ:RST"]);
    assert_eq!([talk.ask("ACQ:DATA:FORMAT?"), talk.ask("ACQ:DATA:UNITS?")], ["ASCII", "VOLTS"]);
}

#[test]
fn errors_have_the_numbers_of_its_server() {
    let mut talk = Talk::new();
    for (line, code) in [
        ("SOUR1:VOLT 2", 9506),
        ("SOUR1:VOLT:OFFS 0.5", 9506),
        ("SOUR3:VOLT 0.5", 9506),
        ("ACQ:SOUR3:DATA?", 9506),
        ("ACQ:DEC 3", 9506),
        ("SOUR1:TRAC:DATA:DATA 0,1.5", 9517),
        ("SOUR1:FUNC WOBBLE", -224),
        ("ACQ:TRig CH7_PE", -224),
        ("DIG:PIN DIO0_P,1", 9509),
        ("DIG:PIN:DIR IN,LED0", 9507),
        ("ANALOG:PIN AIN0,1", 9510),
        ("ANALOG:PIN AOUT0,2", 9506),
        ("ACQ:SOUR1:COUP AC", 9524),
        ("SOUR1:FUNC", -109),
    ] {
        assert_eq!(talk.error(line), code, "{line}");
    }
    talk.ask("WHAT:IS?");
    assert_eq!(talk.ask("SYST:ERR?"), "-113,\"Undefined header;WHAT:IS?\"");
}

#[test]
fn settings_are_answered_as_its_server_answers() {
    let mut talk = Talk::new();
    for (set, query, answer) in [
        ("OUTPUT1:STATE ON", "OUTPUT1:STATE?", "ON"),
        ("OUTP1 OFF", "OUTPUT1:STATE?", "OFF"),
        ("OUTPUT:STATE ON", "OUTPUT2:STATE?", "ON"),
        ("SOUR2:BURS:STAT BURST", "SOUR2:BURS:STAT?", "BURST"),
        ("GEN:RST", "SOUR2:BURS:STAT?", "CONTINUOUS"),
        ("ACQ:DEC 125", "ACQ:DEC:F?", "125"),
        ("ACQ:DEC:F:CH2 64", "ACQ:DEC:F:CH2?", "64"),
        ("ACQ:AVG OFF", "ACQ:AVG?", "OFF"),
        ("ACQ:SOUR2:GAIN HV", "ACQ:SOUR2:GAIN?", "HV"),
        ("ACQ:TRig:LEV 100 mV", "ACQ:TRig:LEV?", "0.1"),
        ("ACQ:TRig:DLY -100", "ACQ:TRig:DLY?", "-100"),
        ("ACQ:TRig:DLY:NS 2000", "ACQ:TRig:DLY?", "2"),
        ("ACQ:SPLIT:TRig ON", "ACQ:SPLIT:TRig?", "ON"),
        ("LED:MMC OFF", "LED:MMC?", "OFF"),
        ("DIG:PIN:DIR OUT,DIO3_N", "DIG:PIN:DIR? DIO3_N", "OUT"),
        ("DIG:PIN LED5,1", "DIG:PIN? LED5", "1"),
        ("ANALOG:PIN AOUT2,1.2", "ANALOG:PIN? AIN2", "1.2"),
        // 156 steps of 11.538 mV, the next lower one.
        ("ANALOG:PIN AOUT2,0.5", "ANALOG:PIN? AOUT2", "0.496154"),
        ("ANALOG:PIN AOUT2,0.0115", "ANALOG:PIN? AOUT2", "0"),
        ("ANALOG:PIN AOUT2,1.8", "ANALOG:PIN? AOUT2", "1.8"),
        ("DAISY:SYNC:TRig ON", "DAISY:SYNC:TRig?", "ON"),
        ("RP:INit", "ACQ:BUF:SIZE?", "16384"),
        ("RP:REset", "ACQ:SRATe?", "125000000 Hz"),
    ] {
        talk.tell(&[set]);
        assert_eq!(talk.ask(query), answer, "{set}");
    }
    assert_eq!(talk.ask("*IDN?"), "REDPITAYA,INSTR2026 (simulated),0,02-01");
    assert_eq!(talk.ask("SYST:BRD:ID?"), "1");
    assert!(talk.ask("SYST:BRD:NAME?").starts_with("STEMlab 125-14"));
    assert_eq!(talk.ask("SYST:VERS?"), "2.07-48");
    let list = talk.ask("SYST:HELP?");
    assert!(list.lines().any(|line| line == "ACQ:TRig:FILL?") && 200 < list.lines().count(), "{list}");
}

#[test]
fn its_clock_is_set_and_stands_still() {
    let mut talk = Talk::new();
    talk.tell(&["SYST:TIME 13,7,20", "SYSTem:DATE 2026,2,3"]);
    assert_eq!((talk.ask("SYST:TIME?"), talk.ask("SYST:DATE?")), ("13,7,20".to_owned(), "2026,2,3".to_owned()));
    assert_ne!(talk.error("SYST:TIME 24,0,0"), 0);
    assert_ne!(talk.error("SYST:DATE 2026,13,1"), 0);
    assert_eq!(talk.ask("SYST:TIME?"), "13,7,20");
}

#[test]
fn blocks_are_cut_from_the_ring() {
    let mut talk = Talk::new();
    talk.tell(&["SOUR2:FUNC SAWU", "SOUR2:FREQ:FIX 7629.39453125", "OUTPUT2:STATE ON"]);
    for _ in 0..2 {
        talk.tell(&["ACQ:TRig:DLY -4000", "ACQ:START", "ACQ:TRig NOW"]);
    }
    let all = talk.numbers("ACQ:SOUR2:DATA?");
    let (next, trigger) = (talk.ask("ACQ:WPOS?"), talk.ask("ACQ:TPOS?"));
    assert_eq!([next.as_str(), &trigger], ["8384", "4192"]);
    assert_eq!(talk.numbers("ACQ:SOUR2:DATA:Old:N? 3"), all[..3]);
    assert_eq!(talk.numbers("ACQ:SOUR2:DATA:LAT:N? 3"), all[BUFFER - 3..]);
    assert_eq!(talk.numbers("ACQ:SOUR2:DATA:STA:N? 8384,3"), all[..3]);
    assert_eq!(talk.numbers("ACQ:SOUR2:DATA:STA:END? 8383,8385"), [all[BUFFER - 1], all[0], all[1]]);
    let at = BUFFER - 4192;
    assert_eq!(talk.numbers("ACQ:SOUR2:DATA:TRig? 2,PRE_POST_TRIG"), all[at - 2..at + 3]);
    assert_eq!(talk.numbers("ACQ:SOUR2:DATA:TRig? 2,POST_TRIG"), all[at..at + 3]);
}

#[test]
fn the_published_sequence_of_generation_and_acquisition_runs_through() {
    for (commands, fire) in
        [(RedPitayaCommands::Second, "SOUR1:TRig:INT"), (RedPitayaCommands::First, "SOUR1:TRIG:IMM")]
    {
        let mut talk = Talk::with(commands);
        talk.tell(&["GEN:RST", "ACQ:RST", "SOUR1:FUNC SINE", "SOUR1:FREQ:FIX 1000000", "SOUR1:VOLT 1"]);
        talk.tell(&["SOUR1:BURS:STAT BURST", "SOUR1:BURS:NCYC 3", "ACQ:DEC 1", "ACQ:TRIG:LEV 0", "ACQ:TRIG:DLY 0"]);
        talk.tell(&["ACQ:START", "ACQ:TRIG AWG_PE", "OUTPUT1:STATE ON"]);
        assert_eq!(talk.ask("ACQ:TRIG:STAT?"), "WAIT");
        talk.tell(&[fire]);
        assert_eq!(talk.ask("ACQ:TRIG:STAT?"), "TD");
        let volts = talk.numbers("ACQ:SOUR1:DATA?");
        assert_eq!(volts.len(), BUFFER);
        // The bench is driven for three cycles of 125 samples from the trigger on.
        let middle = BUFFER / 2;
        assert!(volts[..middle].iter().all(|volts| *volts == 0.0), "at rest before");
        assert!(volts[middle..middle + 375].iter().any(|volts| *volts != 0.0), "driven");
        assert!(volts[middle + 375..].iter().all(|volts| *volts == 0.0), "at rest after");
    }
    let mut talk = Talk::with(RedPitayaCommands::First);
    for absent in ["SOUR1:TRIG:INT", "ACQ:TRIG:FILL?", "SYST:HELP?", "ACQ:AXI:SIZE?", "ACQ:SPLIT:TRIG?"] {
        assert_eq!(talk.error(absent), -113, "{absent}");
    }
}

#[test]
fn the_published_sequence_of_two_waveforms_runs_through() {
    let mut talk = Talk::new();
    talk.tell(&["GEN:RST", "SOUR1:FUNC ARBITRARY", "SOUR2:FUNC ARBITRARY"]);
    talk.tell(&["SOUR1:TRAC:DATA:DATA 0.10000, 0.20000, 0.30000", "SOUR2:TRAC:DATA:DATA 1.00000, 0.00000, -1.00000"]);
    talk.tell(&["SOUR1:FREQ:FIX 10000", "SOUR2:FREQ:FIX 10000", "SOUR1:VOLT 1", "SOUR2:VOLT 1"]);
    talk.tell(&["OUTPUT:STATE ON", "SOUR:TRIG:INT"]);
    assert_eq!(talk.numbers("SOUR2:TRAC:DATA:DATA?"), [1.0, 0.0, -1.0]);
    assert_eq!([talk.ask("OUTPUT1:STATE?"), talk.ask("OUTPUT2:STATE?")], ["ON", "ON"]);
}

#[test]
fn the_published_sequence_of_the_deep_memory_runs_through() {
    let mut talk = Talk::new();
    talk.tell(&["SOUR2:FUNC SINE", "SOUR2:FREQ:FIX 100000", "OUTPUT2:STATE ON", "ACQ:RST"]);
    let (start, size) = (talk.ask("ACQ:AXI:START?").parse::<u32>().unwrap(), talk.ask("ACQ:AXI:SIZE?"));
    assert_eq!(size, "2097152");
    talk.tell(&[
        "ACQ:AXI:DEC 1",
        "ACQ:AXI:DATA:UNITS VOLTS",
        "ACQ:AXI:SOUR1:Trig:Dly 4000",
        "ACQ:AXI:SOUR2:Trig:Dly 4000",
    ]);
    talk.tell(&[
        &format!("ACQ:AXI:SOUR1:SET:Buffer {start},40000"),
        &format!("ACQ:AXI:SOUR2:SET:Buffer {},40000.0", start + 40_000),
    ]);
    talk.tell(&[
        "ACQ:AXI:SOUR1:ENable ON",
        "ACQ:AXI:SOUR2:ENable ON",
        "ACQ:TRig:LEV 0.2",
        "ACQ:START",
        "ACQ:TRig CH2_PE",
    ]);
    assert_eq!([talk.ask("ACQ:TRig:STAT?"), talk.ask("ACQ:AXI:SOUR2:TRIG:FILL?")], ["TD", "1"]);
    talk.tell(&["ACQ:STOP"]);
    let position = talk.ask("ACQ:AXI:SOUR2:Trig:Pos?");
    let volts = talk.numbers(&format!("ACQ:AXI:SOUR2:DATA:Start:N? {position},4000"));
    assert_eq!(volts.len(), 4000);
    assert!((0.2..0.21).contains(&volts[0]), "{}", volts[0]);
    assert_eq!(talk.numbers("ACQ:AXI:SOUR1:DATA:Start:N? 0,20000").len(), 20_000);
    assert_eq!(talk.error("ACQ:AXI:SOUR1:DATA:Start:N? 0,20001"), 9506);
}

#[test]
fn with_split_triggers_each_input_has_its_own() {
    let mut talk = Talk::new();
    talk.tell(&["ACQ:SPLIT:TRig ON", "ACQ:START:CH1", "ACQ:START:CH2", "ACQ:TRig:CH2 NOW"]);
    assert_eq!([talk.ask("ACQ:TRig:STAT:CH1?"), talk.ask("ACQ:TRig:STAT:CH2?")], ["WAIT", "TD"]);
}
