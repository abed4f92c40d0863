//! What can be asked of the catalog.

use clap::ValueEnum;
use rusqlite::types::Value as Sql;
use serde::Serialize;
use serde_json::Value;

use super::Catalog;
use crate::Error;
use crate::scores::{Better, Keyed, ObjectiveKind};

/// What runs are ranked by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "snake_case")]
pub enum Metric {
    /// The score that decides, of the validation set on the plant; the best first, objective by objective. The test set chooses nothing
    Validation,
    /// Fraction of the validation set that is right on the plant; more is better
    ValidationAccuracy,
    /// Fraction of the test set that is right on the plant; more is better
    TestAccuracy,
    /// The same as the method believes; more is better
    BelievedAccuracy,
    /// NRMSE of the validation set on the plant; less is better
    ValidationNrmse,
    /// NRMSE of the test set on the plant; less is better
    TestNrmse,
    /// The same as the method believes; less is better
    BelievedNrmse,
    /// R² of the validation set on the plant; more is better
    ValidationR2,
    /// R² of the test set on the plant; more is better
    TestR2,
    /// The same as the method believes; more is better
    BelievedR2,
    /// Shots on the plants; fewer are better
    Shots,
    /// Bench time in s; less is better
    PlantSeconds,
    /// Time here in s; less is better
    WallSeconds,
}

impl Metric {
    /// What there must be, and the order in which the best comes first, in SQL.
    fn order(self) -> (String, String) {
        let by = |column: &str, direction: &str| (column.to_owned(), format!("{column} {direction}"));
        let of_facts = |key: &str, direction: &str| by(&format!("json_extract(facts, '$.{key}')"), direction);
        match self {
            Self::Validation => {
                let all = ObjectiveKind::JUDGED.map(|kind| {
                    let (key, better) = (kind.score().key("validation"), kind.score().better);
                    of_facts(&key, if better == Better::Higher { "DESC" } else { "ASC" })
                });
                let orders = all.iter().map(|(value, order)| format!("{value} IS NULL, {order}")).collect::<Vec<_>>();
                let values: Vec<&str> = all.iter().map(|(value, _)| value.as_str()).collect();
                (format!("coalesce({})", values.join(", ")), orders.join(", "))
            }
            Self::ValidationAccuracy => by("validation_accuracy", "DESC"),
            Self::TestAccuracy => by("test_accuracy", "DESC"),
            Self::BelievedAccuracy => by("believed_accuracy", "DESC"),
            Self::ValidationNrmse => of_facts("validation_nrmse", "ASC"),
            Self::TestNrmse => of_facts("test_nrmse", "ASC"),
            Self::BelievedNrmse => of_facts("believed_nrmse", "ASC"),
            Self::ValidationR2 => of_facts("validation_r2", "DESC"),
            Self::TestR2 => of_facts("test_r2", "DESC"),
            Self::BelievedR2 => of_facts("believed_r2", "DESC"),
            Self::Shots => by("shots", "ASC"),
            Self::PlantSeconds => by("plant_seconds", "ASC"),
            Self::WallSeconds => by("wall_seconds", "ASC"),
        }
    }
}

/// The states of a run.
pub const STATES: [&str; 7] = ["running", "finished", "stopped", "interrupted", "aborted", "failed", "lost"];

/// Which runs.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Filter {
    /// Of this method.
    pub method: Option<String>,
    /// With a plant of this name, system or serial number.
    pub plant: Option<String>,
    /// Of this experiment.
    pub experiment: Option<String>,
    /// In this state.
    pub state: Option<String>,
    /// Started at this time or later: seconds since 1970.
    pub since: Option<f64>,
    /// Ranked by this, the best first; without it the newest is first.
    pub best: Option<Metric>,
    /// At most so many.
    pub limit: Option<usize>,
}

/// One run.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Row {
    /// Its folder below the folder of runs.
    pub run: String,
    /// The experiment.
    pub experiment: Option<String>,
    /// The method.
    pub method: Option<String>,
    /// The seed.
    pub seed: Option<i64>,
    /// `running`, or why it ended.
    pub state: Option<String>,
    /// When it was started: seconds since 1970.
    pub started_unix_seconds: Option<f64>,
    /// Its plants with their origins, such as `electrical (simulated)`.
    pub plants: Option<String>,
    /// Whether all of them are simulated.
    pub simulated: Option<bool>,
    /// Fraction of the test set that is right on the plant.
    pub test_accuracy: Option<f64>,
    /// The same of the validation set.
    pub validation_accuracy: Option<f64>,
    /// The same as the method believes.
    pub believed_accuracy: Option<f64>,
    /// Shots on the plants.
    pub shots: Option<i64>,
    /// Bench time, in s.
    pub plant_seconds: Option<f64>,
    /// Time here, in s.
    pub wall_seconds: Option<f64>,
    /// Alarms that nobody has acknowledged.
    pub alarms: i64,
    /// Why it failed.
    pub why: Option<String>,
    /// What is learned.
    pub objective: ObjectiveKind,
    /// Every score that it has, by name: `test_accuracy`, `test_nrmse` and so on.
    pub scores: Keyed<f64>,
}

impl Row {
    /// The score that decides: of `test` and `validation` on the plant, or `believed`.
    pub fn first(&self, part: &str) -> Option<f64> {
        self.scores.get(&self.objective.score().key(part)).copied()
    }
}

impl Catalog {
    /// The runs that `filter` lets through.
    pub fn runs(&self, filter: &Filter) -> Result<Vec<Row>, Error> {
        let mut clauses: Vec<String> = Vec::new();
        let mut values: Vec<Sql> = Vec::new();
        for (column, wanted) in
            [("method", &filter.method), ("experiment", &filter.experiment), ("state", &filter.state)]
        {
            if let Some(wanted) = wanted {
                values.push(Sql::Text(wanted.clone()));
                clauses.push(format!("{column} = ?{}", values.len()));
            }
        }
        if let Some(plant) = &filter.plant {
            values.push(Sql::Text(plant.clone()));
            let place = values.len();
            clauses.push(format!(
                "run IN (SELECT run FROM plants WHERE plant = ?{place} OR system = ?{place} OR serial = ?{place})"
            ));
        }
        if let Some(since) = filter.since {
            values.push(Sql::Real(since));
            clauses.push(format!("started >= ?{}", values.len()));
        }
        let order = match filter.best.map(Metric::order) {
            Some((value, order)) => {
                clauses.push(format!("{value} IS NOT NULL"));
                format!("{order}, run")
            }
            None => "started DESC, run".to_owned(),
        };
        let condition = if clauses.is_empty() { "1".to_owned() } else { clauses.join(" AND ") };
        let limit = filter.limit.map_or(-1, |limit| limit as i64);
        let query = format!(
            "SELECT run, experiment, method, seed, state, started,
                (SELECT group_concat(plant || ' (' || origin || ')', ', ') FROM plants WHERE plants.run = runs.run),
                simulated, test_accuracy, believed_accuracy, shots, plant_seconds, wall_seconds,
                (SELECT count(*) FROM alarms WHERE alarms.run = runs.run AND NOT acknowledged),
                json_extract(facts, '$.error'), validation_accuracy, facts
             FROM runs WHERE {condition} ORDER BY {order} LIMIT {limit}"
        );
        let read = || {
            let mut statement = self.connection.prepare(&query)?;
            let rows = statement.query_map(rusqlite::params_from_iter(&values), row)?;
            rows.collect::<rusqlite::Result<Vec<_>>>()
        };
        read().map_err(|error| self.fail(error))
    }

    /// `run.json` of the run in folder `run`; none if there is no such run.
    pub fn facts(&self, run: &str) -> Result<Option<Value>, Error> {
        let found =
            self.connection.query_row("SELECT facts FROM runs WHERE run = ?1", [run], |row| row.get::<_, String>(0));
        match found {
            Ok(text) => Ok(Some(serde_json::from_str::<Value>(&text).unwrap_or(Value::Null))),
            Err(rusqlite::Error::QueryReturnedNoRows) => Ok(None),
            Err(error) => Err(self.fail(error)),
        }
    }

    /// The alarms of a run, the newest last.
    pub fn alarms(&self, run: &str) -> Result<Vec<Value>, Error> {
        let read = || {
            let mut statement = self.connection.prepare(
                "SELECT json_object('id', id, 'severity', severity, 'source', source, 'message', message,
                    'first_unix_seconds', first, 'active', json(iif(active, 'true', 'false')),
                    'acknowledged', json(iif(acknowledged, 'true', 'false')))
                 FROM alarms WHERE run = ?1 ORDER BY id",
            )?;
            let rows = statement.query_map([run], |row| row.get::<_, String>(0))?;
            rows.collect::<rusqlite::Result<Vec<_>>>()
        };
        let texts = read().map_err(|error| self.fail(error))?;
        Ok(texts.iter().filter_map(|text| serde_json::from_str(text).ok()).collect())
    }

    /// The fits, the newest first.
    pub fn calibrations(&self) -> Result<Vec<Value>, Error> {
        let read = || {
            let mut statement =
                self.connection.prepare("SELECT facts, fit FROM calibrations ORDER BY made DESC, fit")?;
            let rows = statement.query_map([], |row| Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?)))?;
            rows.collect::<rusqlite::Result<Vec<_>>>()
        };
        let rows = read().map_err(|error| self.fail(error))?;
        Ok(rows
            .into_iter()
            .filter_map(|(facts, fit)| {
                let mut facts: Value = serde_json::from_str(&facts).ok()?;
                facts["fit"] = fit.into();
                Some(facts)
            })
            .collect())
    }
}

fn row(row: &rusqlite::Row<'_>) -> rusqlite::Result<Row> {
    let facts: Value = serde_json::from_str(&row.get::<_, String>(16)?).unwrap_or_default();
    let objective = ObjectiveKind::of_record(&facts);
    let keys =
        objective.scores().iter().flat_map(|score| ["test", "validation", "believed"].map(|part| score.key(part)));
    let scores = keys.filter_map(|key| facts[&key].as_f64().map(|value| (key, value))).collect();
    Ok(Row {
        objective,
        scores,
        run: row.get(0)?,
        experiment: row.get(1)?,
        method: row.get(2)?,
        seed: row.get(3)?,
        state: row.get(4)?,
        started_unix_seconds: row.get(5)?,
        plants: row.get(6)?,
        simulated: row.get(7)?,
        test_accuracy: row.get(8)?,
        believed_accuracy: row.get(9)?,
        shots: row.get(10)?,
        plant_seconds: row.get(11)?,
        wall_seconds: row.get(12)?,
        alarms: row.get(13)?,
        why: row.get(14)?,
        validation_accuracy: row.get(15)?,
    })
}
