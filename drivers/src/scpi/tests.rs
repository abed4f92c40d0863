//! Answers in any split, garbage, and errors that belong to their command.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use proptest::prelude::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::{
    Answer, Numbers, Scpi, ScpiIdentity, ScpiRequest, Setting, Step, Terminator, agrees, block, numbers, read_block,
};
use crate::{Error, Opening, Port, Session};

/// Gives `bytes` in pieces and reads with `read`.
fn reading<T>(bytes: Vec<u8>, pieces: usize, read: impl AsyncFnOnce(&mut Port) -> T) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let (near, mut far) = tokio::io::duplex(7);
        tokio::spawn(async move {
            for piece in bytes.chunks(pieces.max(1)) {
                if far.write_all(piece).await.is_err() {
                    return;
                }
            }
        });
        read(&mut Port::over("scope", near)).await
    })
}

/// One exchange with an instrument that answers `reply` whatever it is told.
fn exchange(steps: Vec<Step>, reply: &'static [u8]) -> Result<Vec<Vec<u8>>, Error> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let (near, mut far) = tokio::io::duplex(1000);
        tokio::spawn(async move {
            let mut buffer = [0; 1000];
            let _ = far.read(&mut buffer).await;
            far.write_all(reply).await.unwrap();
            while far.read(&mut buffer).await.is_ok_and(|count| 0 < count) {
                far.write_all(b"0,\"No error\"\n").await.unwrap();
            }
        });
        let mut session = Scpi::new("", vec![]);
        let mut port = Port::over("scope", near);
        let request = ScpiRequest::Steps(steps);
        tokio::time::timeout(Duration::from_secs(5), session.exchange(&mut port, &request)).await.unwrap()
    })
}

/// What an instrument with one setting knows of itself.
struct Small {
    mask: String,
    event: u32,
    volts: String,
}

/// Greets such an instrument, lets `meddle` change it, and looks whether what was set is still there.
fn verified(numbered: bool, meddle: impl FnOnce(&mut Small)) -> Result<(), Error> {
    let small = Arc::new(Mutex::new(Small { mask: "0".into(), event: 0, volts: "0".into() }));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let (near, far) = tokio::io::duplex(1000);
        let instrument = small.clone();
        tokio::spawn(async move {
            let (read, mut write) = tokio::io::split(far);
            let mut lines = tokio::io::AsyncBufReadExt::lines(tokio::io::BufReader::new(read));
            while let Ok(Some(line)) = lines.next_line().await {
                let answer = {
                    let mut small = instrument.lock().unwrap();
                    match line.split_once(' ').unwrap_or((&line, "")) {
                        ("*ESE", mask) => {
                            small.mask = mask.to_owned();
                            continue;
                        }
                        ("VOLT", volts) => {
                            small.volts = volts.to_owned();
                            continue;
                        }
                        ("*ESE?", _) => small.mask.clone(),
                        ("*ESR?", _) => std::mem::take(&mut small.event).to_string(),
                        ("VOLT?", _) => small.volts.clone(),
                        ("*IDN?", _) => "Acme,GEN,0,1".to_owned(),
                        _ => "0,\"No error\"".to_owned(),
                    }
                };
                write.write_all(format!("{answer}\n").as_bytes()).await.unwrap();
            }
        });
        let mut session = Scpi::new("", vec![Setting::new("VOLT", &0.5)]).numbered(numbered);
        let mut port = Port::over("scope", near);
        session.greet(&mut port, Opening { count: 0, stale: false }).await.unwrap();
        let number = session.number;
        session.verify(&mut port).await.unwrap();
        assert_eq!(session.number, number, "a recording, which has no such looks, has the same numbers");
        meddle(&mut small.lock().unwrap());
        session.verify(&mut port).await
    })
}

#[test]
fn what_somebody_else_has_changed_is_noticed() {
    verified(true, |_| {}).unwrap();
    // A second controller with the same settings numbers its exchanges too.
    let error = verified(true, |small| small.mask = "92".into()).unwrap_err();
    assert!(!error.is_retryable());
    let text = error.to_string();
    assert!(text.contains("`scope` was left with its event mask `*ESE` = ") && text.contains("has 92 now"), "{text}");
    for numbered in [true, false] {
        let text = verified(numbered, |small| small.volts = "0.25".into()).unwrap_err().to_string();
        assert!(text.contains("was left with VOLT = 0.5, and has 0.25 now"), "{text}");
    }
    verified(false, |small| small.mask = "92".into()).unwrap();
    // One that has lost its power is nobody's victim: it gets its settings back.
    let lost = verified(true, |small| (small.mask, small.event, small.volts) = ("0".into(), 128, "0".into()));
    assert!(matches!(lost, Err(Error::Restarted { .. })), "{lost:?}");
}

#[test]
fn a_look_that_is_given_up_leaves_the_number_as_it_was() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        // Nobody answers.
        let (near, _far) = tokio::io::duplex(1000);
        let mut session = Scpi::new("", vec![Setting::new("VOLT", &0.5)]).numbered(false);
        session.number = 7;
        let mut port = Port::over("scope", near);
        let looked = tokio::time::timeout(Duration::from_millis(10), session.verify(&mut port)).await;
        assert!(looked.is_err());
        assert_eq!(session.number, 7);
    });
}

#[test]
fn an_error_belongs_to_its_command() {
    let steps = vec![Step::tell("SOUR1:VOLT 9"), Step::query("SOUR1:VOLT?")];
    let reply = b"-222,\"Data out of range\"\n0.5\n0,\"No error\"\n1\n16\n";
    let error = exchange(steps.clone(), reply).unwrap_err();
    assert!(!error.is_retryable());
    assert_eq!(error.to_string(), "instrument `scope` refuses `SOUR1:VOLT 9`: -222 Data out of range");
    let good = b"0,\"No error\"\n0.5\n0,\"No error\"\n1\n0\n";
    assert_eq!(exchange(steps.clone(), good).unwrap(), [b"0.5"]);
    let refused = exchange(vec![Step::query("NONSENSE?")], b"-113,\"Undefined header\"\n1\n32\n").unwrap_err();
    assert!(refused.to_string().contains("refuses `NONSENSE?`: -113"), "{refused}");
}

#[test]
fn a_list_ends_where_the_error_queue_answers() {
    let steps = || vec![Step::query_lines("SYST:HELP?"), Step::query("A?")];
    let listed = exchange(steps(), b"*IDN?\nSOUR#:VOLT\r\n0,\"No error\"\na\n0,\"No error\"\n1\n0\n").unwrap();
    assert_eq!(listed, [b"*IDN?\nSOUR#:VOLT\n".to_vec(), b"a".to_vec()]);
    let refused = exchange(steps(), b"-113,\"Undefined header\"\na\n0,\"No error\"\n1\n0\n").unwrap_err();
    assert!(refused.to_string().contains("refuses `SYST:HELP?`: -113"), "{refused}");
    let nothing = exchange(steps(), b"0,\"No error\"\na\n0,\"No error\"\n1\n0\n").unwrap_err();
    assert!(nothing.to_string().contains("answers `SYST:HELP?` with nothing"), "{nothing}");
}

#[test]
fn a_name_in_the_rig_stands_for_a_serial_number_that_is_none() {
    let met = |says: &str| {
        let mut session = Scpi::new("", vec![]).named(" rp-f0abcd ");
        session.recognize("scope", ScpiIdentity::parse(says)).map(|()| session.identity.unwrap().serial)
    };
    for says in ["REDPITAYA,INSTR2023,0,02-07", "REDPITAYA,INSTR2023,,02-07", "REDPITAYA,INSTR2023,rp-f0abcd,02-07"] {
        assert_eq!(met(says).unwrap(), "rp-f0abcd", "{says}");
    }
    let error = met("Acme,Scope,MY123,1").unwrap_err().to_string();
    assert!(error.contains("`Acme,Scope,MY123,1`") && error.contains("serial number `rp-f0abcd`"), "{error}");
    // Back with the same answer it is the same one.
    let mut session = Scpi::new("", vec![]).named("rp-f0abcd");
    for _ in 0..2 {
        session.recognize("scope", ScpiIdentity::parse("REDPITAYA,INSTR2023,0,02-07")).unwrap();
    }
}

#[test]
fn answers_of_another_exchange_and_lost_power_are_noticed() {
    let steps = || vec![Step::query("A?")];
    let late = exchange(steps(), b"old\n0,\"No error\"\n7\n0\n").unwrap_err();
    assert!(late.is_retryable() && late.to_string().contains("out of step"), "{late}");
    let more = exchange(steps(), b"a\n0,\"No error\"\n1\n0\nb\n").unwrap_err();
    assert!(more.to_string().contains("more than it was asked"), "{more}");
    let power = exchange(steps(), b"a\n0,\"No error\"\n1\n128\n").unwrap_err();
    assert!(matches!(power, Error::Restarted { .. }) && power.breaks_link() && power.is_retryable());
    let overflow = exchange(steps(), b"a\n-350,\"Queue overflow\"\n1\n0\n").unwrap_err();
    assert!(overflow.is_retryable(), "{overflow}");
}

#[test]
fn settings_read_back_in_any_spelling() {
    assert!(agrees("0.5", "5.000E-01") && agrees("ON", "1") && agrees("ARBITRARY", "ARB") && agrees("BURS", "BURST"));
    assert!(!agrees("0.5", "0.6") && !agrees("ON", "0") && !agrees("SIN", "ARB") && !agrees("SIN", ""));
    assert_eq!(numbers("{1, -2.5e-1}").unwrap(), [1.0, -0.25]);
    for text in ["1, 2,", "1;2", "+1.0E0 2", "#131,2", "{1,2}"] {
        assert_eq!(numbers(text), Some(vec![1.0, 2.0]), "{text}");
    }
    for text in ["1,x", "", "1,,2", "1V", "ARB"] {
        assert_eq!(numbers(text), None, "{text}");
    }
    assert_eq!(Step::query("A?").answer, Answer::Line);
}

#[test]
fn a_reading_that_is_none_is_none_in_a_line_and_in_a_block() {
    for (value, is_over) in [(9.9e37, true), (-9.9e37, true), (9.91e37, false), (9.99999e37, false), (3.4e38, false)] {
        let value: f32 = value;
        let text = numbers(&format!("0.5,{value:E}")).unwrap();
        let blocks = [Numbers::FloatBig, Numbers::FloatLittle].map(|format| {
            let bytes = format.write(&[0.5, value], 1.0);
            format.read(&bytes[3..], 1.0).unwrap()
        });
        for read in [text, blocks[0].clone(), blocks[1].clone()] {
            assert_eq!(read[0], 0.5);
            let expected = if is_over { f32::INFINITY.copysign(value) } else { f32::NAN };
            assert_eq!(read[1].to_bits(), expected.to_bits(), "{value}");
        }
    }
    for word in ["NAN", "-1.#IND", "-nan(ind)", "----", "*****", "1.#QNAN"] {
        assert!(numbers(&format!("0.5,{word}")).unwrap()[1].is_nan(), "{word}");
    }
    for word in ["INF", "OVERLOAD", "OVLD", "1.#INF", "OL"] {
        assert_eq!(numbers(&format!("0.5,{word}")).unwrap()[1], f32::INFINITY, "{word}");
    }
    assert_eq!(numbers("-INF,NINF").unwrap(), [f32::NEG_INFINITY; 2]);
}

/// How an instrument speaks.
#[derive(Clone, Copy)]
struct Manner {
    /// What ends a line to it, and from it.
    ends: [&'static str; 2],
    /// What it says of no error, and of an undefined header.
    errors: [&'static str; 2],
    number: fn(u32) -> String,
    /// What it reads back of the one setting that it has.
    function: &'static str,
    has_mask: bool,
    /// Whether it acts on the first line of what comes and drops the rest.
    takes_one: bool,
}

const USUAL: Manner = Manner {
    ends: ["\n", "\n"],
    errors: ["0,\"No error\"", "-113,\"Undefined header\""],
    number: |number| number.to_string(),
    function: "DC",
    has_mask: true,
    takes_one: false,
};

impl Manner {
    /// Answers until the port is closed.
    async fn speak(self, mut far: tokio::io::DuplexStream) {
        let (mut received, mut chunk) = (Vec::new(), [0; 1000]);
        let (mut mask, mut errors) = (0, 0);
        while let Ok(count) = far.read(&mut chunk).await
            && 0 < count
        {
            received.extend_from_slice(&chunk[..count]);
            while let Some(at) = received.windows(self.ends[0].len()).position(|end| end == self.ends[0].as_bytes()) {
                let line = String::from_utf8_lossy(&received[..at]).into_owned();
                received.drain(..at + self.ends[0].len());
                if self.takes_one {
                    received.clear();
                }
                let answer = match line.as_str() {
                    "*IDN?" => "Acme,Scope,1,1.0".to_owned(),
                    "*ESE?" if self.has_mask => (self.number)(mask),
                    "*ESR?" => (self.number)(0),
                    "FUNC?" => self.function.to_owned(),
                    ":SYST:ERR?" if 0 < errors => {
                        errors -= 1;
                        self.errors[1].to_owned()
                    }
                    ":SYST:ERR?" => self.errors[0].to_owned(),
                    "FUNC DC" => continue,
                    line if line.starts_with("*ESE ") && self.has_mask => {
                        mask = line[5..].parse().unwrap();
                        continue;
                    }
                    _ => {
                        errors += 1;
                        continue;
                    }
                };
                if far.write_all((answer + self.ends[1]).as_bytes()).await.is_err() {
                    return;
                }
            }
        }
    }

    /// Greets it, has its setting set, asks it something that it does not know, and once more something that it knows.
    fn meet(self, mut session: Scpi) -> Result<(Scpi, String), Error> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let (near, far) = tokio::io::duplex(1000);
            tokio::spawn(self.speak(far));
            let mut port = Port::over("scope", near);
            port.be_patient(Some(Duration::from_secs(5)));
            session.greet(&mut port, Opening { count: 0, stale: false }).await?;
            let known = ScpiRequest::Steps(vec![Step::query("FUNC?")]);
            assert_eq!(session.exchange(&mut port, &known).await?, [self.function.as_bytes()]);
            if !session.is_pipelined() {
                return Ok((session, String::new()));
            }
            let unknown =
                ScpiRequest::Steps(vec![Step::tell("FUNC DC"), Step::query("NONSENSE?"), Step::query("FUNC?")]);
            let refused = session.exchange(&mut port, &unknown).await.unwrap_err().to_string();
            assert_eq!(session.exchange(&mut port, &known).await?, [self.function.as_bytes()]);
            Ok((session, refused))
        })
    }
}

fn session() -> Scpi {
    Scpi::new("", vec![Setting::new("FUNC", &"DC")])
}

#[test]
fn errors_and_registers_are_understood_in_the_spellings_that_there_are() {
    for errors in [
        ["+0,\"No error\"", "-113,\"Undefined header;NONSENSE?\""],
        ["-0,\"No error\"", "+9506,\"Mine\""],
        ["0  No Error", "-113 Undefined header"],
        ["NO ERROR", "-113,\"Undefined header\""],
        ["0", "-113"],
        ["0,'No error'", "-113,'Undefined header'"],
        ["0, \"No error\" ", "-113, \"Undefined header\""],
        ["0,No error", "-113,Undefined header"],
        ["\"0,No error\"", "\"-113,Undefined header\""],
    ] {
        let (_, refused) =
            Manner { errors, ..USUAL }.meet(session()).unwrap_or_else(|error| panic!("{errors:?}: {error}"));
        assert!(refused.starts_with("instrument `scope` refuses `NONSENSE?`: "), "{errors:?}: {refused}");
    }
    let numbers: [fn(u32) -> String; 5] = [
        |number| format!("+{number}"),
        |number| format!("{number:>6} "),
        |number| format!("{number}.0"),
        |number| format!("{:+.6E}", f64::from(number)),
        |number| format!("{number:03}"),
    ];
    for number in numbers {
        Manner { number, ..USUAL }.meet(session()).unwrap();
    }
}

#[test]
fn a_reading_that_looks_like_an_error_is_a_reading() {
    for function in ["1,DC", "0,\"USER\"", "1,\"USER\"", "-1", "-113,DC", "501,\"A\"", "0"] {
        let manner = Manner { function, ..USUAL };
        let (_, refused) = manner.meet(Scpi::new("", vec![])).unwrap_or_else(|error| panic!("{function}: {error}"));
        assert!(refused.contains("-113 Undefined header"), "{function}: {refused}");
    }
}

#[test]
fn lines_end_as_the_instrument_wants_and_answers_as_they_like() {
    for (name, end) in [(Terminator::Lf, "\n"), (Terminator::CrLf, "\r\n"), (Terminator::Cr, "\r")] {
        for back in ["\n", "\r\n", "\r", "\n\r"] {
            Manner { ends: [end, back], ..USUAL }.meet(session().ending(name)).unwrap();
        }
    }
}

#[test]
fn an_instrument_without_an_event_mask_has_the_key_named() {
    let manner = Manner { has_mask: false, ..USUAL };
    let error = manner.meet(session()).err().unwrap().to_string();
    assert!(error.contains("has no event mask `*ESE`") && error.contains("write `numbered = false`"), "{error}");
    manner.meet(session().numbered(false)).unwrap();
}

#[test]
fn an_instrument_that_takes_one_line_at_a_time_gets_one() {
    let manner = Manner { takes_one: true, ..USUAL };
    for numbered in [true, false] {
        manner.meet(session().numbered(numbered).pipelined(false)).unwrap();
    }
}

#[test]
fn a_greeting_that_ends_half_way_twice_goes_on_line_by_line() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let mut session = session();
        for patience in [20, 20, 5000] {
            let (near, far) = tokio::io::duplex(1000);
            tokio::spawn(Manner { takes_one: true, ..USUAL }.speak(far));
            let mut port = Port::over("scope", near);
            port.be_patient(Some(Duration::from_millis(patience)));
            let greeted = session.greet(&mut port, Opening { count: 0, stale: false }).await;
            assert_eq!(greeted.is_ok(), patience == 5000, "{greeted:?}");
            assert!(port.heard().starts_with(b"Acme,Scope,1,1.0\n"));
        }
        let advice = session.advise(b"Acme,Scope,1,1.0\n");
        assert!(advice.contains("`pipelined = false`") && advice.contains("`numbered = false`"), "{advice}");
    });
}

#[test]
fn an_error_queue_that_nobody_can_read_is_shown() {
    let error = Manner { errors: ["fine", "bad"], ..USUAL }.meet(session()).err().unwrap().to_string();
    assert!(error.contains("answers `fine` to `:SYST:ERR?`, which begins with no error number"), "{error}");
}

proptest! {
    #[test]
    fn blocks_come_in_any_split(bytes in prop::collection::vec(any::<u8>(), 0..300), pieces in 1_usize..40) {
        let sent = [block(&bytes), b"\n".to_vec()].concat();
        let read = reading(sent, pieces, async |port| read_block(port, 1000).await);
        prop_assert_eq!(read.unwrap(), bytes);
    }

    #[test]
    fn garbage_is_an_error_without_panic_or_memory(bytes in prop::collection::vec(any::<u8>(), 0..100), pieces in 1_usize..9) {
        let read = reading([b"#".to_vec(), bytes].concat(), pieces, async |port| read_block(port, 64).await);
        prop_assert!(read.is_err() || read.unwrap().len() <= 64);
    }

    #[test]
    fn numbers_survive_the_wire(values in prop::collection::vec(-1.0_f32..1.0, 1..50)) {
        for format in [Numbers::Text, Numbers::FloatBig, Numbers::FloatLittle, Numbers::CodeBig, Numbers::CodeLittle] {
            let bytes = format.write(&values, 1.0);
            let payload = if format.is_block() { &bytes[2 + usize::from(bytes[1] - b'0')..] } else { &bytes[..] };
            let read = format.read(payload, 1.0).unwrap();
            let step = if matches!(format, Numbers::CodeBig | Numbers::CodeLittle) { 0.51 / 32767.0 } else { 0.0 };
            prop_assert!(values.iter().zip(&read).all(|(a, b)| (a - b).abs() <= step));
        }
    }
}
