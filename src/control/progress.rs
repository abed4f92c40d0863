//! A progress bar on standard error.

use std::io::stderr;
use std::ops::ControlFlow;

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

use crate::Error;
use crate::event::{Event, Observer};
use crate::output::{duration, table::terminal_width};
use crate::stop::StopReason;

/// Letters of a line from which on it has room for a bar.
const WIDE: usize = 130;

/// Steps done, loss, and the last score on the plant. Draws nothing where standard error is not a terminal.
pub struct Progress {
    bar: ProgressBar,
    scores: String,
    /// Bench time in all, in s.
    plant_seconds: f64,
}

impl Progress {
    /// A bar called `title` of `steps` steps, below those that `bars` already shows.
    ///
    /// It shows what is left of `plant_seconds` of bench time.
    pub fn new(title: &str, (steps, plant_seconds): (usize, f64), bars: &MultiProgress) -> Self {
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
        Self { bar, scores: String::new(), plant_seconds }
    }
}

impl Observer for Progress {
    fn observe(&mut self, event: &Event) -> Result<ControlFlow<StopReason>, Error> {
        match event {
            Event::Step(step) => {
                self.bar.set_position(step.step as u64);
                if step.step.is_multiple_of(10) {
                    let left = duration((self.plant_seconds - step.plant_seconds).max(0.0));
                    self.bar.set_message(format!("loss {:.3}{}  bench {left} left", step.loss, self.scores));
                }
            }
            Event::Evaluated(test) => {
                let score = test.believed.kind().score();
                self.scores = format!("  {} on the plant", score.say(test.scores().first()));
            }
            Event::Continued { step } => {
                self.bar.set_position(*step as u64);
                self.bar.reset_eta();
            }
            Event::Alarm(alarm) if alarm.active && !alarm.acknowledged => {
                // The bar is locked while it is suspended.
                let run = self.bar.prefix();
                self.bar.suspend(|| tell!("pnnlab: {run}: ALARM of {}: {}", alarm.source, alarm.message));
            }
            Event::Paused { why } => {
                let say = || tell!("pnnlab: paused {why}; r goes on, or ask through `pnnlab watch`");
                self.bar.suspend(say);
            }
            Event::Resumed => self.bar.suspend(|| tell!("pnnlab: goes on")),
            Event::Finished { .. } => self.bar.abandon(),
            _ => {}
        }
        Ok(ControlFlow::Continue(()))
    }
}
