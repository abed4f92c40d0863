//! One owner per instrument: a lock that the system takes back when its holder dies, however it dies.
//!
//! The lock is on a file named after where the instrument really is, in the folder of the user's locks (`owner/folder.rs`), and on
//! Linux on a name in the kernel as well, which all users share and nobody can delete (`owner/kernel.rs`). The file says who holds
//! it; whoever finds it locked can tell its user. What the file says is believed only where the kernel says the same. Nobody has to
//! clean up after `kill -9`.
//!
//! An instrument that has said its serial number is locked by that as well: the same one by another address is then refused.

mod folder;
mod holder;
mod kernel;
mod names;

use std::fs::{File, TryLockError};
use std::io::{Seek, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use crate::ledger::Place;
use crate::{Address, Error, LinkOptions};

pub(crate) use folder::{Folder, user};
pub(crate) use holder::started as process_start;
pub use holder::{Grip, Holder};
use kernel::{Name, Taken};
pub use kernel::{Peer, peer};
pub(crate) use names::is_serial_number;

/// How often, and how long apart, a lock that is held is tried again before its holder is believed to be one.
const LOOKS: u32 = 5;
const LOOK: Duration = Duration::from_millis(5);

/// The locks of this process, so that two of its instruments are named that are one.
static OWN: Mutex<Vec<Weak<Lock>>> = Mutex::new(Vec::new());

/// A lock that this process holds.
#[derive(Debug)]
struct Lock {
    name: String,
    path: PathBuf,
    file: File,
    /// Vanishes with it.
    _in_kernel: Option<Name>,
    /// The bench and the instrument that it is for, by their names in the rig.
    bench: String,
    instrument: String,
}

/// A held instrument; dropping it gives it back.
#[derive(Debug)]
pub struct Owned {
    locks: Vec<Arc<Lock>>,
    holder: Holder,
    bench: String,
    instrument: String,
    address: String,
}

impl Owned {
    /// Takes the instrument called `instrument` at `address`, or says who has it. A recording has no owner.
    pub fn take(instrument: &str, address: &Address) -> Result<Option<Self>, Error> {
        Self::of(&LinkOptions::new(instrument, address.clone()))
    }

    /// Takes the instrument of a link.
    pub(crate) fn of(link: &LinkOptions) -> Result<Option<Self>, Error> {
        let mut owned = Self {
            locks: vec![],
            holder: Holder::this(),
            bench: link.bench.clone(),
            instrument: link.instrument.clone(),
            address: link.address.to_string(),
        };
        for name in names::names(&link.address) {
            let lock = owned.lock(&name, |owner| owner)?;
            owned.keep(lock)?;
        }
        Ok((!owned.locks.is_empty()).then_some(owned))
    }

    /// The instrument has said who it is: takes it by that name as well, or says who has it by another address.
    ///
    /// Two connections of one bench may lead to one box.
    pub(crate) fn claim(&mut self, maker: &str, model: &str, serial: &str) -> Result<(), Error> {
        let Some(name) = names::numbered(maker, model, serial) else { return Ok(()) };
        if self.locks.iter().any(|lock| lock.name == name) {
            return Ok(());
        }
        let shared = own(&name).filter(|lock| lock.bench == self.bench);
        let lock = shared.map_or_else(
            || {
                let who = crate::dialogue::shown(format!("{maker} {model} {serial}").as_bytes());
                let words = |owner| format!("{owner}, which has it by another address: both say that they are `{who}`");
                self.lock(&name, words)
            },
            Ok,
        )?;
        self.keep(lock)
    }

    /// Whether nobody else in this process talks to the same box.
    pub(crate) fn is_alone(&self) -> bool {
        self.locks.iter().all(|lock| Arc::strong_count(lock) == 1)
    }

    /// Says where this process listens for requests.
    pub fn announce(&mut self, control: &Path) {
        self.holder.control = Some(control.to_owned());
        // Whoever cannot read it falls back to signals.
        self.locks.iter().for_each(|lock| drop(lock.write(&self.holder)));
    }

    /// Who holds it: this process.
    pub fn holder(&self) -> &Holder {
        &self.holder
    }

    /// Takes the lock called `name`; `words` makes of its owner what the error says.
    fn lock(&self, name: &str, words: impl Fn(String) -> String) -> Result<Arc<Lock>, Error> {
        let folder = Folder::find()?;
        let path = folder.file(&file_name(name));
        let failed = |source: std::io::Error| Error::Lock { path: path.clone(), message: source.to_string() };
        if let Some((file, in_kernel)) = lock_in(&folder, name).map_err(failed)? {
            let (name, bench, instrument) = (name.to_owned(), self.bench.clone(), self.instrument.clone());
            return Ok(Arc::new(Lock { name, path, file, _in_kernel: in_kernel, bench, instrument }));
        }
        let holder = find(&folder, name).map_err(failed)?.unwrap_or_else(|| Holder::unwritten(None, None));
        let owner = match own(name) {
            Some(lock) => format!("{holder}, as its instrument `{}`", lock.instrument),
            None => holder.to_string(),
        };
        let (instrument, address) = (self.instrument.clone(), self.address.clone());
        Err(Error::Owned { instrument, address, owner: words(owner) })
    }

    /// Keeps a lock, and writes down in it who holds it.
    fn keep(&mut self, lock: Arc<Lock>) -> Result<(), Error> {
        let failed = |source: std::io::Error| Error::Lock { path: lock.path.clone(), message: source.to_string() };
        lock.write(&self.holder).map_err(failed)?;
        let mut own = OWN.lock().unwrap_or_else(PoisonError::into_inner);
        own.retain(|lock| lock.strong_count() > 0);
        own.push(Arc::downgrade(&lock));
        self.locks.push(lock);
        Ok(())
    }
}

impl Lock {
    /// Says who holds it: one line, and nothing of what was there before.
    fn write(&self, holder: &Holder) -> std::io::Result<()> {
        let line = serde_json::to_string(holder)? + "\n";
        let mut file = &self.file;
        file.rewind()?;
        file.write_all(line.as_bytes())?;
        self.file.set_len(line.len() as u64)
    }
}

/// Who holds the instrument at `address`, if anybody does.
///
/// Fails where that cannot be looked up.
pub fn holder(address: &Address) -> Result<Option<Holder>, Error> {
    let names = names::names(address);
    if names.is_empty() {
        return Ok(None);
    }
    let folder = Folder::find()?;
    for name in names {
        let path = folder.file(&file_name(&name));
        let found = find(&folder, &name);
        let found = found.map_err(|source| Error::Lock { path, message: source.to_string() })?;
        if found.is_some() {
            return Ok(found);
        }
    }
    Ok(None)
}

/// Whether two addresses lead to one instrument, however they are spelled. Recordings are no instruments.
pub fn is_same_instrument(one: &Address, other: &Address) -> bool {
    if matches!((one, other), (Address::Tcp { port: one, .. }, Address::Tcp { port: other, .. }) if one != other) {
        return false;
    }
    let names = names::names(one);
    names::names(other).iter().any(|name| names.contains(name))
}

/// Where it is noted what was driven lately through the instrument at `address`, if it can have an owner.
pub(crate) fn ledger_place(address: &Address) -> Result<Option<Place>, Error> {
    let names = names::names(address);
    if names.is_empty() { Ok(None) } else { Ok(Some(Place { folder: Folder::find()?, names })) }
}

/// The file of the lock called `name`.
fn file_name(name: &str) -> String {
    format!("{name}.lock")
}

/// The lock called `name`, where this process holds it.
fn own(name: &str) -> Option<Arc<Lock>> {
    let own = OWN.lock().unwrap_or_else(PoisonError::into_inner);
    own.iter().filter_map(Weak::upgrade).find(|lock| lock.name == name)
}

/// Locks the file and takes the name in the kernel; none where somebody has one of them.
fn lock_in(folder: &Folder, name: &str) -> std::io::Result<Option<(File, Option<Name>)>> {
    for look in 0..LOOKS {
        // Somebody who only looks has it for a moment.
        if 0 < look {
            std::thread::sleep(LOOK);
        }
        let file = folder.open_or_make(&file_name(name))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::Error(source)) => return Err(source),
            Err(TryLockError::WouldBlock) => continue,
        }
        match Name::take(name) {
            Taken::Ours(in_kernel) => return Ok(Some((file, Some(in_kernel)))),
            Taken::Unknown => return Ok(Some((file, None))),
            Taken::Theirs => {}
        }
    }
    Ok(None)
}

/// Who holds the lock called `name`, if anybody does.
fn find(folder: &Folder, name: &str) -> std::io::Result<Option<Holder>> {
    let mut written = None;
    let mut locker = None;
    for look in 0..LOOKS {
        // Somebody who tries it has it for a moment, and a line that is being written is no line.
        if 0 < look {
            std::thread::sleep(LOOK);
        }
        if let Some(file) = folder.open(&file_name(name))? {
            match file.try_lock_shared() {
                // Dropped with the file.
                Ok(()) if !Name::is_taken(name) => return Ok(None),
                Ok(()) => {}
                Err(TryLockError::Error(source)) => return Err(source),
                Err(TryLockError::WouldBlock) => {
                    (written, locker) = (read(&file), kernel::locker(&file));
                    if written.is_some() && (locker.is_some() || !cfg!(target_os = "linux")) {
                        break;
                    }
                }
            }
        } else if !Name::is_taken(name) {
            return Ok(None);
        }
    }
    let peer = Name::holder(name);
    let process = locker.or(peer.and_then(|peer| peer.process));
    let user = peer.map(|peer| peer.user);
    Ok(Some(match written {
        Some(written) => written.confirmed(process, user, folder.is_shared()),
        None => Holder::unwritten(process, user),
    }))
}

/// What a lock's file says.
fn read(file: &File) -> Option<Holder> {
    let bytes = folder::read(file).ok()?;
    let line = bytes.split(|byte| *byte == b'\n').next()?;
    serde_json::from_slice(line).ok()
}

#[cfg(test)]
mod tests;
