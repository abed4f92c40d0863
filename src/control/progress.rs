//! A progress bar on standard error.

use std::io::stderr;
use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

use crate::Error;
use crate::event::{Event, Observer};
use crate::output::{duration, table::terminal_width};
use crate::stop::StopReason;
use crate::writing::Writer;

/// Letters of a line from which on it has room for a bar.
const WIDE: usize = 130;
/// How often the bar moves.
const MOVES: Duration = Duration::from_millis(100);

/// Steps done, loss, and the last score on the plant. Draws nothing where standard error is not a terminal.
///
/// A thread of its own draws and prints: a terminal that takes nothing, such as one at the other end of a line that is down, holds no plant.
pub struct Progress {
    bar: ProgressBar,
    terminal: Writer,
    moved: Instant,
    /// Updates that are done.
    done: u64,
    scores: String,
    /// Bench time in all, in s.
    plant_seconds: f64,
}

impl Progress {
    /// A bar called `title` of `steps` steps, below those that `bars` already shows.
    ///
    /// It shows what is left of `plant_seconds` of bench time.
    pub fn new(title: &str, (steps, plant_seconds): (usize, f64), bars: &MultiProgress) -> std::io::Result<Self> {
        let bar = bars.add(ProgressBar::new(steps as u64).with_prefix(title.to_owned()));
        // Where there is no room for both, numbers say more than the bar. What does not fit on one line is cut at its end.
        let template = if terminal_width(&stderr()).is_none_or(|width| WIDE <= width) {
            "{prefix:28} {bar:24} {pos:>5}/{len} {elapsed:>4} left {eta:>4}  {wide_msg}"
        } else {
            "{prefix:22!} {pos:>5}/{len} left {eta:>4}  {wide_msg}"
        };
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style);
        }
        let terminal = Writer::start("progress")?;
        Ok(Self { bar, terminal, moved: Instant::now(), done: 0, scores: String::new(), plant_seconds })
    }

    /// Draws by the thread.
    fn draw(&self, draw: impl FnOnce(&ProgressBar) + Send + 'static) {
        let bar = self.bar.clone();
        // Nothing that is drawn fails.
        let _ = self.terminal.hand(move || {
            draw(&bar);
            Ok(())
        });
    }

    /// Prints a line above the bar.
    fn tell(&self, line: String) {
        self.draw(move |bar| bar.suspend(|| tell!("pnnlab: {line}")));
    }
}

impl Observer for Progress {
    fn observe(&mut self, event: &Event) -> Result<ControlFlow<StopReason>, Error> {
        match event {
            Event::Step(step) => {
                // A terminal that is slow gets the newest only.
                if MOVES <= self.moved.elapsed() && self.terminal.backlog().waiting().0 == 0 {
                    self.moved = Instant::now();
                    let left = duration((self.plant_seconds - step.plant_seconds).max(0.0));
                    let message = format!("loss {:.3}{}  bench {left} left", step.loss, self.scores);
                    let position = step.step as u64;
                    self.draw(move |bar| {
                        bar.set_position(position);
                        bar.set_message(message);
                    });
                }
                self.done = step.step as u64;
            }
            Event::Evaluated(test) => {
                let score = test.believed.kind().score();
                self.scores = format!("  {} on the plant", score.say(test.scores().first()));
            }
            Event::Continued { step } => {
                let position = *step as u64;
                self.draw(move |bar| {
                    bar.set_position(position);
                    bar.reset_eta();
                });
            }
            Event::Alarm(alarm) if alarm.active && !alarm.acknowledged => {
                self.tell(format!("{}: ALARM of {}: {}", self.bar.prefix(), alarm.source, alarm.message));
            }
            Event::Paused { why } => self.tell(format!("paused {why}; r goes on, or ask through `pnnlab watch`")),
            Event::Resumed => self.tell("goes on".to_owned()),
            Event::Finished { .. } => {
                let done = self.done;
                self.draw(move |bar| {
                    bar.set_position(done);
                    bar.abandon();
                });
                // What the program prints next comes below.
                self.terminal.mark().wait();
            }
            _ => {}
        }
        Ok(ControlFlow::Continue(()))
    }
}
