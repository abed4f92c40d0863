//! Gzip as it lies on disks: one member after another, and perhaps zeros behind the last, as tapes and copies by block leave them.

use std::io::{self, BufRead, ErrorKind, Read};

use flate2::bufread::GzDecoder;

/// Unpacks the members of `R`.
pub struct Gunzip<R> {
    /// None only while one member is exchanged for the next.
    member: Option<GzDecoder<R>>,
    at_end: bool,
}

impl<R: BufRead> Gunzip<R> {
    /// What `packed` unpacks to.
    pub fn new(packed: R) -> Self {
        Self { member: Some(GzDecoder::new(packed)), at_end: false }
    }

    /// Goes on to the next member, behind zeros; `false` at the end.
    fn go_on(&mut self) -> io::Result<bool> {
        let Some(mut rest) = self.member.take().map(GzDecoder::into_inner) else { return Ok(false) };
        loop {
            let ahead = rest.fill_buf()?;
            let zeros = ahead.iter().take_while(|byte| **byte == 0).count();
            match ahead.get(zeros) {
                Some(0x1F) => {
                    rest.consume(zeros);
                    self.member = Some(GzDecoder::new(rest));
                    return Ok(true);
                }
                Some(_) => return Err(io::Error::new(ErrorKind::InvalidData, "what follows its gzip is none")),
                None if zeros == 0 => return Ok(false),
                None => rest.consume(zeros),
            }
        }
    }
}

impl<R: BufRead> Read for Gunzip<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while !self.at_end && !buffer.is_empty() {
            let count = self.member.as_mut().map_or(Ok(0), |member| member.read(buffer))?;
            if count > 0 {
                return Ok(count);
            }
            self.at_end = !self.go_on()?;
        }
        Ok(0)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::Compression;
    use flate2::write::GzEncoder;

    use super::*;

    fn packed(text: &str) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(text.as_bytes()).unwrap();
        encoder.finish().unwrap()
    }

    fn unpacked(bytes: &[u8]) -> io::Result<String> {
        let mut text = String::new();
        // A small buffer, so that members and zeros lie across its ends.
        Gunzip::new(io::BufReader::with_capacity(7, bytes)).read_to_string(&mut text).map(|_| text)
    }

    #[test]
    fn members_follow_one_another_and_zeros_do_not_matter() {
        let zeros = vec![0; 100];
        assert_eq!(unpacked(&packed("ab")).unwrap(), "ab");
        assert_eq!(unpacked(&[packed("ab"), zeros.clone()].concat()).unwrap(), "ab");
        assert_eq!(unpacked(&[packed("ab"), zeros, packed("cd")].concat()).unwrap(), "abcd");
        assert_eq!(unpacked(&[packed(""), packed("cd")].concat()).unwrap(), "cd");
        assert!(unpacked(&[packed("ab"), b"xyz".to_vec()].concat()).unwrap_err().to_string().contains("is none"));
        let whole = packed("ab");
        assert!(unpacked(&whole[..whole.len() - 1]).is_err(), "cut off");
    }
}
