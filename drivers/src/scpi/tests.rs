//! Answers in any split, garbage, and errors that belong to their command.

use std::time::Duration;

use proptest::prelude::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::{Answer, Numbers, Scpi, ScpiRequest, Step, agrees, block, numbers, read_block};
use crate::{Error, Port, Session};

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
    let odd = numbers("9.91E37,-9.9E37").unwrap();
    assert!(odd[0].is_nan() && odd[1] == f32::NEG_INFINITY);
    assert_eq!(numbers("1,x"), None);
    assert_eq!(Step::query("A?").answer, Answer::Line);
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
