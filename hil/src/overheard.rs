//! Passes connections on to a served instrument, and writes down the text commands that controllers send to it: what was really asked of it, whoever
//! asked.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};

use drivers::Address;

/// A line is kept up to this length: what is longer holds samples.
const LONGEST: usize = 256;

/// An address that leads to an instrument, and what was sent to it. It serves as long as the program runs.
#[derive(Debug, Clone)]
pub struct Overheard {
    /// Where controllers connect to.
    pub address: Address,
    lines: Arc<Mutex<Vec<String>>>,
}

impl Overheard {
    /// Before the instrument at `target`, which must be a TCP address.
    pub fn before(target: &Address) -> std::io::Result<Self> {
        let Address::Tcp { host, port } = target else {
            return Err(std::io::Error::other(format!("{target} is no TCP address")));
        };
        let (host, port) = (host.clone(), *port);
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let own = listener.local_addr()?;
        let address = format!("tcp://{own}").parse().map_err(std::io::Error::other)?;
        let lines = Arc::new(Mutex::new(Vec::new()));
        let heard = lines.clone();
        let serve = move || {
            for near in listener.incoming().map_while(Result::ok) {
                let Ok(far) = TcpStream::connect((host.as_str(), port)) else { continue };
                // A connection that cannot be passed on ends; the controller connects again.
                drop(pass(near, far, &heard));
            }
        };
        std::thread::Builder::new().name("overheard".into()).spawn(serve)?;
        Ok(Self { address, lines })
    }

    /// The numbers that were sent behind `header`, such as `SOUR2:VOLT:OFFS`, in their order.
    pub fn numbers(&self, header: &str) -> Vec<f32> {
        let lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        let commands = lines.iter().flat_map(|line| line.split(';'));
        commands.filter_map(|command| command.trim().strip_prefix(header)?.trim().parse().ok()).collect()
    }
}

/// Passes bytes on in both directions; those to the instrument are looked through for lines.
fn pass(near: TcpStream, far: TcpStream, heard: &Arc<Mutex<Vec<String>>>) -> std::io::Result<()> {
    near.set_nodelay(true)?;
    far.set_nodelay(true)?;
    let (mut back_from, mut back_to) = (far.try_clone()?, near.try_clone()?);
    let (mut from, mut to, heard) = (near, far, heard.clone());
    std::thread::Builder::new().name("overheard".into()).spawn(move || {
        let _ = std::io::copy(&mut back_from, &mut back_to);
        let _ = back_to.shutdown(Shutdown::Write);
    })?;
    std::thread::Builder::new().name("overheard".into()).spawn(move || {
        let (mut bytes, mut line) = ([0; 4096], Vec::new());
        while let Ok(count @ 1..) = from.read(&mut bytes) {
            for byte in &bytes[..count] {
                if *byte != b'\n' {
                    line.push(*byte);
                    continue;
                }
                if line.len() <= LONGEST {
                    let text = String::from_utf8_lossy(&line).into_owned();
                    heard.lock().unwrap_or_else(PoisonError::into_inner).push(text);
                }
                line.clear();
            }
            if to.write_all(&bytes[..count]).is_err() {
                break;
            }
        }
        let _ = to.shutdown(Shutdown::Write);
    })?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader};

    use super::*;

    #[test]
    fn what_is_sent_is_passed_on_and_written_down() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let target: Address = format!("tcp://{}", listener.local_addr().unwrap()).parse().unwrap();
        let echo = std::thread::spawn(move || {
            let (stream, _) = listener.accept().unwrap();
            let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
            let mut stream = stream;
            while let Some(Ok(line)) = lines.next() {
                writeln!(stream, "{line}").unwrap();
            }
        });
        let overheard = Overheard::before(&target).unwrap();
        let Address::Tcp { host, port } = &overheard.address else { panic!("{}", overheard.address) };
        let mut stream = TcpStream::connect((host.as_str(), *port)).unwrap();
        writeln!(stream, "SOUR2:VOLT:OFFS 0.25;*OPC?\nSOUR1:FUNC ARB\nSOUR2:VOLT:OFFS -0.5").unwrap();
        let mut answers = BufReader::new(stream.try_clone().unwrap()).lines();
        assert_eq!(answers.nth(2).unwrap().unwrap(), "SOUR2:VOLT:OFFS -0.5");
        assert_eq!(overheard.numbers("SOUR2:VOLT:OFFS"), [0.25, -0.5]);
        drop((stream, answers));
        echo.join().unwrap();
    }
}
