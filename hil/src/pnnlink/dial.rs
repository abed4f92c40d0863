//! How tests and the soak reach a served instrument.

use std::path::PathBuf;

use drivers::pnnlink::link::{Opener, Opening};
use drivers::pnnlink::session::Stream;

use crate::Terminal;

/// A wire to `tcp://HOST:PORT` or to the path of a terminal.
#[derive(Debug, Clone)]
pub struct Dial(pub String);

impl Opener for Dial {
    fn open(&mut self) -> Opening<'_> {
        Box::pin(async {
            match self.0.strip_prefix("tcp://") {
                Some(place) => {
                    let stream = tokio::net::TcpStream::connect(place).await?;
                    stream.set_nodelay(true)?;
                    Ok(Box::new(stream) as Box<dyn Stream>)
                }
                None => Ok(Box::new(Terminal::connect(&PathBuf::from(&self.0))?) as Box<dyn Stream>),
            }
        })
    }

    fn address(&self) -> &str {
        &self.0
    }
}
