//! Who is behind a pseudo-terminal: the system gives the number of one that is gone to the next one, whose program would otherwise hear
//! what was meant for the instrument.

use std::collections::BTreeSet;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::owner::process_start;

/// Where the system keeps its pseudo-terminals.
const FOLDER: &str = "/dev/pts";

/// The processes that have the other end of a pseudo-terminal, each with when it started; as far as this user may look.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct PseudoTerminal {
    behind: BTreeSet<(u32, u64)>,
}

impl PseudoTerminal {
    /// The pseudo-terminal at `path`; none where something else or nothing is there.
    pub(crate) fn at(path: &Path) -> Option<Self> {
        let terminal = path.canonicalize().ok()?;
        let number = terminal.strip_prefix(FOLDER).ok()?.to_str()?.parse().ok()?;
        Some(Self { behind: behind(number) })
    }

    /// Whether `path` leads to a pseudo-terminal of somebody else now. Where it cannot be told who is behind it, it is not.
    pub(crate) fn is_replaced_at(&self, path: &Path) -> bool {
        let now = Self::at(path).map(|now| now.behind).unwrap_or_default();
        !self.behind.is_empty() && !now.is_empty() && self.behind.is_disjoint(&now)
    }
}

/// Why nothing is sent there.
pub(crate) const REPLACED: &str =
    "the program behind the pseudo-terminal is gone, and its number belongs to another one now";

/// The processes that have the other end of the pseudo-terminal with this number: the kernel says it of each open `ptmx` (proc(5),
/// `fdinfo`).
fn behind(number: u32) -> BTreeSet<(u32, u64)> {
    let processes = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let processes = processes.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    let holds = |process: &u32| {
        let open = std::fs::read_dir(format!("/proc/{process}/fd")).into_iter().flatten().flatten();
        open.filter(|file| file.path().read_link().is_ok_and(|target| target.ends_with("ptmx"))).any(|file| {
            let name = file.file_name();
            let facts =
                std::fs::read_to_string(format!("/proc/{process}/fdinfo/{}", name.display())).unwrap_or_default();
            let index = facts.lines().find_map(|line| line.strip_prefix("tty-index:"));
            index.is_some_and(|index| index.trim().parse() == Ok(number))
        })
    };
    processes.filter(holds).filter_map(|process| Some((process, process_start(process)?))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;
    use tokio_serial::{SerialPort, SerialStream};

    #[tokio::test]
    async fn a_terminal_of_another_program_is_known() {
        let folder = tempfile::tempdir().unwrap();
        let (near, far) = SerialStream::pair().unwrap();
        let link = folder.path().join("board");
        symlink(far.name().unwrap(), &link).unwrap();
        let path = std::path::PathBuf::from(far.name().unwrap());
        let this = (std::process::id(), process_start(std::process::id()).unwrap());
        for path in [&path, &link] {
            let ours = PseudoTerminal::at(path).unwrap();
            assert_eq!(ours.behind, BTreeSet::from([this]));
            assert!(!ours.is_replaced_at(path), "the same program may make it anew");
            // Of the same number, but started at another time: another process.
            let others = PseudoTerminal { behind: BTreeSet::from([(this.0, this.1 + 1)]) };
            assert!(others.is_replaced_at(path));
            let unknown = PseudoTerminal { behind: BTreeSet::new() };
            assert!(!unknown.is_replaced_at(path), "what cannot be told keeps nobody from switching off");
        }
        let ours = PseudoTerminal::at(&path).unwrap();
        drop((near, far));
        assert!(!ours.is_replaced_at(&path), "nobody is behind it, so nobody hears what is meant for another");
        assert_eq!(PseudoTerminal::at(folder.path()), None);
    }
}
