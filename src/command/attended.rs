//! `pnnlab train --watch`: the training in a process of its own, with the dashboard on it.
//!
//! Two processes, because leaving a dashboard must never end a training, and a terminal that is closed must not either: the training
//! has a process group of its own, no terminal, and what it says goes to `output.txt` in its folder. It is the same `pnnlab train` as
//! without a dashboard; `pnnlab watch` opens it again.

use std::fs::File;
use std::io;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use super::arguments::TrainArgs;
use super::{new_folder, prepare};
use crate::control::connect;
use crate::watch::{self, Start};
use crate::{Error, stop};

/// How often the new process is looked at until it answers.
const LOOK: Duration = Duration::from_millis(20);

/// Starts the training, and opens the dashboard once it answers.
pub fn run(arguments: &TrainArgs) -> Result<(), Error> {
    watch::require_terminal()?;
    let prepared = prepare(&arguments.run)?;
    let experiment = &prepared.experiment;
    let method = arguments.method.unwrap_or(experiment.training.method);
    let folder = new_folder(&arguments.run, &format!("{}-{method}-seed-{}", experiment.name, experiment.seed))?;
    // The folder is the training's to make; until then its output lies beside it.
    let (folder, output, file) = folder.reserve()?;
    let mut training = Training::start(&folder, (output, file), arguments.run.name.is_none())?;
    if !training.wait_until_it_answers()? {
        return Ok(());
    }
    let runs = arguments.run.runs.clone();
    let Training { mut child, output, .. } = training;
    // Whoever has ended and is waited for by nobody would look alive.
    let waits = std::thread::Builder::new().name("training".into()).spawn(move || child.wait());
    watch::watch(Start::Run(folder.clone()), &runs, false)?;
    let ended = waits.ok().filter(std::thread::JoinHandle::is_finished);
    match ended.and_then(|waits| waits.join().ok()).and_then(Result::ok) {
        None => {
            say!("the training goes on: pnnlab watch {}", folder.display());
            Ok(())
        }
        Some(status) => end(&output, status),
    }
}

/// A training in a process of its own.
struct Training {
    child: Child,
    folder: PathBuf,
    output: PathBuf,
}

impl Training {
    /// The same command without `--watch`, in the folder that was chosen here.
    fn start(folder: &Path, (output, file): (PathBuf, File), unnamed: bool) -> Result<Self, Error> {
        let cannot = |source: io::Error| Error::Record {
            path: folder.to_owned(),
            message: format!("no process can be started for it: {source}"),
        };
        let mut command = Command::new(std::env::current_exe().map_err(cannot)?);
        command.args(std::env::args_os().skip(1).filter(|argument| argument != "--watch"));
        if unnamed {
            command.arg("--name").arg(folder.file_name().unwrap_or_default());
        }
        command.stdin(Stdio::null()).stdout(file.try_clone().map_err(cannot)?).stderr(file).process_group(0);
        let child = command.spawn().map_err(cannot)?;
        Ok(Self { child, folder: folder.to_owned(), output })
    }

    /// Waits until the run answers; `false` if it has ended by then.
    fn wait_until_it_answers(&mut self) -> Result<bool, Error> {
        while connect(&self.folder).is_err() {
            if let Ok(Some(status)) = self.child.try_wait() {
                let ended = end(&self.output, status);
                drop(std::fs::remove_file(&self.output));
                return ended.map(|()| false);
            }
            if stop::requested() {
                self.give_up();
                return Err(Error::Stopped(self.folder.clone()));
            }
            std::thread::sleep(LOOK);
        }
        let inside = self.folder.join("output.txt");
        std::fs::rename(&self.output, &inside).map_err(Error::record(&inside, "cannot be written"))?;
        self.output = inside;
        Ok(true)
    }

    /// Who gives up while it starts has seen nothing of it: it ends as by Ctrl-C.
    fn give_up(&self) {
        let process = i32::try_from(self.child.id()).ok().and_then(rustix::process::Pid::from_raw);
        if let Some(process) = process {
            let _ = rustix::process::kill_process(process, rustix::process::Signal::TERM);
        }
    }
}

/// What the training said at its end, in the file `output`: its result, or its error as ours.
fn end(output: &Path, status: ExitStatus) -> Result<(), Error> {
    let text = std::fs::read_to_string(output).unwrap_or_default();
    if status.success() {
        say!("{}", text.trim_end());
        return Ok(());
    }
    // Who is killed says nothing at its end: its last line is of before.
    let mut said = text.lines().rev().filter(|_| status.code().is_some());
    let sentence = said.find_map(|line| line.strip_prefix("pnnlab: "));
    let sentence = sentence.map_or_else(|| format!("the training ended with {status}"), str::to_owned);
    // As a shell has it, where a signal ended it.
    let code = status.code().or_else(|| Some(128 + status.signal()?));
    Err(Error::Attended { code: code.and_then(|code| u8::try_from(code).ok()).unwrap_or(1), message: sentence })
}
