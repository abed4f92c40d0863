//! Both instruments as other people's programs speak to them: python-seabreeze's messages, the packets of labscript's worker.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use drivers::lightcrafter::{MirrorCode, Packet, bitmap, command, kind};
use drivers::ocean_obp::{METADATA, ObpMessage, error, flag, message_type};
use sims::Optical;

use super::sequence::Shown;
use super::{FULL_SCALE, OpticalBench, locked};
use crate::Faults;

/// A busy machine may take its time.
const PATIENCE: Duration = Duration::from_mins(1);

fn serve(pixels: Option<usize>) -> OpticalBench {
    OpticalBench::serve(Optical::default().build().unwrap().system, None, pixels, &Faults::new(0)).unwrap()
}

fn connect(address: &str) -> TcpStream {
    let stream = TcpStream::connect(address.trim_start_matches("tcp://")).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

/// A request as bytes.
fn request(kind: u32, flags: u16, payload: &[u8], md5: bool) -> Vec<u8> {
    let mut bytes = Vec::new();
    ObpMessage { flags, error: 0, kind, regarding: 7, payload: payload.to_vec() }.encode(md5, &mut bytes);
    bytes
}

/// The next answer of a spectrometer.
fn answer(stream: &mut TcpStream) -> ObpMessage {
    let mut bytes = vec![0; 64];
    stream.read_exact(&mut bytes).unwrap();
    let remaining = u32::from_le_bytes(bytes[40..44].try_into().unwrap()) as usize;
    bytes.resize(44 + remaining, 0);
    stream.read_exact(&mut bytes[64..]).unwrap();
    ObpMessage::decode(&bytes).unwrap().0.unwrap()
}

fn ask(stream: &mut TcpStream, kind: u32, payload: &[u8]) -> ObpMessage {
    stream.write_all(&request(kind, 0, payload, false)).unwrap();
    let answer = answer(stream);
    assert_eq!((answer.kind, answer.regarding), (kind, 7));
    answer
}

/// The code of the error that bytes are answered with.
fn refused(stream: &mut TcpStream, bytes: &[u8]) -> u16 {
    stream.write_all(bytes).unwrap();
    let answer = answer(stream);
    assert_eq!(answer.flags, flag::RESPONSE | flag::NACK, "{answer:?}");
    answer.error
}

fn integrate(stream: &mut TcpStream, micros: u32) {
    stream.write_all(&request(message_type::SET_INTEGRATION, flag::REQUEST_ACK, &micros.to_le_bytes(), true)).unwrap();
    assert_eq!(answer(stream).flags, flag::RESPONSE | flag::ACK);
}

#[test]
fn a_spectrometer_says_what_seabreeze_asks() {
    for pixels in [None, Some(2068)] {
        let bench = serve(pixels);
        let mut stream = connect(bench.spectrometer_address());
        let length = ask(&mut stream, message_type::SERIAL_LENGTH, &[]).payload;
        let serial = ask(&mut stream, message_type::SERIAL, &[]).payload;
        assert_eq!((length, serial.as_slice()), (vec![serial.len() as u8], &b"SIMULATED-1"[..]));
        let count = ask(&mut stream, message_type::WAVELENGTH_COUNT, &[]).payload;
        let coefficients: Vec<f64> = (0..count[0])
            .map(|index| ask(&mut stream, message_type::WAVELENGTH, &[index]).payload)
            .map(|payload| f32::from_le_bytes(payload.try_into().unwrap()).into())
            .collect();
        let pixels = pixels.unwrap_or(1000);
        let wavelength =
            |pixel: usize| coefficients.iter().rev().fold(0.0, |sum, coefficient| sum * pixel as f64 + coefficient);
        assert!((wavelength(0) - 390.0).abs() < 1e-3 && (wavelength(pixels) - 410.0).abs() < 1e-3);
        assert_eq!(ask(&mut stream, message_type::NONLINEARITY_COUNT, &[]).payload, [1]);
        assert_eq!(ask(&mut stream, message_type::NONLINEARITY, &[0]).payload, 1_f32.to_le_bytes());
        assert_eq!(ask(&mut stream, message_type::PRODUCT, &[]).payload, 0x2003_u16.to_le_bytes());

        light(&bench, 1.0);
        integrate(&mut stream, 1000);
        let fine = ask(&mut stream, message_type::SPECTRUM, &[]).payload.split_off(METADATA);
        assert_eq!(fine.len(), 4 * pixels);
        assert!(fine.chunks_exact(4).any(|code| FULL_SCALE / 100 < u32::from_le_bytes(code.try_into().unwrap())));
        for kind in [message_type::RAW_SPECTRUM, message_type::CORRECTED_SPECTRUM] {
            let raw = ask(&mut stream, kind, &[]).payload;
            assert_eq!(raw.len(), 2 * pixels);
            for (raw, fine) in raw.chunks_exact(2).zip(fine.chunks_exact(4)) {
                let raw = f64::from(u16::from_le_bytes(raw.try_into().unwrap())) / 65_535.0;
                let fine = f64::from(u32::from_le_bytes(fine.try_into().unwrap())) / f64::from(FULL_SCALE);
                // A shot has noise of its own.
                assert!((raw - fine).abs() < 0.05, "{raw} for {fine}");
            }
        }
    }
}

#[test]
fn a_spectrum_comes_no_sooner_than_it_was_integrated() {
    let bench = serve(None);
    let mut stream = connect(bench.spectrometer_address());
    integrate(&mut stream, 60_000);
    let start = Instant::now();
    ask(&mut stream, message_type::RAW_SPECTRUM, &[]);
    ask(&mut stream, message_type::SPECTRUM, &[]);
    assert!(Duration::from_millis(120) <= start.elapsed());
}

#[test]
fn a_second_client_is_answered_while_the_first_waits() {
    let bench = serve(None);
    let mut first = connect(bench.spectrometer_address());
    integrate(&mut first, 1_000_000_000);
    first.write_all(&request(message_type::SPECTRUM, 0, &[], false)).unwrap();
    let mut second = connect(bench.spectrometer_address());
    assert_eq!(ask(&mut second, message_type::INTEGRATION, &[]).payload, 1_000_000_000_u32.to_le_bytes());
    integrate(&mut second, 1000);
    assert_eq!(ask(&mut second, message_type::SPECTRUM, &[]).flags, flag::RESPONSE);
    drop(first);
    assert_eq!(ask(&mut second, message_type::SERIAL_LENGTH, &[]).payload, [11]);

    let half = Packet { kind: kind::WRITE, command: command::STATIC_IMAGE, flag: 1, payload: b"BM".to_vec() };
    let mut first = connect(bench.shaper_address());
    assert_eq!(told(&mut first, command::DISPLAY_MODE, &[0]), Ok(()));
    assert_eq!(said(&mut first, &half), (kind::WRITTEN, vec![]));
    let mut second = connect(bench.shaper_address());
    assert_eq!(read(&mut second, command::DISPLAY_MODE, &[]), Ok(vec![0]));
    assert_eq!(said(&mut second, &Packet { flag: 2, ..half.clone() }), (kind::ERROR, vec![11]), "that was another's");
    let rest = bitmap(&[MirrorCode::DARK]).split_off(2);
    assert_eq!(said(&mut first, &Packet { flag: 3, payload: rest, ..half }), (kind::WRITTEN, vec![]));
}

#[test]
fn a_request_that_cannot_be_obeyed_is_refused_by_its_code() {
    let bench = serve(None);
    let mut stream = connect(bench.spectrometer_address());
    let mut damaged = request(message_type::SERIAL, 0, &[], true);
    damaged[50] ^= 1;
    assert_eq!(refused(&mut stream, &damaged), error::CHECKSUM);
    let mut unknown = request(message_type::SERIAL, 0, &[], true);
    unknown[22] = 9;
    assert_eq!(refused(&mut stream, &unknown), error::CHECKSUM_TYPE);
    let mut large = request(message_type::SERIAL, 0, &[], true);
    large[40..44].copy_from_slice(&u32::MAX.to_le_bytes());
    assert_eq!(refused(&mut stream, &large), error::TOO_LARGE);
    let mut short = request(message_type::SERIAL, 0, &[], true);
    short[40..44].copy_from_slice(&3_u32.to_le_bytes());
    assert_eq!(refused(&mut stream, &short), error::LENGTH);
    let plain = |kind, payload: &[u8]| request(kind, flag::REQUEST_ACK, payload, true);
    assert_eq!(refused(&mut stream, &plain(0x00AB_CDEF, &[])), 2);
    assert_eq!(refused(&mut stream, &plain(message_type::SET_INTEGRATION, &[1, 2])), error::LENGTH);
    assert_eq!(refused(&mut stream, &plain(message_type::SET_INTEGRATION, &9_u32.to_le_bytes())), error::VALUE);
    assert_eq!(refused(&mut stream, &plain(message_type::SET_TRIGGER, &[1])), error::VALUE);
    assert_eq!(refused(&mut stream, &plain(message_type::WAVELENGTH, &[])), error::LENGTH);
    assert_eq!(refused(&mut stream, &plain(message_type::WAVELENGTH, &[4])), error::NOTHING_THERE);
    assert_eq!(refused(&mut stream, &plain(message_type::NONLINEARITY, &[1])), error::NOTHING_THERE);
    // What is no message is passed over, and a setting that wants no answer gets none.
    stream
        .write_all(&[vec![0xC1; 99], request(message_type::SET_INTEGRATION, 0, &[16, 0, 0, 0], true)].concat())
        .unwrap();
    assert_eq!(ask(&mut stream, message_type::INTEGRATION, &[]).payload, [16, 0, 0, 0]);
}

/// What a packet is answered with: its type and its payload.
fn said(stream: &mut TcpStream, packet: &Packet) -> (u8, Vec<u8>) {
    let mut bytes = Vec::new();
    packet.encode(&mut bytes);
    raw(stream, &bytes, packet.command)
}

fn raw(stream: &mut TcpStream, bytes: &[u8], command: [u8; 2]) -> (u8, Vec<u8>) {
    stream.write_all(bytes).unwrap();
    let mut answer = vec![0; 7];
    stream.read_exact(&mut answer).unwrap();
    answer.resize(7 + usize::from(u16::from_le_bytes([answer[4], answer[5]])), 0);
    stream.read_exact(&mut answer[7..]).unwrap();
    let answer = Packet::decode(&answer).unwrap().0.unwrap();
    assert_eq!((answer.command, answer.flag), (command, 0));
    (answer.kind, answer.payload)
}

/// Writes in as many packets as it takes: the code of the error, where there is one.
fn told(stream: &mut TcpStream, command: [u8; 2], payload: &[u8]) -> Result<(), u8> {
    for packet in Packet::split(kind::WRITE, command, payload) {
        match said(stream, &packet) {
            (kind::WRITTEN, _) => {}
            (kind::ERROR, code) => return Err(code[0]),
            other => panic!("{other:?}"),
        }
    }
    Ok(())
}

fn read(stream: &mut TcpStream, command: [u8; 2], payload: &[u8]) -> Result<Vec<u8>, u8> {
    match said(stream, &Packet { kind: kind::READ, command, flag: 0, payload: payload.to_vec() }) {
        (kind::ANSWER, payload) => Ok(payload),
        (kind::ERROR, code) => Err(code[0]),
        other => panic!("{other:?}"),
    }
}

/// Lets the same part of the light through everywhere.
fn light(bench: &OpticalBench, transmission: f32) {
    let mut stream = connect(bench.shaper_address());
    told(&mut stream, command::DISPLAY_MODE, &[0]).unwrap();
    told(&mut stream, command::STATIC_IMAGE, &bitmap(&[MirrorCode::nearest(transmission)])).unwrap();
}

/// What the first and the last channel let through.
fn ends(bench: &OpticalBench) -> [f32; 2] {
    let world = locked(&bench.world);
    let shown = world.shown.now(world.channels(), Instant::now());
    [shown[0], shown[shown.len() - 1]]
}

/// An image whose left half is bright.
fn left() -> Vec<u8> {
    bitmap(&[MirrorCode::nearest(1.0), MirrorCode::DARK])
}

/// The payload that sets a sequence as labscript's worker does.
fn sequence(depth: u8, count: u8, inverted: u8, trigger: u8, micros: [u32; 3]) -> Vec<u8> {
    let mut payload = vec![depth, count, inverted, trigger];
    payload.extend(micros.iter().flat_map(|micros| micros.to_le_bytes()));
    payload.push(0);
    payload
}

fn pattern(index: u8, file: &[u8]) -> Vec<u8> {
    [&[index], file].concat()
}

#[test]
fn a_shaper_does_what_labscripts_worker_tells_it() {
    let bench = serve(None);
    let mut stream = connect(bench.shaper_address());
    told(&mut stream, command::DISPLAY_MODE, &[4]).unwrap();
    assert!(bench.is_dark());
    let setting = sequence(1, 4, 0, 2, [0; 3]);
    told(&mut stream, command::SEQUENCE, &setting).unwrap();
    assert_eq!(read(&mut stream, command::SEQUENCE, &[]), Ok(setting));
    assert_eq!(told(&mut stream, command::START, &[1]), Err(7), "no pattern is there yet");
    for index in 0..4 {
        told(&mut stream, command::PATTERN, &pattern(index, &left())).unwrap();
    }
    told(&mut stream, command::SHOW_PATTERN, &[0, 0]).unwrap();
    assert_eq!(ends(&bench), [1.0, 0.0]);
    told(&mut stream, command::START, &[1]).unwrap();
    assert_eq!(ends(&bench), [1.0, 0.0], "no signal triggers the next");
    assert_eq!(told(&mut stream, command::ADVANCE, &[]), Err(7), "commands do not trigger");
    told(&mut stream, command::START, &[0]).unwrap();
    assert!(bench.is_dark());
    told(&mut stream, command::DISPLAY_MODE, &[0]).unwrap();
    told(&mut stream, command::STATIC_IMAGE, &left()).unwrap();
    assert_eq!(ends(&bench), [1.0, 0.0]);
}

#[test]
fn a_sequence_goes_on_by_commands_and_knows_inverted_patterns_and_depths() {
    let bench = serve(None);
    let mut stream = connect(bench.shaper_address());
    told(&mut stream, command::DISPLAY_MODE, &[4]).unwrap();
    told(&mut stream, command::SEQUENCE, &sequence(1, 2, 1, 0, [0; 3])).unwrap();
    told(&mut stream, command::PATTERN, &pattern(0, &left())).unwrap();
    told(&mut stream, command::PATTERN, &pattern(1, &bitmap(&[MirrorCode::DARK]))).unwrap();
    told(&mut stream, command::START, &[1]).unwrap();
    for expected in [[1.0, 0.0], [0.0, 1.0], [0.0, 0.0], [1.0, 1.0], [1.0, 0.0]] {
        assert_eq!(ends(&bench), expected);
        told(&mut stream, command::ADVANCE, &[]).unwrap();
    }
    // The long command: once, and then dark.
    let short = sequence(8, 2, 0, 0, [1, 2, 3]);
    let long = [&[8, 2, 0], &short[2..], &[0]].concat();
    told(&mut stream, command::LONG_SEQUENCE, &long).unwrap();
    assert_eq!(read(&mut stream, command::LONG_SEQUENCE, &[]), Ok(long));
    assert_eq!(read(&mut stream, command::SEQUENCE, &[]), Ok(short), "the same sequence");
    told(&mut stream, command::START, &[1]).unwrap();
    told(&mut stream, command::ADVANCE, &[]).unwrap();
    told(&mut stream, command::ADVANCE, &[]).unwrap();
    assert_eq!(told(&mut stream, command::ADVANCE, &[]), Err(7), "it is over");
    assert!(bench.is_dark());
}

#[test]
fn a_sequence_in_time_shows_each_frame_for_its_exposure() {
    let since = Instant::now();
    let [period, exposure] = [10, 4].map(Duration::from_millis);
    let shown = |repeats| Shown::Frames { frames: vec![vec![1.0], vec![0.5]], since, period, exposure, repeats };
    let at = |repeats, millis| shown(repeats).now(1, since + Duration::from_millis(millis))[0];
    assert_eq!([0, 3, 4, 9, 10, 13, 14, 20].map(|millis| at(true, millis)), [1.0, 1.0, 0.0, 0.0, 0.5, 0.5, 0.0, 1.0]);
    assert_eq!([10, 20].map(|millis| at(false, millis)), [0.5, 0.0]);
    assert!(!shown(true).is_dark());

    let bench = serve(None);
    let mut stream = connect(bench.shaper_address());
    told(&mut stream, command::DISPLAY_MODE, &[4]).unwrap();
    told(&mut stream, command::SEQUENCE, &sequence(1, 1, 0, 1, [0, 1000, 1000])).unwrap();
    told(&mut stream, command::PATTERN, &pattern(0, &left())).unwrap();
    told(&mut stream, command::START, &[1]).unwrap();
    assert_eq!(ends(&bench), [1.0, 0.0]);
}

#[test]
fn test_patterns_colors_and_display_settings_change_the_light() {
    let bench = serve(None);
    let mut stream = connect(bench.shaper_address());
    assert!(bench.is_dark(), "solid black after power is switched on");
    assert_eq!(read(&mut stream, command::TEST_PATTERN, &[]), Ok(vec![1]));
    for (number, expected) in [(2, [1.0; 2]), (0, [0.5; 2]), (5, [1.0 / 3.0; 2]), (7, [0.125; 2])] {
        told(&mut stream, command::TEST_PATTERN, &[number]).unwrap();
        assert_eq!(ends(&bench), expected, "{number}");
    }
    told(&mut stream, command::TEST_PATTERN, &[0x0C]).unwrap();
    let [dim, bright] = ends(&bench);
    assert!(dim < 0.1 && 0.9 < bright);
    told(&mut stream, command::DISPLAY_SETTING, &[0, 1, 0]).unwrap();
    assert_eq!(ends(&bench), [bright, dim], "across the short axis");
    told(&mut stream, command::DISPLAY_SETTING, &[1, 0, 1]).unwrap();
    assert_eq!(read(&mut stream, command::DISPLAY_SETTING, &[]), Ok(vec![1, 0, 1]));
    assert_eq!(ends(&bench), [dim, bright], "each channel has whole columns");
    told(&mut stream, command::DISPLAY_MODE, &[0]).unwrap();
    told(&mut stream, command::STATIC_COLOR, &[0, 0, 255, 0]).unwrap();
    assert_eq!(ends(&bench), [1.0 / 3.0; 2]);
    told(&mut stream, command::DISPLAY_MODE, &[2]).unwrap();
    assert!(bench.is_dark(), "there is no video");
    told(&mut stream, command::LED_CURRENT, &[1, 0, 2, 0, 3, 0]).unwrap();
    assert_eq!(read(&mut stream, command::LED_CURRENT, &[]), Ok(vec![1, 0, 2, 0, 3, 0]));
}

#[test]
fn what_a_shaper_cannot_do_is_refused_by_its_code() {
    let bench = serve(None);
    let mut stream = connect(bench.shaper_address());
    let refused = |stream: &mut TcpStream, command, payload: &[u8]| told(stream, command, payload).unwrap_err();
    assert_eq!(refused(&mut stream, [0x7F, 0x01], &[]), 2);
    assert_eq!(read(&mut stream, command::VERSION, &[9]), Err(3));
    assert_eq!(read(&mut stream, command::STATIC_IMAGE, &[]), Err(2));
    assert_eq!(refused(&mut stream, command::DISPLAY_MODE, &[5]), 3);
    assert_eq!(refused(&mut stream, command::DISPLAY_MODE, &[]), 10);
    assert_eq!(refused(&mut stream, command::DISPLAY_SETTING, &[0, 2, 0]), 3);
    assert_eq!(refused(&mut stream, command::TEST_PATTERN, &[0x0E]), 3);
    assert_eq!(refused(&mut stream, command::STATIC_IMAGE, &left()), 7, "it shows a test pattern");
    assert_eq!(refused(&mut stream, command::START, &[1]), 7, "it shows no sequence");
    assert_eq!(told(&mut stream, command::START, &[0]), Ok(()), "what does not run can be stopped");
    told(&mut stream, command::DISPLAY_MODE, &[4]).unwrap();
    assert_eq!(refused(&mut stream, command::PATTERN, &pattern(0, &left())), 7, "there is no sequence yet");
    for (depth, count) in [(0, 1), (9, 1), (1, 97), (2, 49), (8, 13), (1, 0)] {
        assert_eq!(
            refused(&mut stream, command::SEQUENCE, &sequence(depth, count, 0, 0, [0; 3])),
            3,
            "{depth} {count}"
        );
    }
    assert_eq!(
        refused(&mut stream, command::SEQUENCE, &sequence(1, 1, 0, 1, [0, 10, 20])),
        3,
        "longer than its period"
    );
    assert_eq!(refused(&mut stream, command::SEQUENCE, &[1, 1, 0, 0]), 10);
    told(&mut stream, command::SEQUENCE, &sequence(1, 1, 0, 0, [0; 3])).unwrap();
    assert_eq!(refused(&mut stream, command::PATTERN, &pattern(1, &left())), 3);
    assert_eq!(refused(&mut stream, command::PATTERN, &pattern(0, &left()[1..])), 3);
    assert_eq!(refused(&mut stream, command::SHOW_PATTERN, &[0, 0]), 3, "it is not defined");
    told(&mut stream, command::DISPLAY_MODE, &[0]).unwrap();
    assert_eq!(refused(&mut stream, command::STATIC_IMAGE, &left()[1..]), 3);
    let part = |flag| Packet { kind: kind::WRITE, command: command::STATIC_IMAGE, flag, payload: vec![0; 0xFFFF] };
    assert_eq!(said(&mut stream, &part(3)), (kind::ERROR, vec![11]));
    assert_eq!(said(&mut stream, &part(4)), (kind::ERROR, vec![10]));
    assert_eq!(said(&mut stream, &part(1)), (kind::WRITTEN, vec![]));
    let full = (0..40).map(|_| said(&mut stream, &part(2))).find(|answer| answer.0 == kind::ERROR);
    assert_eq!(full, Some((kind::ERROR, vec![4])), "more than any image");
    assert_eq!(raw(&mut stream, &[4, 1, 1, 0, 0, 0, 9], command::DISPLAY_MODE), (kind::ERROR, vec![9]));
}
