//! What the kernel itself knows of owners: nobody can delete it, write it or find another one in another folder.
//!
//! On Linux each lock also takes a name in the kernel, an abstract socket (unix(7)) that vanishes with its process and that all
//! users of one network namespace share. Whoever connects to it, or to any socket, is told by the kernel which process and user
//! is at the other end. `/proc/locks` (proc(5)) says which process holds the lock on a file.

use std::fs::File;
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::{UnixListener, UnixStream};

use super::folder::user;

/// Who is at the other end of a socket of this machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Peer {
    /// Its process; none where that is of another process namespace.
    pub process: Option<u32>,
    /// Its user.
    pub user: u32,
}

impl Peer {
    /// Whether it may tell this process what to do: it is of the same user, or of root.
    pub fn is_trusted(&self) -> bool {
        self.user == user() || self.user == 0
    }
}

/// Who is at the other end of `stream`: whoever connected, or whoever listened. By the kernel, so nobody can pretend.
pub fn peer(stream: &UnixStream) -> std::io::Result<Peer> {
    let copy = stream.try_clone()?;
    copy.set_nonblocking(true)?;
    // Asked through tokio, which wants a socket that does not block; how it was is the same for all copies.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    let asked = {
        let _inside = runtime.enter();
        tokio::net::UnixStream::from_std(copy).and_then(|stream| stream.peer_cred())
    };
    // A link asks this inside its own runtime, where one must not be waited for.
    runtime.shutdown_background();
    stream.set_nonblocking(false)?;
    let asked = asked?;
    let process = asked.pid().and_then(|process| u32::try_from(process).ok()).filter(|process| *process != 0);
    Ok(Peer { process, user: asked.uid() })
}

/// A name that this process has in the kernel, until it is dropped.
#[derive(Debug)]
pub(super) struct Name {
    _listener: UnixListener,
}

/// What came of taking a name.
pub(super) enum Taken {
    /// It is ours now.
    Ours(Name),
    /// Somebody has it.
    Theirs,
    /// There are no such names here.
    Unknown,
}

impl Name {
    /// Takes the name of the lock called `name`.
    pub fn take(name: &str) -> Taken {
        match bind(name) {
            Ok(listener) => Taken::Ours(Self { _listener: listener }),
            Err(error) if error.kind() == std::io::ErrorKind::AddrInUse => Taken::Theirs,
            Err(_) => Taken::Unknown,
        }
    }

    /// Whether somebody has the name of the lock called `name`.
    pub fn is_taken(name: &str) -> bool {
        matches!(Self::take(name), Taken::Theirs)
    }

    /// Who has it, where that can be said.
    pub fn holder(name: &str) -> Option<Peer> {
        peer(&connect(name).ok()?).ok()
    }
}

#[cfg(target_os = "linux")]
fn bind(name: &str) -> std::io::Result<UnixListener> {
    use std::os::linux::net::SocketAddrExt;
    UnixListener::bind_addr(&std::os::unix::net::SocketAddr::from_abstract_name(whole(name))?)
}

/// Connects without waiting: whoever listens need not take connections, and somebody may have filled his queue.
#[cfg(target_os = "linux")]
fn connect(name: &str) -> std::io::Result<UnixStream> {
    use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, connect, socket_with};
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
    connect(&socket, &SocketAddrUnix::new_abstract_name(whole(name).as_bytes())?)?;
    Ok(socket.into())
}

#[cfg(target_os = "linux")]
fn whole(name: &str) -> String {
    format!("pnnlab-owner/{name}")
}

#[cfg(not(target_os = "linux"))]
fn bind(_: &str) -> std::io::Result<UnixListener> {
    Err(std::io::Error::from(std::io::ErrorKind::Unsupported))
}

#[cfg(not(target_os = "linux"))]
fn connect(_: &str) -> std::io::Result<UnixStream> {
    Err(std::io::Error::from(std::io::ErrorKind::Unsupported))
}

/// The process that holds the lock on `file`, where the system says so and it is of this process namespace.
pub(super) fn locker(file: &File) -> Option<u32> {
    let found = file.metadata().ok()?;
    let text = std::fs::read_to_string("/proc/locks").ok()?;
    let device = (rustix::fs::major(found.dev()), rustix::fs::minor(found.dev()));
    let all: Vec<_> = text.lines().filter_map(held).filter(|(_, _, inode)| *inode == found.ino()).collect();
    let here = all.iter().find(|(_, on, _)| *on == device);
    // Some file systems say another device there than they say of the file.
    let only = if let [one] = &all[..] { Some(one) } else { None };
    here.or(only).map(|(process, ..)| *process)
}

/// Process, device and inode of a line of `/proc/locks` that says of a lock that it is held: `1: FLOCK  ADVISORY  WRITE 17 fe:00:42 0 EOF`.
fn held(line: &str) -> Option<(u32, (u32, u32), u64)> {
    let fields: Vec<&str> = line.split_whitespace().collect();
    let [_, "FLOCK", _, "WRITE", process, place, ..] = fields[..] else { return None };
    let (device, inode) = place.rsplit_once(':')?;
    let (major, minor) = device.split_once(':')?;
    let hex = |text: &str| u32::from_str_radix(text, 16).ok();
    let process = process.parse().ok().filter(|process| *process != 0)?;
    Some((process, (hex(major)?, hex(minor)?), inode.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_says_who_is_at_the_other_end() {
        let (near, _far) = UnixStream::pair().unwrap();
        let peer = peer(&near).unwrap();
        assert!(peer.user == user() && peer.is_trusted());
        let other = Peer { user: user() + 1, ..peer };
        assert!(!other.is_trusted() || other.user == 0);
        near.set_read_timeout(Some(std::time::Duration::from_millis(1))).unwrap();
        let waited = std::io::Read::read(&mut &near, &mut [0]).unwrap_err();
        assert_eq!(waited.kind(), std::io::ErrorKind::WouldBlock, "it blocks as before, until its time is over");
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_name_is_one_process_until_it_is_dropped() {
        let name = format!("test-{}-name", std::process::id());
        assert!(!Name::is_taken(&name));
        let Taken::Ours(held) = Name::take(&name) else { panic!("it is free") };
        assert!(matches!(Name::take(&name), Taken::Theirs));
        assert_eq!(Name::holder(&name).unwrap().process, Some(std::process::id()));
        drop(held);
        assert!(!Name::is_taken(&name));
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn the_kernel_says_who_has_locked_a_file() {
        let folder = tempfile::tempdir().unwrap();
        let open = || File::options().read(true).write(true).create(true).truncate(false).open(folder.path().join("a"));
        let (file, other) = (open().unwrap(), open().unwrap());
        assert_eq!(locker(&other), None);
        file.lock().unwrap();
        assert_eq!(locker(&other), Some(std::process::id()));
    }

    #[test]
    fn only_lines_of_held_locks_count() {
        assert_eq!(held("1: FLOCK  ADVISORY  WRITE 17 fe:00:42 0 EOF"), Some((17, (0xfe, 0), 42)));
        assert_eq!(held("1: -> FLOCK  ADVISORY  WRITE 17 fe:00:42 0 EOF"), None, "one that waits");
        assert_eq!(held("2: FLOCK  ADVISORY  READ 17 fe:00:42 0 EOF"), None, "one that only looks");
        assert_eq!(held("3: POSIX  ADVISORY  WRITE 17 fe:00:42 0 EOF"), None);
        assert_eq!(held("4: FLOCK  ADVISORY  WRITE 0 fe:00:42 0 EOF"), None, "of nobody here");
        assert_eq!(held(""), None);
    }
}
