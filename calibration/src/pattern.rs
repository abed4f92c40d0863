//! Pattern search with ask and tell: one coordinate after another, a step to each side, and the bottom of the parabola through the three (after Hooke
//! and Jeeves, J. ACM 8, 212, 1961).
//!
//! Coordinates are shares of each range, 0 to 1. A move is made only where it is better by more than the noise, which the first settings measure:
//! the start is tried several times. The center is tried anew after each round, and its value is the mean of what was told of it.

/// How often the start is tried, so that the noise is known.
const REPEATS: usize = 3;
/// The first step, as a share of the range.
const FIRST_STEP: f64 = 0.2;
/// Nothing is looked for in smaller steps.
const LAST_STEP: f64 = 0.004;

/// What is being tried.
#[derive(Debug, Clone, PartialEq)]
enum Trying {
    /// The center, once more.
    Center,
    /// A step up, then a step down, then the bottom between.
    Up,
    Down {
        up: f64,
    },
    Bottom {
        at: f64,
    },
}

/// The search.
#[derive(Debug, Clone)]
pub struct Pattern {
    center: Vec<f64>,
    /// What was told of the center: sum and count.
    of_center: (f64, usize),
    steps: Vec<f64>,
    coordinate: usize,
    trying: Trying,
    start: Vec<f64>,
    noise: f64,
}

impl Pattern {
    /// Begins at `start`.
    pub fn new(start: &[f64]) -> Self {
        Self {
            center: start.to_vec(),
            of_center: (0.0, 0),
            steps: vec![FIRST_STEP; start.len()],
            coordinate: 0,
            trying: Trying::Center,
            start: Vec::new(),
            noise: 0.0,
        }
    }

    /// The next setting to try.
    pub fn ask(&self) -> Vec<f64> {
        let mut setting = self.center.clone();
        if let Some(value) = setting.get_mut(self.coordinate) {
            match self.trying {
                Trying::Center => {}
                Trying::Up => *value = self.side(1.0),
                Trying::Down { .. } => *value = self.side(-1.0),
                Trying::Bottom { at } => *value = at,
            }
        }
        setting
    }

    /// How the setting that was asked for last did: less is better.
    pub fn tell(&mut self, value: f64) {
        let value = if value.is_nan() { f64::INFINITY } else { value };
        match self.trying.clone() {
            Trying::Center => {
                self.of_center = (self.of_center.0 + value, self.of_center.1 + 1);
                if self.start.len() < REPEATS {
                    self.start.push(value);
                    if self.start.len() < REPEATS {
                        return;
                    }
                    let mean = self.start.iter().sum::<f64>() / REPEATS as f64;
                    let squares: f64 = self.start.iter().map(|value| (value - mean).powi(2)).sum();
                    self.noise = (squares / (REPEATS - 1) as f64).sqrt();
                }
                self.trying = Trying::Up;
            }
            Trying::Up => self.trying = Trying::Down { up: value },
            Trying::Down { up } => self.look_between(up, value),
            Trying::Bottom { at } => {
                if value + self.noise < self.value() {
                    self.move_to(at, value);
                } else {
                    self.shorten(0.5);
                }
                self.next();
            }
        }
    }

    /// Whether all steps are so small that nothing more will be found.
    pub fn is_done(&self) -> bool {
        self.steps.iter().all(|step| *step < LAST_STEP)
    }

    /// The standard deviation of what is told of one setting, as far as it is known.
    pub fn noise(&self) -> f64 {
        self.noise
    }

    /// The center.
    pub fn center(&self) -> &[f64] {
        &self.center
    }

    fn value(&self) -> f64 {
        self.of_center.0 / self.of_center.1.max(1) as f64
    }

    /// A step to one side, or to the end of the range; where the center is at that end, as far to the other side again.
    fn side(&self, sign: f64) -> f64 {
        let (at, step) = (self.center[self.coordinate], sign * self.steps[self.coordinate]);
        let moved = (at + step).clamp(0.0, 1.0);
        if (moved - at).abs() < 0.25 * step.abs() { (at - 2.0 * step).clamp(0.0, 1.0) } else { moved }
    }

    /// Both sides are known.
    fn look_between(&mut self, up: f64, down: f64) {
        let [at, above, below] = [self.center[self.coordinate], self.side(1.0), self.side(-1.0)];
        let (own, step) = (self.value(), self.steps[self.coordinate]);
        // Newton's parabola through the three.
        let slope = |from: (f64, f64), to: (f64, f64)| (to.1 - from.1) / (to.0 - from.0);
        let first = slope((at, own), (above, up));
        let bend = (slope((at, own), (below, down)) - first) / (below - above);
        let bottom = 0.5 * (at + above) - first / (2.0 * bend);
        // A bend within the noise is none.
        let has_bottom = bend.is_finite() && self.noise < bend * step * step;
        let (best, value) = if up < down { (above, up) } else { (below, down) };
        if has_bottom {
            let target = bottom.clamp(at - 2.0 * step, at + 2.0 * step).clamp(0.0, 1.0);
            if (target - at).abs() < 0.1 * LAST_STEP {
                self.shorten(0.4);
                self.next();
            } else {
                self.trying = Trying::Bottom { at: target };
            }
            return;
        }
        if value + self.noise < own {
            self.move_to(best, value);
        } else {
            self.shorten(0.5);
        }
        self.next();
    }

    /// The next steps are about as long as this move was.
    fn move_to(&mut self, at: f64, value: f64) {
        let moved = (at - self.center[self.coordinate]).abs();
        let step = &mut self.steps[self.coordinate];
        *step = (0.7 * moved).clamp(0.3 * *step, 1.5 * *step).min(0.4);
        self.center[self.coordinate] = at;
        self.of_center = (value, 1);
    }

    fn shorten(&mut self, by: f64) {
        self.steps[self.coordinate] *= by;
    }

    fn next(&mut self) {
        self.trying = Trying::Up;
        for _ in 0..self.center.len() {
            self.coordinate += 1;
            if self.center.len() <= self.coordinate {
                // A lucky value is not believed for ever.
                (self.coordinate, self.trying) = (0, Trying::Center);
            }
            if LAST_STEP <= self.steps[self.coordinate] {
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use sims::Key;

    use super::*;

    /// Searches a bowl with its bottom at (0.3, 0.8, 0.55) under noise.
    fn searched(noise: f32, evaluations: usize) -> (Vec<f64>, usize) {
        let mut stream = Key::new(5).stream();
        let mut search = Pattern::new(&[0.6, 0.5, 0.1]);
        let mut used = 0;
        while used < evaluations && !search.is_done() {
            let setting = search.ask();
            assert!(setting.iter().all(|share| (0.0..=1.0).contains(share)), "{setting:?}");
            let value: f64 = setting.iter().zip([0.3, 0.8, 0.55]).map(|(a, b)| (a - b).powi(2)).sum();
            search.tell(value + f64::from(noise * stream.normal()));
            used += 1;
        }
        (search.center().to_vec(), used)
    }

    #[test]
    fn it_finds_the_bottom_of_a_bowl_in_a_few_dozen_settings() {
        let (center, used) = searched(0.0, 200);
        assert!(center.iter().zip([0.3, 0.8, 0.55]).all(|(a, b)| (a - b).abs() < 5e-3), "{center:?} after {used}");
        assert!(used < 100, "{used}");
        let (center, _) = searched(0.002, 200);
        assert!(center.iter().zip([0.3, 0.8, 0.55]).all(|(a, b)| (a - b).abs() < 0.06), "{center:?}");
    }

    #[test]
    fn a_knob_that_does_nothing_stays_where_it_was() {
        let mut search = Pattern::new(&[0.5, 0.5]);
        for _ in 0..60 {
            let setting = search.ask();
            search.tell((setting[0] - 0.9).powi(2));
        }
        assert_eq!(search.center()[1], 0.5);
        assert!((search.center()[0] - 0.9).abs() < 1e-2);
    }
}
