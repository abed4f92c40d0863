//! The search for the settings of knobs that have no gradient: asks for settings one at a time, is told how each did, and keeps the start unless
//! something is better.
//!
//! Pattern search first, since it needs few settings; then CMA-ES from there, which knows how knobs hang together. The last settings of the budget
//! try the start, the best, and the middle of the search again, side by side: what was lucky once under noise is not believed.

use serde::{Deserialize, Serialize};
use sims::Key;

use crate::evolution::Evolution;
use crate::pattern::Pattern;

/// How often each candidate is tried at the end.
const CONFIRMATIONS: usize = 3;
/// The share of the budget that pattern search may use where CMA-ES follows.
const PATTERN_SHARE: f64 = 0.7;
/// The first spread of CMA-ES: alone, and where pattern search has gone before.
const SPREADS: [f64; 2] = [0.2, 0.05];
/// Below this spread CMA-ES finds nothing more.
const LAST_SPREAD: f64 = 1e-3;

/// How settings are looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Strategy {
    /// Pattern search, then CMA-ES.
    #[default]
    PatternFirst,
    /// Pattern search alone.
    Pattern,
    /// CMA-ES alone.
    Evolution,
    /// Settings at random: what others are held against.
    Random,
}

/// The search.
#[derive(Debug, Clone)]
pub struct Tuner {
    strategy: Strategy,
    key: Key,
    start: Vec<f64>,
    evaluations: usize,
    /// What was told, in its order.
    told: Vec<(Vec<f64>, f64)>,
    pattern: Pattern,
    evolution: Option<Evolution>,
    /// Candidates of the end with what was told of each; empty before.
    candidates: Vec<(Vec<f64>, Vec<f64>)>,
}

impl Tuner {
    /// From `start`, shares of each range from 0 to 1, with so many settings in all.
    pub fn new(start: &[f64], evaluations: usize, strategy: Strategy, key: Key) -> Self {
        let evolution =
            (strategy == Strategy::Evolution).then(|| Evolution::new(start, SPREADS[0], key.branch("evolution")));
        Self {
            strategy,
            key,
            start: start.to_vec(),
            evaluations,
            told: Vec::new(),
            pattern: Pattern::new(start),
            evolution,
            candidates: Vec::new(),
        }
    }

    /// The fewest settings that make sense.
    pub fn fewest(knobs: usize) -> usize {
        3 * CONFIRMATIONS + 3 + 3 * knobs
    }

    /// The next setting to try; none where the search has ended.
    pub fn ask(&self) -> Option<Vec<f64>> {
        if self.told.is_empty() {
            return Some(self.start.clone());
        }
        if !self.candidates.is_empty() {
            let least = self.candidates.iter().map(|(_, values)| values.len()).min().unwrap_or(CONFIRMATIONS);
            let next = self.candidates.iter().find(|(_, values)| values.len() == least);
            return next.filter(|_| least < CONFIRMATIONS).map(|(setting, _)| setting.clone());
        }
        Some(match (&self.evolution, self.strategy) {
            (Some(evolution), _) => evolution.ask(),
            (None, Strategy::Random) => {
                let mut stream = self.key.branch("random").number(self.told.len() as u64).stream();
                self.start.iter().map(|_| f64::from(stream.uniform())).collect()
            }
            (None, _) => self.pattern.ask(),
        })
    }

    /// How the setting that was asked for last did: less is better.
    pub fn tell(&mut self, value: f64) {
        let Some(setting) = self.ask() else { return };
        let is_first = self.told.is_empty();
        self.told.push((setting, value));
        if !self.candidates.is_empty() {
            let least = self.candidates.iter().map(|(_, values)| values.len()).min().unwrap_or(0);
            if let Some((_, values)) = self.candidates.iter_mut().find(|(_, values)| values.len() == least) {
                values.push(value);
            }
            return;
        }
        match (&mut self.evolution, self.strategy) {
            // The start is tried by everybody; pattern search needs its value.
            (Some(evolution), _) if !is_first => evolution.tell(value),
            (None, Strategy::Pattern | Strategy::PatternFirst) => self.pattern.tell(value),
            _ => {}
        }
        self.advance();
    }

    /// Changes to what comes next where it is time.
    fn advance(&mut self) {
        let left = self.evaluations.saturating_sub(self.told.len());
        let is_settled = match &self.evolution {
            Some(evolution) => evolution.center().1 < LAST_SPREAD,
            None => self.strategy == Strategy::Pattern && self.pattern.is_done(),
        };
        if left <= 3 * CONFIRMATIONS || is_settled {
            self.end();
            return;
        }
        let share = self.told.len() as f64 / self.evaluations.max(1) as f64;
        let follows = self.strategy == Strategy::PatternFirst && self.evolution.is_none();
        if follows && (self.pattern.is_done() || PATTERN_SHARE <= share) {
            self.evolution = Some(Evolution::new(self.pattern.center(), SPREADS[1], self.key.branch("evolution")));
        }
    }

    /// Says who is tried again.
    fn end(&mut self) {
        let best = self
            .told
            .iter()
            .min_by(|a, b| a.1.total_cmp(&b.1))
            .map_or(self.start.clone(), |(setting, _)| setting.clone());
        let middle = match (&self.evolution, self.strategy) {
            (Some(evolution), _) => evolution.center().0,
            (None, Strategy::Random) => best.clone(),
            (None, _) => self.pattern.center().to_vec(),
        };
        let mut candidates = vec![self.start.clone()];
        for one in [best, middle] {
            if !candidates.contains(&one) {
                candidates.push(one);
            }
        }
        self.candidates = candidates.into_iter().map(|setting| (setting, vec![])).collect();
    }

    /// What is tried now, in words.
    pub fn stage(&self) -> &'static str {
        match (&self.evolution, self.strategy) {
            _ if !self.candidates.is_empty() => "comparison",
            (Some(_), _) => "CMA-ES",
            (None, Strategy::Random) => "random",
            (None, _) => "pattern search",
        }
    }

    /// What was told, in its order.
    pub fn told(&self) -> &[(Vec<f64>, f64)] {
        &self.told
    }

    /// The standard deviation of what is told of one setting.
    pub fn noise(&self) -> f64 {
        let deviation = |values: &Vec<f64>| {
            let mean = values.iter().sum::<f64>() / values.len() as f64;
            values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / (values.len() - 1) as f64
        };
        let known: Vec<f64> =
            self.candidates.iter().map(|(_, values)| values).filter(|values| 1 < values.len()).map(deviation).collect();
        if known.is_empty() { self.pattern.noise() } else { (known.iter().sum::<f64>() / known.len() as f64).sqrt() }
    }

    /// What is kept: the setting, its value and that of the start, each the mean of several tries. The start itself, unless something is better by more
    /// than the noise of these means. None before the end.
    pub fn kept(&self) -> Option<Kept> {
        if self.candidates.is_empty() || self.ask().is_some() {
            return None;
        }
        let mean = |values: &Vec<f64>| values.iter().sum::<f64>() / values.len().max(1) as f64;
        let (first, others) = self.candidates.split_first()?;
        let start = mean(&first.1);
        let margin = self.noise() / (CONFIRMATIONS as f64).sqrt();
        let best = others.iter().map(|(setting, values)| (setting, mean(values))).min_by(|a, b| a.1.total_cmp(&b.1));
        Some(match best.filter(|(_, value)| value + margin < start) {
            Some((setting, value)) => Kept { setting: setting.clone(), value, start, is_better: true },
            None => Kept { setting: self.start.clone(), value: start, start, is_better: false },
        })
    }
}

/// What a search keeps.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Kept {
    /// Shares of each range.
    pub setting: Vec<f64>,
    /// Its value.
    pub value: f64,
    /// That of the start.
    pub start: f64,
    /// Whether it is another setting than the start.
    pub is_better: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn search(strategy: Strategy, evaluations: usize, value: impl Fn(&[f64], f64) -> f64) -> Tuner {
        let mut tuner = Tuner::new(&[0.5, 0.5, 0.5], evaluations, strategy, Key::new(9));
        let mut stream = Key::new(2).stream();
        while let Some(setting) = tuner.ask() {
            let noise = f64::from(stream.normal());
            tuner.tell(value(&setting, noise));
        }
        tuner
    }

    fn bowl(setting: &[f64], noise: f64) -> f64 {
        setting.iter().zip([0.3, 0.8, 0.55]).map(|(a, b)| (a - b).powi(2)).sum::<f64>() + 0.001 * noise
    }

    #[test]
    fn it_keeps_to_its_budget_and_comes_near_the_bottom() {
        for (strategy, most) in [
            (Strategy::PatternFirst, 0.01),
            (Strategy::Pattern, 0.01),
            (Strategy::Evolution, 0.02),
            (Strategy::Random, 0.1),
        ] {
            let tuner = search(strategy, 120, bowl);
            assert!(tuner.told().len() <= 120, "{strategy:?}: {}", tuner.told().len());
            let kept = tuner.kept().unwrap();
            assert!(kept.is_better && bowl(&kept.setting, 0.0) < most, "{strategy:?}: {kept:?}");
        }
    }

    #[test]
    fn where_nothing_is_better_the_start_stays() {
        let kept = search(Strategy::PatternFirst, 80, |setting, noise| {
            setting.iter().map(|share| (share - 0.5).powi(2)).sum::<f64>() + 0.05 * noise
        });
        let kept = kept.kept().unwrap();
        assert!(!kept.is_better && kept.setting == [0.5, 0.5, 0.5], "{kept:?}");
    }

    #[test]
    fn what_was_told_before_leads_to_the_same_next_setting() {
        let whole = search(Strategy::PatternFirst, 90, bowl);
        let mut again = Tuner::new(&[0.5, 0.5, 0.5], 90, Strategy::PatternFirst, Key::new(9));
        for (setting, value) in whole.told() {
            assert_eq!(again.ask().as_ref(), Some(setting));
            again.tell(*value);
        }
        assert_eq!(again.kept(), whole.kept());
    }
}
