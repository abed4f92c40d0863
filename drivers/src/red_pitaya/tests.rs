//! A server that says nothing to what it does not know.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::sync::{Arc, Mutex};

use super::*;

/// A server that keeps what it is told and gives it back; a connection on which it is asked for its commands is dead from then on. It has
/// `ACQ:TRIG:FILL?` or not.
fn mute_to_help(is_second: bool) -> (Address, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let told = Arc::new(Mutex::new(vec![]));
    let notes = told.clone();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let notes = notes.clone();
            std::thread::spawn(move || {
                let (mut kept, mut errors, mut is_mute) = (BTreeMap::new(), 0, false);
                let mut write = stream.try_clone().unwrap();
                for line in BufReader::new(stream).lines().map_while(Result::ok) {
                    notes.lock().unwrap().push(line.clone());
                    is_mute |= line == "SYST:HELP?";
                    if is_mute {
                        continue;
                    }
                    let answer = match line.as_str() {
                        "*IDN?" => Some("REDPITAYA,INSTR2023,0,01-02".to_owned()),
                        "*ESR?" => Some("0".to_owned()),
                        ":SYST:ERR?" if 0 < errors => {
                            errors -= 1;
                            Some("-113,\"Undefined header\"".to_owned())
                        }
                        ":SYST:ERR?" => Some("0,\"No error\"".to_owned()),
                        "ACQ:TRIG:FILL?" if is_second => Some("0".to_owned()),
                        "ACQ:TRIG:FILL?" => {
                            errors += 1;
                            None
                        }
                        query if query.ends_with('?') => kept.get(query.trim_end_matches('?')).cloned(),
                        line => {
                            let (header, value) = line.split_once(' ').unwrap_or((line, ""));
                            kept.insert(header.to_owned(), value.to_owned());
                            None
                        }
                    };
                    let Some(answer) = answer else { continue };
                    if write.write_all(format!("{answer}\r\n").as_bytes()).is_err() {
                        return;
                    }
                }
            });
        }
    });
    (Address::Tcp { host: "127.0.0.1".into(), port }, told)
}

fn config() -> RedPitayaConfig {
    RedPitayaConfig {
        address: String::new(),
        wiring: "OUT1 to IN1".into(),
        waveform: WaveformConfig {
            samples: 4,
            rest_samples: 4,
            sample_rate_hertz: 1e6,
            drive_volts: 1.0,
            reading_volts: 1.0,
            burst_samples: 64,
            retries: 0,
        },
        deadline_seconds: 1.0,
        identity: String::new(),
        serial: String::new(),
        controls: ScpiControlsConfig::default(),
        terminator: Terminator::CrLf,
        pipelined: true,
    }
}

#[test]
fn a_server_that_says_nothing_of_its_commands_is_asked_what_only_one_system_has() {
    for (is_second, fire) in [(false, "SOUR1:TRIG:IMM"), (true, "SOUR1:TRIG:INT")] {
        let (address, told) = mute_to_help(is_second);
        let options = LinkOptions { open_within: Duration::from_secs(1), ..LinkOptions::new("pitaya", address) };
        let opened = RedPitaya::open(&config(), &options).unwrap();
        assert_eq!((opened.commands.fire, opened.commands.tells_full), (fire, is_second));
        let told = told.lock().unwrap();
        assert!(told.iter().any(|line| line == "ACQ:DEC 125"), "{told:?}");
        assert!(told.iter().all(|line| !line.starts_with("OUTPUT")), "connecting switches nothing: {told:?}");
    }
}
