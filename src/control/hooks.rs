//! Whom a run tells: `[run.hooks]`, a command or a webhook for each alarm, for a failure, for an end.
//!
//! A thread of its own tells them one after another, each within `timeout_seconds`; a command that takes longer is killed with all that
//! it has started. So nobody waits for a hook: not a training step, nor what makes plants safe. When the run has ended, its process
//! waits for the last ones within the same time. What a hook does wrong is logged, and changes nothing for the run.
//!
//! A command finds what happened in its environment (`PNNLAB_EVENT`, `PNNLAB_MESSAGE`, …) and as one JSON object on its standard input;
//! a webhook is sent the same object by POST.

use std::io::Write;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::Error;
use crate::document::Document;
use crate::event::Alarm;
use crate::record::unix_seconds;
use crate::stop::StopReason;

/// What waits to be told; more is left out, and logged.
const QUEUE: usize = 64;
/// A command is looked at so often.
const LOOK: Duration = Duration::from_millis(10);
/// The longest text in what is told: a pipe takes the whole object at once.
const LONGEST_TEXT: usize = 4000;
/// The longest time for one hook, in s.
const LONGEST_SECONDS: f64 = 300.0;

/// Whom a run tells of what happens.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct HooksConfig {
    /// Told of each alarm when it is raised.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub alarm: Option<HookConfig>,
    /// Told when an error has ended the run, or kept it from beginning.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failure: Option<HookConfig>,
    /// Told when the run has ended, in whatever way.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub end: Option<HookConfig>,
    /// The longest time that one of them may take, in s (10).
    #[schemars(range(min = 0.1, max = 300))]
    pub timeout_seconds: f64,
}

/// A command or a webhook; give exactly one.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct HookConfig {
    /// A program and its arguments; no shell reads them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub command: Vec<String>,
    /// An address such as `https://ntfy.sh/my-lab`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub webhook: String,
}

impl Default for HooksConfig {
    fn default() -> Self {
        Self { alarm: None, failure: None, end: None, timeout_seconds: 10.0 }
    }
}

impl HooksConfig {
    /// Whether nothing is said of hooks.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    fn named(&self) -> [(&'static str, Option<&HookConfig>); 3] {
        [("alarm", self.alarm.as_ref()), ("failure", self.failure.as_ref()), ("end", self.end.as_ref())]
    }

    /// Refuses what makes no sense.
    pub fn sensible(&self, document: &Document) -> Result<(), Error> {
        if !(0.1..=LONGEST_SECONDS).contains(&self.timeout_seconds) {
            let message = format!("is {}, but it must be from 0.1 to {LONGEST_SECONDS}", self.timeout_seconds);
            return Err(document.refuse("run.hooks.timeout_seconds", message));
        }
        for (name, hook) in self.named() {
            let Some(HookConfig { command, webhook }) = hook else { continue };
            let key = format!("run.hooks.{name}");
            if command.is_empty() == webhook.is_empty() {
                return Err(document.refuse(&key, "must have exactly one of `command` and `webhook`"));
            }
            if command.iter().any(|word| word.contains('\0')) || command.first().is_some_and(String::is_empty) {
                return Err(
                    document.refuse(&format!("{key}.command"), "is no command: give a program and its arguments")
                );
            }
            if !webhook.is_empty() && !["http://", "https://"].iter().any(|scheme| webhook.starts_with(scheme)) {
                let message = format!("is `{webhook}`, but an address was expected, such as https://ntfy.sh/my-lab");
                return Err(document.refuse(&format!("{key}.webhook"), message));
            }
        }
        Ok(())
    }
}

impl std::fmt::Display for HookConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.webhook.is_empty() { write!(f, "runs {:?}", self.command) } else { write!(f, "tells {}", self.webhook) }
    }
}

impl std::fmt::Display for HooksConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let words = |(name, hook): (&str, Option<&HookConfig>)| hook.map(|hook| format!("{name}: {hook}"));
        f.write_str(&self.named().into_iter().filter_map(words).collect::<Vec<_>>().join("; "))
    }
}

/// Something that happened, for whom it is to be told.
struct Happening {
    hook: HookConfig,
    facts: Map<String, Value>,
}

/// Tells until it is dropped or finished.
#[derive(Debug)]
pub struct Hooks {
    config: HooksConfig,
    /// What is the same in all that is told: the run.
    heading: Map<String, Value>,
    queue: Mutex<Option<SyncSender<Happening>>>,
    /// Ends when all was told.
    done: Mutex<Option<Receiver<()>>>,
}

impl Hooks {
    /// Those of `config`; `heading` says in an object which run it is.
    pub fn start(config: &HooksConfig, heading: &Value) -> Result<Self, Error> {
        let heading = heading.as_object().cloned().unwrap_or_default();
        let hooks = Self { config: config.clone(), heading, queue: Mutex::default(), done: Mutex::default() };
        if config.named().iter().all(|(_, hook)| hook.is_none()) {
            return Ok(hooks);
        }
        let (queue, waiting) = sync_channel::<Happening>(QUEUE);
        let (telling, done) = sync_channel::<()>(0);
        let timeout = Duration::try_from_secs_f64(config.timeout_seconds).unwrap_or_default();
        let work = move || {
            for happening in waiting {
                if let Err(why) = tell(&happening, timeout) {
                    tracing::warn!("the hook that {} has failed: {why}", happening.hook);
                }
            }
            drop(telling);
        };
        let started = std::thread::Builder::new().name("hooks".into()).spawn(work);
        started.map_err(|error| Error::Usage(format!("no thread can be started: {error}")))?;
        (*lock(&hooks.queue), *lock(&hooks.done)) = (Some(queue), Some(done));
        Ok(hooks)
    }

    /// An alarm was raised.
    pub fn alarm(&self, alarm: &Alarm) {
        let facts = json!({
            "severity": alarm.severity, "source": alarm.source, "message": short(&alarm.message), "alarm": alarm.id,
        });
        self.queue("alarm", self.config.alarm.as_ref(), &facts);
    }

    /// The run has ended; `facts` say how well it did.
    pub fn end(&self, reason: StopReason, error: Option<&Error>, facts: &Value) {
        let message = error.map_or_else(|| format!("the run has ended: {}", word(reason)), ToString::to_string);
        let mut said = facts.as_object().cloned().unwrap_or_default();
        said.extend([("reason".to_owned(), json!(reason)), ("message".to_owned(), json!(short(&message)))]);
        let said = Value::Object(said);
        if reason == StopReason::Failed {
            self.queue("failure", self.config.failure.as_ref(), &said);
        }
        self.queue("end", self.config.end.as_ref(), &said);
    }

    fn queue(&self, event: &str, hook: Option<&HookConfig>, facts: &Value) {
        let queue = lock(&self.queue);
        let (Some(hook), Some(queue)) = (hook, &*queue) else { return };
        let mut all = Map::from_iter([("event".to_owned(), json!(event))]);
        all.extend(self.heading.clone());
        all.extend(facts.as_object().cloned().unwrap_or_default());
        all.insert("unix_seconds".to_owned(), json!(unix_seconds()));
        if queue.try_send(Happening { hook: hook.clone(), facts: all }).is_err() {
            tracing::warn!("the hook for {event} was not told: too many wait to be told");
        }
    }

    /// Waits until all was told, within the time of one hook for each kind.
    pub fn finish(&self) {
        *lock(&self.queue) = None;
        let done = lock(&self.done).take();
        if let Some(done) = done {
            let patience = Duration::try_from_secs_f64(3.0 * self.config.timeout_seconds).unwrap_or_default();
            if done.recv_timeout(patience) == Err(RecvTimeoutError::Timeout) {
                tell!("pnnlab: hooks are still busy, and are left alone");
            }
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Plain data: a thread that panicked while it held it has broken nothing.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The word for the end of a run.
fn word(reason: StopReason) -> String {
    serde_json::to_value(reason).ok().and_then(|word| word.as_str().map(str::to_owned)).unwrap_or_default()
}

/// A text that is not too long.
fn short(text: &str) -> String {
    text.chars().take(LONGEST_TEXT / 4).filter(|letter| *letter != '\0').collect()
}

/// Tells it, within `timeout`.
fn tell(happening: &Happening, timeout: Duration) -> Result<(), String> {
    let text = Value::Object(happening.facts.clone()).to_string();
    if happening.hook.webhook.is_empty() {
        return run(&happening.hook.command, &happening.facts, &text, timeout);
    }
    let agent: ureq::Agent = ureq::Agent::config_builder().timeout_global(Some(timeout)).build().into();
    let request = agent.post(&happening.hook.webhook).header("Content-Type", "application/json");
    request.send(&text).map(drop).map_err(|error| error.to_string())
}

/// Runs a command in a group of its own, which is killed where it takes too long.
fn run(words: &[String], facts: &Map<String, Value>, text: &str, timeout: Duration) -> Result<(), String> {
    let Some((program, arguments)) = words.split_first() else { return Ok(()) };
    let named = |(key, value): (&String, &Value)| {
        let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        (format!("PNNLAB_{}", key.to_uppercase()), value)
    };
    let mut command = Command::new(program);
    command.args(arguments).envs(facts.iter().map(named)).process_group(0);
    command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
    let mut child = command.spawn().map_err(|error| format!("it cannot be started: {error}"))?;
    if let Some(mut input) = child.stdin.take() {
        // Who does not read it does not need it.
        drop(input.write_all(format!("{text}\n").as_bytes()));
    }
    match wait(&mut child, timeout) {
        Ok(Some(status)) if status.success() => Ok(()),
        Ok(Some(status)) => Err(format!("{status}")),
        Ok(None) => {
            if let Some(group) = i32::try_from(child.id()).ok().and_then(rustix::process::Pid::from_raw) {
                // It may have ended this moment.
                let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
            }
            drop(child.wait());
            Err(format!("it took longer than {} s and was killed", timeout.as_secs_f64()))
        }
        Err(error) => Err(error.to_string()),
    }
}

/// How a command ended; none where it has not within `timeout`.
fn wait(child: &mut Child, timeout: Duration) -> std::io::Result<Option<std::process::ExitStatus>> {
    let start = Instant::now();
    loop {
        let status = child.try_wait()?;
        if status.is_some() || timeout <= start.elapsed() {
            return Ok(status);
        }
        std::thread::sleep(LOOK);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Severity;

    fn shell(script: &str) -> HookConfig {
        HookConfig { command: vec!["sh".into(), "-c".into(), script.into()], ..HookConfig::default() }
    }

    fn alarm(message: &str) -> Alarm {
        Alarm {
            id: 7,
            severity: Severity::Major,
            source: "scope".into(),
            message: message.into(),
            first_unix_seconds: 0.0,
            active: true,
            acknowledged: false,
        }
    }

    #[test]
    fn a_command_is_told_in_its_environment_and_on_its_input() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("told");
        let script = format!(
            "printf '%s|%s|%s|' \"$PNNLAB_EVENT\" \"$PNNLAB_RUN\" \"$PNNLAB_MESSAGE\" >> '{0}'; cat >> '{0}'",
            file.display()
        );
        let config =
            HooksConfig { alarm: Some(shell(&script)), failure: Some(shell(&script)), ..HooksConfig::default() };
        let hooks = Hooks::start(&config, &json!({ "run": "runs/a", "seed": 3 })).unwrap();
        hooks.alarm(&alarm("quote \" and $HOME\0"));
        hooks.end(StopReason::Finished, None, &json!({}));
        hooks.end(StopReason::Failed, Some(&Error::Usage("it broke".into())), &json!({ "test_accuracy": 0.5 }));
        hooks.finish();
        let told = std::fs::read_to_string(&file).unwrap();
        let lines: Vec<&str> = told.lines().collect();
        assert_eq!(lines.len(), 2, "nobody is told of an end without failure: {told}");
        assert!(lines[0].starts_with("alarm|runs/a|quote \" and $HOME|"), "{told}");
        let facts: Value = serde_json::from_str(lines[0].splitn(4, '|').nth(3).unwrap()).unwrap();
        assert_eq!((&facts["seed"], &facts["severity"], &facts["alarm"]), (&json!(3), &json!("major"), &json!(7)));
        let facts: Value = serde_json::from_str(lines[1].splitn(4, '|').nth(3).unwrap()).unwrap();
        assert_eq!((&facts["reason"], &facts["test_accuracy"]), (&json!("failed"), &json!(0.5)));
        assert!(facts["message"].as_str().unwrap().contains("it broke"));
    }

    #[test]
    fn nobody_waits_for_a_hook_and_what_takes_too_long_is_killed() {
        let config =
            HooksConfig { alarm: Some(shell("sleep 600 & sleep 600")), timeout_seconds: 0.1, ..HooksConfig::default() };
        let hooks = Hooks::start(&config, &json!({})).unwrap();
        let start = Instant::now();
        for _ in 0..2 * QUEUE {
            hooks.alarm(&alarm("again"));
        }
        assert!(start.elapsed() < Duration::from_mins(1), "raising an alarm waits for nobody");
        hooks.finish();
        assert!(start.elapsed() < Duration::from_mins(1), "the run's end waits for a bounded time");
        let facts = Map::new();
        let error = run(&["sh".into(), "-c".into(), "sleep 600".into()], &facts, "", Duration::from_millis(50));
        assert!(error.unwrap_err().contains("was killed"));
        assert!(run(&["no-such-program".into()], &facts, "", LOOK).unwrap_err().contains("cannot be started"));
    }

    #[test]
    fn what_a_command_has_started_is_killed_with_it() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("child");
        let script = format!("sleep 600 & echo $! > '{0}.new' && mv '{0}.new' '{0}'; wait", file.display());
        let told = run(&["sh".into(), "-c".into(), script], &Map::new(), "", Duration::from_secs(5));
        assert!(told.unwrap_err().contains("was killed"));
        let child = std::fs::read_to_string(&file).unwrap();
        let start = Instant::now();
        // It is gone, or waits for nothing but to be forgotten.
        let is_alive = || {
            let status = std::fs::read_to_string(format!("/proc/{}/stat", child.trim())).unwrap_or_default();
            status.rsplit(')').next().is_some_and(|rest| !rest.is_empty() && !rest.trim_start().starts_with('Z'))
        };
        while is_alive() {
            assert!(start.elapsed() < Duration::from_mins(1), "process {} lives on", child.trim());
            std::thread::yield_now();
        }
    }

    #[test]
    fn a_webhook_is_sent_the_object() {
        use std::io::{BufRead, BufReader, Read};
        let server = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let webhook = format!("http://{}/lab", server.local_addr().unwrap());
        let config =
            HooksConfig { end: Some(HookConfig { webhook, ..HookConfig::default() }), ..HooksConfig::default() };
        let hooks = Hooks::start(&config, &json!({ "run": "runs/b" })).unwrap();
        hooks.end(StopReason::Stopped, None, &json!({}));
        let (mut stream, _) = server.accept().unwrap();
        let mut reader = BufReader::new(stream.try_clone().unwrap());
        let (mut first, mut length) = (String::new(), 0);
        reader.read_line(&mut first).unwrap();
        loop {
            let mut line = String::new();
            reader.read_line(&mut line).unwrap();
            if let Some(value) = line.to_lowercase().strip_prefix("content-length:") {
                length = value.trim().parse().unwrap();
            }
            if line.trim().is_empty() {
                break;
            }
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body).unwrap();
        stream.write_all(b"HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n").unwrap();
        assert!(first.starts_with("POST /lab "), "{first}");
        let facts: Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(
            (&facts["event"], &facts["reason"], &facts["run"]),
            (&json!("end"), &json!("stopped"), &json!("runs/b"))
        );
        hooks.finish();
    }
}
