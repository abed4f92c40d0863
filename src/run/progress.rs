//! A progress bar on standard error.

use std::ops::ControlFlow;

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

use super::{Event, Observer, StopReason};
use crate::Error;

/// Steps done, loss, and the last accuracy on the plant. Draws nothing where standard error is not a terminal.
pub struct Progress {
    bar: ProgressBar,
    accuracy: String,
}

impl Progress {
    /// A bar called `title` of `steps` steps, below those that `bars` already shows.
    pub fn new(title: &str, steps: usize, bars: &MultiProgress) -> Self {
        let bar = bars.add(ProgressBar::new(steps as u64).with_prefix(title.to_owned()));
        let template = "{prefix:28} {bar:24} {pos:>5}/{len} {elapsed:>4} left {eta:>4}  {msg}";
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style);
        }
        Self { bar, accuracy: String::new() }
    }
}

impl Observer for Progress {
    fn observe(&mut self, event: &Event) -> Result<ControlFlow<StopReason>, Error> {
        match event {
            Event::Step(step) => {
                self.bar.set_position(step.step as u64);
                if step.step.is_multiple_of(10) {
                    self.bar.set_message(format!("loss {:.3}{}", step.loss, self.accuracy));
                }
            }
            Event::Evaluated(test) => self.accuracy = format!("  {:.1} % on the plant", 100.0 * test.test_accuracy),
            Event::Continued { step } => {
                self.bar.set_position(*step as u64);
                self.bar.reset_eta();
            }
            Event::Finished { .. } => self.bar.abandon(),
            _ => {}
        }
        Ok(ControlFlow::Continue(()))
    }
}
