//! Who holds an instrument, and ending it: only where it is certain that it is a pnnlab, which one, and that it holds the lock.

use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use rustix::process::{Pid, Signal};
use serde::{Deserialize, Serialize};

use super::folder::user;

/// Who holds an instrument.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Holder {
    /// The process; 0 where nobody knows, or where it is of another process namespace.
    pub process: u32,
    /// Its command line.
    pub command: String,
    /// Since when: seconds since 1970; 0 where nobody knows.
    pub since_unix_seconds: f64,
    /// Where it listens for requests, if it does.
    #[serde(default)]
    pub control: Option<PathBuf>,
    /// When the process started, in ticks of the system's clock (field 22 of `/proc/PID/stat`).
    #[serde(default)]
    pub start: Option<u64>,
    /// Whose process it is.
    #[serde(default)]
    pub user: Option<u32>,
    /// Whether the kernel says that this process holds the lock.
    #[serde(skip)]
    pub(super) is_certain: bool,
}

impl Holder {
    /// This process, from now on.
    pub(super) fn this() -> Self {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let process = std::process::id();
        Self {
            process,
            command: std::env::args().collect::<Vec<_>>().join(" "),
            since_unix_seconds: since.as_secs_f64(),
            control: None,
            start: started(process),
            user: Some(user()),
            is_certain: true,
        }
    }

    /// Somebody of whom nothing is written: what the system says of the process, where that is known.
    pub(super) fn unwritten(process: Option<u32>, user: Option<u32>) -> Self {
        let command = process.map(command_of).unwrap_or_default();
        let start = process.and_then(started);
        let process = process.unwrap_or(0);
        Self { process, command, since_unix_seconds: 0.0, control: None, start, user, is_certain: process != 0 }
    }

    /// What is written, as far as the system confirms it: `process` is who holds the lock, of `user`, where it says so.
    ///
    /// A number that it does not confirm is left out; a folder of this user alone is believed where the system says nothing of locks.
    pub(super) fn confirmed(self, process: Option<u32>, user: Option<u32>, is_shared: bool) -> Self {
        let command = self.command.replace(char::is_control, " ");
        let written = Self { command, user: user.or(self.user), ..self };
        match process {
            // In another process namespace it has another number, and the same start.
            Some(process)
                if process == written.process || started(process).is_some_and(|now| written.start == Some(now)) =>
            {
                Self { process, is_certain: true, ..written }
            }
            Some(process) => Self::unwritten(Some(process), user),
            None if cfg!(target_os = "linux") || is_shared => Self { process: 0, is_certain: false, ..written },
            None => Self { is_certain: true, ..written },
        }
    }

    /// Whether it is a process of another user than this one.
    pub fn is_of_another_user(&self) -> bool {
        self.user.is_some_and(|owner| owner != user())
    }

    /// A hold on its process, so that what is ended is what was looked at, whatever number is used again meanwhile.
    ///
    /// Fails, with the rest of the sentence "it …", where the process is not certain to be a pnnlab that holds the lock.
    pub fn grip(&self) -> Result<Grip, String> {
        let number = i32::try_from(self.process).ok().filter(|_| self.process != 0 && self.is_certain);
        let Some(process) = number.and_then(Pid::from_raw) else {
            return Err("is not known by its process number: nothing is sent to anybody".to_owned());
        };
        if self.process == std::process::id() {
            return Err("is this process itself".to_owned());
        }
        let grip = Grip::open(process).map_err(|error| format!("cannot be ended: {error}"))?;
        if self.start.is_some_and(|start| started(self.process).is_some_and(|now| now != start)) {
            return Err(format!("is gone, and {} is another process now", self.process));
        }
        if !is_pnnlab(self.process) {
            let whose = if self.is_of_another_user() { "belongs to another user" } else { "is not a pnnlab" };
            return Err(format!("{whose}: it is not ended from here"));
        }
        Ok(grip)
    }
}

impl std::fmt::Display for Holder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.process {
            0 if self.command.is_empty() => f.write_str("a process that cannot be named from here"),
            0 => write!(f, "a process of another namespace (`{}`)", self.command),
            process => write!(f, "process {process} (`{}`)", self.command),
        }?;
        match self.user {
            Some(user) if self.is_of_another_user() => write!(f, " of user {user}"),
            _ => Ok(()),
        }
    }
}

/// A hold on one process.
#[derive(Debug)]
pub struct Grip {
    #[cfg(target_os = "linux")]
    process: std::os::fd::OwnedFd,
    #[cfg(not(target_os = "linux"))]
    process: Pid,
}

#[cfg(target_os = "linux")]
impl Grip {
    fn open(process: Pid) -> std::io::Result<Self> {
        let process = rustix::process::pidfd_open(process, rustix::process::PidfdFlags::empty())?;
        Ok(Self { process })
    }

    fn send(&self, signal: Signal) -> std::io::Result<()> {
        Ok(rustix::process::pidfd_send_signal(&self.process, signal)?)
    }
}

#[cfg(not(target_os = "linux"))]
impl Grip {
    fn open(process: Pid) -> std::io::Result<Self> {
        Ok(Self { process })
    }

    fn send(&self, signal: Signal) -> std::io::Result<()> {
        Ok(rustix::process::kill_process(self.process, signal)?)
    }
}

impl Grip {
    /// Asks it to end: a pnnlab makes its plants safe first.
    pub fn terminate(&self) -> std::io::Result<()> {
        self.send(Signal::TERM)
    }

    /// Ends it.
    pub fn kill(&self) -> std::io::Result<()> {
        self.send(Signal::KILL)
    }
}

/// When a process started: field 22 of `/proc/PID/stat` (proc(5)).
pub(crate) fn started(process: u32) -> Option<u64> {
    let text = std::fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    // The name in field 2 may hold anything; the fields count from its closing bracket.
    text.rsplit_once(')')?.1.split_whitespace().nth(19)?.parse().ok()
}

/// The command line of a process.
fn command_of(process: u32) -> String {
    let bytes = std::fs::read(format!("/proc/{process}/cmdline")).unwrap_or_default();
    let words = bytes.split(|byte| *byte == 0).filter(|word| !word.is_empty());
    words.map(|word| String::from_utf8_lossy(word).into_owned()).collect::<Vec<_>>().join(" ")
}

/// Whether a process runs this program, or one of its name. Where there is no `/proc`, only a pnnlab has such a lock.
fn is_pnnlab(process: u32) -> bool {
    let own = Path::new("/proc/self/exe");
    if !own.exists() {
        return true;
    }
    let Ok(program) = std::fs::read_link(format!("/proc/{process}/exe")) else { return false };
    // A program that was replaced meanwhile has the word `(deleted)` behind its name.
    let name = program.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    name.strip_suffix(" (deleted)").unwrap_or(&name) == "pnnlab"
        || std::fs::read_link(own).is_ok_and(|own| own == program)
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::process::{Command, Stdio};

    #[test]
    fn only_a_pnnlab_that_certainly_holds_the_lock_is_ended() {
        let mut innocent = Command::new("cat").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        // When it answers, it is what it is to become.
        innocent.stdin.as_mut().unwrap().write_all(b"a").unwrap();
        innocent.stdout.as_mut().unwrap().read_exact(&mut [0]).unwrap();
        let certain = Holder::unwritten(Some(innocent.id()), Some(user()));
        assert!(certain.command.contains("cat") && certain.start.is_some(), "{certain:?}");
        for (holder, words) in [
            (certain.clone(), "is not a pnnlab"),
            (Holder { is_certain: false, ..certain.clone() }, "not known by its process number"),
            (Holder { start: Some(1), ..certain.clone() }, "is another process now"),
            (Holder { user: Some(user() + 1), ..certain.clone() }, "belongs to another user"),
            (Holder::unwritten(None, None), "not known by its process number"),
            (Holder::this(), "is this process itself"),
        ] {
            let refusal = holder.grip().unwrap_err();
            assert!(refusal.contains(words), "{holder:?}: {refusal}");
        }
        innocent.kill().unwrap();
        innocent.wait().unwrap();
        assert!(certain.grip().is_err(), "nobody is there");
    }

    #[test]
    fn a_holder_is_named_as_far_as_it_is_known() {
        let own = Holder::this();
        assert!(own.to_string().starts_with(&format!("process {} (`", std::process::id())), "{own}");
        let other = Holder { user: Some(user() + 1), ..own };
        assert!(other.to_string().ends_with(&format!(" of user {}", user() + 1)), "{other}");
        assert!(Holder::unwritten(None, None).to_string().contains("cannot be named from here"));
    }
}
