//! One owner per instrument: a lock that the system takes back when its holder dies, however it dies.
//!
//! The lock is on a file named after the address, in a folder that all processes of this machine share. The file says who
//! holds it; whoever finds it locked can tell its user. Nobody has to clean up after `kill -9`.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use crate::{Address, Error};

/// How often, and how long apart, a lock that is held is tried again before its holder is believed to be one.
const LOOKS: u32 = 4;
const LOOK: Duration = Duration::from_millis(5);

/// Who holds an instrument.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Holder {
    /// The process.
    pub process: u32,
    /// Its command line.
    pub command: String,
    /// Since when: seconds since 1970.
    pub since_unix_seconds: f64,
    /// Where it listens for requests, if it does.
    #[serde(default)]
    pub control: Option<PathBuf>,
}

impl Holder {
    /// This process, from now on.
    fn this() -> Self {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self {
            process: std::process::id(),
            command: std::env::args().collect::<Vec<_>>().join(" "),
            since_unix_seconds: since.as_secs_f64(),
            control: None,
        }
    }
}

impl std::fmt::Display for Holder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "process {} (`{}`)", self.process, self.command)
    }
}

/// A held instrument; dropping it gives it back.
#[derive(Debug)]
pub struct Owned {
    file: File,
    holder: Holder,
}

impl Owned {
    /// Takes the instrument called `instrument` at `address`, or says who has it. A recording has no owner.
    pub fn take(instrument: &str, address: &Address) -> Result<Option<Self>, Error> {
        let Some(path) = lock_file(address) else { return Ok(None) };
        let failed = |source: std::io::Error| Error::Lock { path: path.clone(), message: source.to_string() };
        let mut file = open(&path).map_err(failed)?;
        let mut locked = file.try_lock();
        for _ in 0..LOOKS {
            // Somebody who only looks, in `holder`, has it for a moment.
            if matches!(locked, Err(TryLockError::WouldBlock)) {
                std::thread::sleep(LOOK);
                locked = file.try_lock();
            }
        }
        match locked {
            Ok(()) => {}
            Err(TryLockError::Error(source)) => return Err(failed(source)),
            Err(TryLockError::WouldBlock) => {
                let owner = read(&mut file).map_or_else(|| "another process".to_owned(), |holder| holder.to_string());
                return Err(Error::Owned { instrument: instrument.to_owned(), address: address.to_string(), owner });
            }
        }
        let mut owned = Self { file, holder: Holder::this() };
        owned.write().map_err(failed)?;
        Ok(Some(owned))
    }

    /// Says where this process listens for requests.
    pub fn announce(&mut self, control: &Path) {
        self.holder.control = Some(control.to_owned());
        // Whoever cannot read it falls back to signals.
        let _ = self.write();
    }

    /// Who holds it: this process.
    pub fn holder(&self) -> &Holder {
        &self.holder
    }

    fn write(&mut self) -> std::io::Result<()> {
        let text = serde_json::to_string(&self.holder)?;
        self.file.set_len(0)?;
        self.file.rewind()?;
        self.file.write_all(text.as_bytes())?;
        self.file.flush()
    }
}

/// Who holds the instrument at `address`, if anybody does.
pub fn holder(address: &Address) -> Option<Holder> {
    let mut file = open(&lock_file(address)?).ok()?;
    match file.try_lock() {
        Err(TryLockError::WouldBlock) => read(&mut file),
        _ => None,
    }
}

/// The lock of an address, if it can have an owner.
fn lock_file(address: &Address) -> Option<PathBuf> {
    Some(folder().join(plain_name(address)? + ".lock"))
}

/// The file of what was driven lately through the instrument at `address`, if it can have an owner.
pub(crate) fn ledger_file(address: &Address) -> Option<PathBuf> {
    Some(folder().join("driven").join(plain_name(address)? + ".json"))
}

/// The folder that all processes of this machine share.
fn folder() -> PathBuf {
    std::env::temp_dir().join("pnnlab-owners")
}

/// The name of an address in files, if it can have an owner. The same port by two names is two addresses.
fn plain_name(address: &Address) -> Option<String> {
    let name = match address {
        Address::Tcp { host, port } => format!("tcp-{host}-{port}"),
        // A stable link and the port that it points to are one instrument.
        Address::Serial { path, .. } => {
            format!("serial{}", std::fs::canonicalize(path).unwrap_or_else(|_| path.clone()).display())
        }
        Address::Audio { device } => format!("audio-{device}"),
        Address::Replay { .. } => return None,
    };
    Some(name.chars().map(|letter| if letter.is_ascii_alphanumeric() { letter } else { '-' }).collect())
}

/// Opens a lock file, making folder and file where they are missing; every user of the machine may lock.
fn open(path: &Path) -> std::io::Result<File> {
    if let Some(folder) = path.parent()
        && std::fs::create_dir_all(folder).is_ok()
    {
        share_folder(folder, 0o1777);
    }
    let mut options = OpenOptions::new();
    options.read(true).write(true);
    // Not made anew where it is there: the system lets nobody make another user's file in a shared folder.
    match options.open(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        opened => return opened,
    }
    let file = options.create(true).truncate(false).open(path)?;
    share_file(&file);
    Ok(file)
}

/// Lets others use a folder; where it belongs to somebody else they have done so already. What a link points to is left as it is:
/// it may be anybody's.
pub(crate) fn share_folder(path: &Path, mode: u32) {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        if std::fs::symlink_metadata(path).is_ok_and(|found| found.is_dir()) {
            let _ = std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode));
        }
    }
    #[cfg(not(unix))]
    let _ = (path, mode);
}

/// Lets others read and write a file that this process has made.
pub(crate) fn share_file(file: &File) {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let _ = file.set_permissions(std::fs::Permissions::from_mode(0o666));
    }
    #[cfg(not(unix))]
    let _ = file;
}

/// What a lock file says.
fn read(file: &mut File) -> Option<Holder> {
    let mut text = String::new();
    file.rewind().ok()?;
    file.read_to_string(&mut text).ok()?;
    serde_json::from_str(&text).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_is_told_who_holds_the_instrument() {
        let address = Address::Tcp { host: "owner-test.invalid".into(), port: 5025 };
        assert_eq!(holder(&address), None);
        let mut first = Owned::take("scope", &address).unwrap().unwrap();
        let error = Owned::take("scope", &address).unwrap_err();
        assert!(!error.is_retryable());
        let text = error.to_string();
        assert!(text.contains("`scope`") && text.contains(&format!("process {}", std::process::id())), "{text}");
        first.announce(Path::new("runs/a/control.sock"));
        assert_eq!(holder(&address).unwrap().control.unwrap(), Path::new("runs/a/control.sock"));
        drop(first);
        assert_eq!(holder(&address), None);
        assert!(Owned::take("scope", &address).unwrap().is_some());
        assert!(Owned::take("replay", &Address::Replay { path: "x".into() }).unwrap().is_none());
    }
}
