//! Public data sets: where their files lie, what they must be byte for byte, and how they are downloaded.
//!
//! A file is written beside its place (`NAME.partial`), compared with its published size and SHA-256, and only then given its
//! name: what is there under a file's own name is whole.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use sha2::{Digest, Sha256};

use crate::{Error, stop};

/// Longest wait for a connection.
const CONNECT: Duration = Duration::from_secs(10);
/// Longest wait for the head of an answer.
const ANSWER: Duration = Duration::from_secs(30);
/// Longest download of one file.
const WHOLE: Duration = Duration::from_mins(15);

/// A public data set.
#[derive(Debug, Clone, Copy)]
pub struct Source {
    /// What it is called on the command line.
    pub name: &'static str,
    /// What it is, and whose.
    pub about: &'static str,
    /// Where its files lie, tried in this order; each ends with a slash.
    pub mirrors: &'static [&'static str],
    /// The files.
    pub files: &'static [Remote],
}

/// One file, as it was published.
#[derive(Debug, Clone, Copy)]
pub struct Remote {
    /// Its name.
    pub name: &'static str,
    /// Its length.
    pub bytes: u64,
    /// SHA-256 in hexadecimal.
    pub sha256: &'static str,
}

/// All data sets that can be fetched.
pub const SOURCES: &[Source] = &[Source {
    name: "mnist",
    about: "60,000 + 10,000 handwritten digits of 28×28 pixels (LeCun, Cortes, Burges), IDX files with gzip",
    // The mirrors of PyTorch's torchvision (datasets/mnist.py) and of TensorFlow Datasets.
    mirrors: &["https://ossci-datasets.s3.amazonaws.com/mnist/", "https://storage.googleapis.com/cvdf-datasets/mnist/"],
    // Lengths and SHA-256 as in TensorFlow Datasets, url_checksums/mnist.txt.
    files: &[
        Remote {
            name: "train-images-idx3-ubyte.gz",
            bytes: 9_912_422,
            sha256: "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
        },
        Remote {
            name: "train-labels-idx1-ubyte.gz",
            bytes: 28_881,
            sha256: "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
        },
        Remote {
            name: "t10k-images-idx3-ubyte.gz",
            bytes: 1_648_877,
            sha256: "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
        },
        Remote {
            name: "t10k-labels-idx1-ubyte.gz",
            bytes: 4_542,
            sha256: "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
        },
    ],
}];

/// Downloads what is missing of `source` into `folder`, from `from` alone or from the mirrors; the names of the files that
/// were downloaded.
pub fn fetch(source: &Source, folder: &Path, from: Option<&str>) -> Result<Vec<&'static str>, Error> {
    let mirrors: Vec<String> = match from {
        Some(url) => vec![format!("{}/", url.trim_end_matches('/'))],
        None => source.mirrors.iter().map(|&mirror| mirror.to_owned()).collect(),
    };
    if let Some(bad) = mirrors.iter().find(|url| !url.starts_with("http://") && !url.starts_with("https://")) {
        return Err(Error::Usage(format!(
            "--from {bad}: give a folder on the web that begins with http:// or https://"
        )));
    }
    let missing = source.files.iter().filter_map(|file| match present(folder, file) {
        Ok(true) => None,
        Ok(false) => Some(Ok(file)),
        Err(error) => Some(Err(error)),
    });
    let missing: Vec<&Remote> = missing.collect::<Result<_, _>>()?;
    let by_hand = format!(
        "Or put {} by hand into {} and go on with --data",
        source.files.iter().map(|file| file.name).collect::<Vec<_>>().join(", "),
        folder.display()
    );
    if !missing.is_empty() {
        fs::create_dir_all(folder).map_err(Error::chosen(folder, "cannot be made", "--to"))?;
    }
    for file in &missing {
        let mut tried = Vec::new();
        let arrived = mirrors.iter().any(|mirror| match download(mirror, file, folder) {
            Ok(()) => true,
            Err(why) => {
                tried.push(format!("{mirror}{}: {why}", file.name));
                stop::requested()
            }
        });
        if stop::requested() {
            return Err(Error::Stopped(folder.to_owned()));
        }
        if !arrived {
            return Err(Error::Download { what: file.name.to_owned(), tried: tried.join("; "), by_hand });
        }
    }
    Ok(missing.iter().map(|file| file.name).collect())
}

/// Whether the file is there as published. What is there under its name and is something else is not touched.
fn present(folder: &Path, file: &Remote) -> Result<bool, Error> {
    let path = folder.join(file.name);
    let content = match fs::read(&path) {
        Ok(content) => content,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(Error::chosen(&path, "cannot be read", "--to")(error)),
    };
    if hexadecimal(&Sha256::digest(&content)) == file.sha256 {
        return Ok(true);
    }
    let message =
        "is there already, but is not the published file (its SHA-256 differs). It may still be good data: use it with --data, or \
         move it away, or choose another --to"
            .to_owned();
    Err(Error::Record { path, message })
}

/// Downloads one file, whole or not at all; what went wrong, as part of a sentence.
fn download(mirror: &str, file: &Remote, folder: &Path) -> Result<(), String> {
    let (path, partial) = (folder.join(file.name), folder.join(format!("{}.partial", file.name)));
    let result = receive(&format!("{mirror}{}", file.name), file, &partial).and_then(|()| {
        fs::rename(&partial, &path).map_err(|error| format!("cannot be named {}: {error}", path.display()))
    });
    if result.is_err() {
        // It may not have been made at all.
        let _ = fs::remove_file(&partial);
    }
    result
}

/// Writes what `url` sends to `partial`, and compares it with what was published.
fn receive(url: &str, file: &Remote, partial: &PathBuf) -> Result<(), String> {
    let config = ureq::Agent::config_builder()
        .timeout_connect(Some(CONNECT))
        .timeout_recv_response(Some(ANSWER))
        .timeout_global(Some(WHOLE))
        .user_agent(concat!("pnnlab/", env!("CARGO_PKG_VERSION")))
        .build();
    let mut answer = ureq::Agent::new_with_config(config).get(url).call().map_err(|error| match error {
        ureq::Error::StatusCode(code) => format!("the server answers {code}"),
        other => format!("{other}"),
    })?;
    let mut body = answer.body_mut().as_reader();
    let mut content =
        File::create(partial).map_err(|error| format!("{} cannot be made: {error}", partial.display()))?;
    let bar = ProgressBar::new(file.bytes).with_message(file.name);
    let style = ProgressStyle::with_template("{msg:28} {bar:30} {bytes:>10} of {total_bytes}  {eta}");
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    let (mut hash, mut received, mut buffer) = (Sha256::new(), 0, vec![0; 1 << 16]);
    loop {
        if stop::requested() {
            return Err("stopped by the user".to_owned());
        }
        let count = body.read(&mut buffer).map_err(|error| format!("broke off after {received} bytes: {error}"))?;
        if count == 0 {
            break;
        }
        received += count as u64;
        if file.bytes < received {
            return Err(format!("sends more than the {} bytes that were published", file.bytes));
        }
        hash.update(&buffer[..count]);
        content
            .write_all(&buffer[..count])
            .map_err(|error| format!("{} cannot be written: {error}", partial.display()))?;
        bar.set_position(received);
    }
    bar.finish_and_clear();
    if received != file.bytes {
        return Err(format!("ended after {received} of {} bytes", file.bytes));
    }
    let found = hexadecimal(&hash.finalize());
    if found != file.sha256 {
        return Err(format!("sent another file: its SHA-256 is {found}, published is {}", file.sha256));
    }
    content.sync_all().map_err(|error| format!("{} cannot be written: {error}", partial.display()))
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |text, byte| format!("{text}{byte:02x}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{BufRead, BufReader};
    use std::net::TcpListener;

    /// Ten bytes, and their SHA-256.
    const BODY: &[u8] = b"0123456789";
    const GOOD: Source = Source {
        name: "ten",
        about: "ten bytes",
        mirrors: &[],
        files: &[Remote {
            name: "ten.bin",
            bytes: 10,
            sha256: "84d89877f0d4041efb6bf91a16f0248f2fd573e6af05c19f96bedb9f882f7882",
        }],
    };

    /// A server on this machine that gives each of `answers` once; its address.
    fn serve(answers: Vec<Vec<u8>>) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        std::thread::spawn(move || {
            for answer in answers {
                let Ok((mut stream, _)) = listener.accept() else { return };
                let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
                while lines.next().is_some_and(|line| line.is_ok_and(|line| !line.is_empty())) {}
                let _ = stream.write_all(&answer);
            }
        });
        url
    }

    fn ok(length: usize, body: &[u8]) -> Vec<u8> {
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n");
        [head.as_bytes(), body].concat()
    }

    fn refusal(answer: Vec<u8>) -> String {
        let folder = tempfile::tempdir().unwrap();
        let error = fetch(&GOOD, folder.path(), Some(&serve(vec![answer]))).unwrap_err();
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0, "nothing is left behind");
        assert_eq!(error.exit_code(), 12);
        error.to_string()
    }

    #[test]
    fn a_file_arrives_whole_and_is_not_fetched_twice() {
        let folder = tempfile::tempdir().unwrap();
        let url = serve(vec![ok(10, BODY)]);
        assert_eq!(fetch(&GOOD, folder.path(), Some(&url)).unwrap(), ["ten.bin"]);
        assert_eq!(fs::read(folder.path().join("ten.bin")).unwrap(), BODY);
        assert!(fetch(&GOOD, folder.path(), Some(&url)).unwrap().is_empty(), "the server is gone and not asked");
    }

    #[test]
    fn the_second_mirror_stands_in_for_the_first() {
        let folder = tempfile::tempdir().unwrap();
        let broken: &'static str = format!("{}/", serve(vec![ok(10, b"9876543210")])).leak();
        let good: &'static str = format!("{}/", serve(vec![ok(10, BODY)])).leak();
        let source = Source { mirrors: vec![broken, good].leak(), ..GOOD };
        assert_eq!(fetch(&source, folder.path(), None).unwrap(), ["ten.bin"]);
    }

    #[test]
    fn what_is_not_the_published_file_is_refused() {
        assert!(refusal(ok(10, b"9876543210")).contains("another file: its SHA-256 is "));
        assert!(refusal(ok(11, b"01234567890")).contains("sends more than the 10 bytes"));
        assert!(refusal(ok(4, b"0123")).contains("ended after 4 of 10 bytes"));
        assert!(refusal(ok(10, b"0123")).contains("broke off after 4 bytes"));
        let missing = b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".to_vec();
        let text = refusal(missing);
        assert!(text.contains("the server answers 404"), "{text}");
        assert!(text.contains("Or put ten.bin by hand into "), "{text}");
    }

    #[test]
    fn a_file_of_the_user_is_not_overwritten() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("ten.bin"), "mine").unwrap();
        let error = fetch(&GOOD, folder.path(), Some("http://127.0.0.1:9")).unwrap_err();
        assert!(error.to_string().contains("is not the published file"), "{error}");
        assert_eq!(fs::read(folder.path().join("ten.bin")).unwrap(), b"mine");
    }
}
