//! A program in a pseudo-terminal: keys in, screen out.
#![allow(dead_code)] // Tests and benches use different parts.

use std::io::{Read, Write};
use std::num::NonZero;
use std::path::Path;
use std::process::{Child, ExitStatus};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use pty_process::Size;
use pty_process::blocking::{Command, Pty, open};
use rustix::process::{Pid, Signal, kill_process};
use rustix::termios::{LocalModes, OptionalActions, tcgetattr, tcsetattr};

/// No answer takes so long, on the slowest machine.
pub const BOUND: Duration = Duration::from_mins(2);

/// A program in a terminal of its own.
pub struct Terminal {
    pty: Arc<Pty>,
    child: Child,
    bytes: Receiver<Vec<u8>>,
    screen: vt100::Parser,
}

impl Terminal {
    /// Starts `program` in `folder`, in a terminal of some rows and columns.
    pub fn open(program: &str, place: (&Path, (u16, u16)), arguments: &[&str], variables: &[(&str, &str)]) -> Self {
        let (folder, (rows, columns)) = place;
        let (pty, pts) = open().unwrap();
        pty.resize(Size::new(rows, columns)).unwrap();
        let mut command = Command::new(program).args(arguments).current_dir(folder);
        let usual = [("TERM", "xterm-256color"), ("LC_ALL", "C.UTF-8"), ("NO_COLOR", "")];
        for (name, value) in usual.iter().chain(variables) {
            command = command.env(name, value);
        }
        let child = command.spawn(pts).unwrap();
        let pty = Arc::new(pty);
        let (sender, bytes) = channel();
        let source = pty.clone();
        std::thread::spawn(move || {
            let mut buffer = [0; 8192];
            while let Ok(count @ 1..) = (&*source).read(&mut buffer) {
                if sender.send(buffer[..count].to_vec()).is_err() {
                    return;
                }
            }
        });
        let side = |length| NonZero::new(length).unwrap();
        Self { pty, child, bytes, screen: vt100::Parser::new(side(rows), side(columns), 0) }
    }

    /// Types.
    pub fn press(&mut self, keys: &str) {
        (&*self.pty).write_all(keys.as_bytes()).unwrap();
    }

    /// What stands on the screen, with its colors.
    pub fn screen(&self) -> &vt100::Screen {
        self.screen.screen()
    }

    /// What stands on the screen.
    pub fn text(&self) -> String {
        self.screen.screen().contents()
    }

    /// Reads until the screen shows what is `wanted`.
    pub fn wait(&mut self, wanted: &str) -> String {
        let bound = Instant::now() + BOUND;
        while !self.text().contains(wanted) {
            match self.bytes.recv_timeout(bound.saturating_duration_since(Instant::now())) {
                Ok(bytes) => self.screen.process(&bytes),
                Err(RecvTimeoutError::Timeout) => panic!("`{wanted}` does not appear on:\n{}", self.text()),
                Err(RecvTimeoutError::Disconnected) => panic!("it ended without `{wanted}`:\n{}", self.text()),
            }
        }
        self.text()
    }

    /// The number of its process.
    pub fn process(&self) -> u32 {
        self.child.id()
    }

    /// Whether the terminal hands out whole lines, as a shell has it.
    pub fn has_lines(&self) -> bool {
        tcgetattr(&*self.pty).unwrap().local_modes.contains(LocalModes::ICANON)
    }

    /// Lets the terminal hand out whole lines again, as a shell does.
    pub fn set_lines(&self) {
        let mut modes = tcgetattr(&*self.pty).unwrap();
        modes.local_modes.insert(LocalModes::ICANON | LocalModes::ECHO);
        tcsetattr(&*self.pty, OptionalActions::Now, &modes).unwrap();
    }

    /// Stops the program as nobody can prevent, and lets it go on.
    pub fn stop(&self) {
        kill_process(Pid::from_child(&self.child), Signal::STOP).unwrap();
    }

    /// Lets a program go on that is stopped.
    pub fn go_on(&self) {
        kill_process(Pid::from_child(&self.child), Signal::CONT).unwrap();
    }

    /// Whether the system says that the program is stopped.
    pub fn is_stopped(&self) -> bool {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id())).unwrap_or_default();
        stat.rsplit(')').next().is_some_and(|rest| rest.trim_start().starts_with('T'))
    }

    /// Reads until the program has taken the whole screen, or has given it back.
    pub fn wait_for_screen(&mut self, taken: bool) {
        let bound = Instant::now() + BOUND;
        while self.screen.screen().alternate_screen() != taken {
            let bytes = self.bytes.recv_timeout(bound.saturating_duration_since(Instant::now()));
            self.screen.process(&bytes.expect("the screen is neither taken nor given back"));
        }
    }

    /// Reads until the program ends.
    pub fn end(mut self) -> (ExitStatus, String) {
        let bound = Instant::now() + BOUND;
        while let Ok(bytes) = self.bytes.recv_timeout(bound.saturating_duration_since(Instant::now())) {
            self.screen.process(&bytes);
        }
        let status = self.child.wait().unwrap();
        (status, self.screen.screen().contents())
    }
}
