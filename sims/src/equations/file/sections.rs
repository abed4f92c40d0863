//! The tables of a file that are not lists of quantities: equations, outputs, curves, time.

// Circle with equations/file.rs: one reader of one file; split for its length.

use std::collections::HashMap;

use toml::de::DeValue;

use super::super::model::{Curve, Line, Method, Output, Quantity, Time, nearest};
use super::super::syntax::{self, Kind};
use super::super::units;
use super::super::wording::{counted, said};
use super::{Reader, Table};
use crate::Error;

const MOST_SAMPLES: usize = 65_536;
const MOST_POINTS: usize = 256;

/// The table `[time]`. A system without it has one sample, and no states.
pub(super) fn time(root: &Table, samples: Option<usize>) -> Result<Time, Error> {
    let missing = Time {
        sample_seconds: 1.0,
        substeps: 1,
        method: Method::Rk4,
        samples: samples.unwrap_or(1),
        tolerance: 1e-4,
        at: 0,
    };
    let Some(table) = root.table("time")? else { return Ok(missing) };
    table.only(&["sample_seconds", "samples", "substeps", "method", "tolerance"])?;
    let method = match table.text("method")? {
        None | Some("rk4") => Method::Rk4,
        Some("semi-implicit") => Method::SemiImplicit,
        Some("implicit") => Method::Implicit,
        Some("implicit-adaptive") => Method::ImplicitAdaptive,
        Some(other) => {
            let known = ["rk4", "semi-implicit", "implicit", "implicit-adaptive"];
            let near = nearest(other, known.into_iter());
            let at = table.get("method").map_or(table.at, |value| value.span().start);
            return Err(root
                .source
                .error(at, format!("unknown method `{other}`{near}; known are {}", known.join(", "))));
        }
    };
    let seconds = table.bounded("sample_seconds", 0.0, [1e-18, 1e9])?;
    if seconds == 0.0 {
        return Err(root.source.error(table.at, "[time] needs sample_seconds, the time from one sample to the next"));
    }
    let own = table.count("samples", 1, [1, MOST_SAMPLES])?;
    Ok(Time {
        sample_seconds: seconds,
        substeps: table.count("substeps", 1, [1, 10_000])?,
        method,
        samples: samples.unwrap_or(own),
        tolerance: table.bounded("tolerance", 1e-4, [1e-12, 1e-1])?,
        at: table.at,
    })
}

/// Whether the slope between two points is too large to be computed with.
fn is_too_steep([from, low]: [f64; 2], [to, high]: [f64; 2]) -> bool {
    !(((high - low) / (to - from)) as f32).is_finite()
}

impl<'a> Reader<'a> {
    /// The equation of every state, those of `[plant]` in place of the others.
    pub(super) fn equations(
        &self,
        root: &Table<'a>,
        plant: Option<&Table<'a>>,
        states: &[Quantity],
    ) -> Result<Vec<Line>, Error> {
        let mut found: Vec<Option<Line>> = vec![None; states.len()];
        for (table, is_plant) in [(Some(root), false), (plant, true)] {
            let Some(table) = table.map(|table| table.table("equations")).transpose()?.flatten() else { continue };
            let mut here = vec![false; states.len()];
            for (key, value) in table.entries {
                let (at, text) = (key.span().start, key.get_ref().as_ref());
                let line = self.equation(&table, text, at, value)?;
                let Some(state) = states.iter().position(|state| state.name == line.name) else {
                    let near = nearest(&line.name, states.iter().map(|state| state.name.as_str()));
                    return Err(self
                        .source
                        .error(at, format!("`{text}`: `{}` is no state of [states]{near}", line.name)));
                };
                if states[state].shape.len() != line.indices.len() {
                    let what = format!(
                        "`{text}`: `{}` has {}, not {}",
                        line.name,
                        counted(states[state].shape.len(), "index", "indices"),
                        line.indices.len()
                    );
                    return Err(self.source.error(at, what));
                }
                if here[state] || (found[state].is_some() && !is_plant) {
                    return Err(self.source.error(at, format!("the state `{}` has two equations", line.name)));
                }
                here[state] = true;
                found[state] = Some(line);
            }
        }
        let together = states.iter().zip(found).map(|(state, line)| {
            line.ok_or_else(|| {
                let index = if state.shape.is_empty() { "" } else { "[k]" };
                let what = format!(
                    "the state `{}` has no equation: write \"der({}{index})\" = \"…\" in [equations]",
                    state.name, state.name
                );
                self.source.error(state.at, what)
            })
        });
        together.collect()
    }

    fn equation(
        &self,
        table: &Table<'a>,
        text: &str,
        at: usize,
        value: &toml::Spanned<DeValue>,
    ) -> Result<Line, Error> {
        let parsed = syntax::parse(text).map_err(|error| self.source.error(at, format!("`{text}`: {}", error.what)))?;
        match &parsed.kind {
            Kind::Call { name, of } if name == "der" && of.len() == 1 => {
                let (name, indices, called) = self.left(&text[of[0].span.clone()], at)?;
                Ok(Line { name, indices, called, right: table.written(value, text)? })
            }
            _ => Err(self.source.error(
                at,
                format!(
                    "`{text}`: an equation is written \"der(state)\" = \"…\"; what follows from others stands in [let]"
                ),
            )),
        }
    }

    pub(super) fn outputs(&mut self, root: &Table<'a>) -> Result<Vec<Output>, Error> {
        let Some(table) = root.table("outputs")? else {
            return Err(self.source.error(0, "nothing is read: the file needs [outputs]"));
        };
        let mut outputs = Vec::new();
        for (name, value) in table.entries {
            let at = name.span().start;
            let name = name.get_ref().as_ref();
            let entry = Table { at, ..table.as_table(name, value)? };
            entry.only(&["unit", "shape", "value", "range", "noise", "bits", "at"])?;
            let (unit, dimension, _) = self.unit(&entry, false)?;
            let indices = self.shape(&entry)?;
            let called = indices.iter().map(|index| self.indices[*index].name.clone()).collect();
            let (Some(value), Some(range)) = (entry.get("value"), entry.range()?) else {
                let what = format!("the output `{name}` needs a value, such as value = \"v\", and a range, in {unit}");
                return Err(self.source.error(at, what));
            };
            let at_end = match entry.text("at")? {
                None | Some("sample") => false,
                Some("end") => true,
                Some(_) => {
                    return Err(self
                        .source
                        .error(at, format!("`{name}` is read at = \"sample\", after each, or at = \"end\"")));
                }
            };
            if outputs.iter().any(|output: &Output| output.line.name == name) {
                return Err(self.source.error(at, format!("the output `{name}` is declared twice")));
            }
            let right = entry.written(value, name)?;
            outputs.push(Output {
                unit,
                dimension,
                range,
                noise: entry.bounded("noise", 0.0, [0.0, 1e30])?,
                bits: entry.count("bits", 0, [0, 24])? as u32,
                at_end,
                line: Line { name: name.to_owned(), indices, called, right },
            });
        }
        if outputs.is_empty() {
            return Err(self.source.error(table.at, "nothing is read: [outputs] is empty"));
        }
        Ok(outputs)
    }

    /// `[tables]`: curves through points, with units of both sides.
    pub(super) fn curves(&mut self, root: &Table<'a>) -> Result<HashMap<String, Curve>, Error> {
        let mut curves = HashMap::new();
        let Some(table) = root.table("tables")? else { return Ok(curves) };
        for (name, value) in table.entries {
            let at = name.span().start;
            let name = name.get_ref().as_ref();
            let entry = Table { at, ..table.as_table(name, value)? };
            entry.only(&["unit", "points", "of", "file"])?;
            if let Some(file) = entry.get("file") {
                return entry.fail(file, "the points of this file were not put in its place (`sims::with_tables`)");
            }
            let (_, to, scale) = self.unit(&entry, true)?;
            let from = entry.text("of")?.unwrap_or("1");
            let from = units::read(from).map_err(|what| self.source.error(at, what))?;
            let mut points = Vec::new();
            let list = entry.get("points").and_then(|value| value.get_ref().as_array());
            for point in list.into_iter().flatten() {
                let Some(pair) = point.get_ref().as_array().filter(|pair| pair.len() == 2) else {
                    return entry.fail(point, "a point is a pair such as [0.1, 2.5]");
                };
                let [x, y] = [entry.number(&pair[0], "points")?, entry.number(&pair[1], "points")?];
                let scaled = from.scale * x;
                if points.last().is_some_and(|[before, _]: &[f64; 2]| scaled <= *before) {
                    let what = format!(
                        "the point [{}, {}] of the table `{name}`, number {}, must have a larger x than the one before it",
                        said(x),
                        said(y),
                        points.len() + 1
                    );
                    return entry.fail(point, what);
                }
                let next = [scaled, scale * y];
                if points.last().is_some_and(|before: &[f64; 2]| is_too_steep(*before, next)) {
                    let what = format!(
                        "the point [{}, {}] of the table `{name}`, number {}, is so near to the one before it that the slope \
                         between them is no number of single precision",
                        said(x),
                        said(y),
                        points.len() + 1
                    );
                    return entry.fail(point, what);
                }
                points.push(next);
            }
            if !(2..=MOST_POINTS).contains(&points.len()) {
                let what = format!(
                    "the table `{name}` needs points = [[x, y], …] or a file of them, 2 to {MOST_POINTS}, x rising"
                );
                return Err(self.source.error(at, what));
            }
            if self.names.contains_key(name) {
                return Err(self.source.error(at, format!("`{name}` is declared twice")));
            }
            curves.insert(name.to_owned(), Curve { points, from: from.dimension, to });
        }
        Ok(curves)
    }
}
