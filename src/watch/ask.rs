//! One question to a run by its control socket, and its answer.

use std::io::{BufRead, BufReader, ErrorKind, Write};
use std::path::Path;
use std::time::Duration;

use crate::control::{Reply, Request, connect};

/// Asks the run in `folder` one thing.
pub fn ask(folder: &Path, request: &Request, patience: Duration) -> Result<Reply, String> {
    let exchange = || -> std::io::Result<Reply> {
        let mut stream = connect(folder)?;
        stream.set_read_timeout(Some(patience))?;
        stream.set_write_timeout(Some(patience))?;
        writeln!(stream, "{}", serde_json::to_string(request)?)?;
        let mut line = String::new();
        BufReader::new(stream).read_line(&mut line)?;
        if line.is_empty() {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        serde_json::from_str(&line).map_err(std::io::Error::from)
    };
    exchange().map_err(|error| reason(&error))
}

/// Why there is no connection, in words.
pub fn reason(error: &std::io::Error) -> String {
    match error.kind() {
        ErrorKind::NotFound => "no control socket".to_owned(),
        ErrorKind::ConnectionRefused => "nobody listens".to_owned(),
        ErrorKind::WouldBlock | ErrorKind::TimedOut => "no answer in time".to_owned(),
        ErrorKind::UnexpectedEof => "the connection ended".to_owned(),
        _ => error.to_string(),
    }
}
