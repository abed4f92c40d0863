//! The catalog of a folder of runs: one `SQLite` file (`catalog.sqlite`, WAL) beside them, for finding and comparing.
//!
//! The run folders are the truth. Each time the catalog is opened it reads those that changed since it last looked, forgets those
//! that are gone, and closes as `lost` those whose process is gone; a catalog that is lost or broken is made again from them.

mod query;
mod scan;

use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, Transaction, TransactionBehavior, params};

use crate::Error;

pub use query::{Filter, Metric, Row, STATES};
pub use scan::{close_lost, whole_rows};

/// The name of the file.
pub const CATALOG: &str = "catalog.sqlite";
/// The layout of the tables; another one is made again.
const VERSION: i64 = 2;
/// What `SQLite` calls a file that is none.
const MEMORY: &str = ":memory:";
/// Another process may be writing for so long.
const PATIENCE: Duration = Duration::from_secs(5);

const TABLES: &str = "
    CREATE TABLE runs (
        run TEXT PRIMARY KEY, changed INTEGER NOT NULL, experiment TEXT, method TEXT, seed INTEGER, state TEXT,
        started REAL, simulated INTEGER, test_accuracy REAL, believed_accuracy REAL, shots INTEGER, plant_seconds REAL,
        wall_seconds REAL, validation_accuracy REAL, facts TEXT NOT NULL
    ) STRICT;
    CREATE INDEX best ON runs (validation_accuracy);
    CREATE TABLE plants (run TEXT NOT NULL, plant TEXT, system TEXT, serial TEXT, origin TEXT) STRICT;
    CREATE INDEX plants_of_runs ON plants (run);
    CREATE TABLE alarms (
        run TEXT NOT NULL, id INTEGER, severity TEXT, source TEXT, message TEXT, first REAL, active INTEGER,
        acknowledged INTEGER
    ) STRICT;
    CREATE INDEX alarms_of_runs ON alarms (run);
    CREATE TABLE calibrations (
        fit TEXT PRIMARY KEY, changed INTEGER NOT NULL, plant TEXT, system TEXT, serial TEXT, origin TEXT, procedure TEXT,
        made REAL, facts TEXT NOT NULL
    ) STRICT;
";

/// The catalog of a folder of runs, as fresh as when it was opened.
#[derive(Debug)]
pub struct Catalog {
    connection: Connection,
    runs: PathBuf,
}

impl Catalog {
    /// Opens the catalog of the folder `runs` and brings it up to date.
    ///
    /// Where its file cannot be written (a full disk, a folder that may only be read), it is made in memory from the run folders.
    pub fn open(runs: &Path) -> Result<Self, Error> {
        let path = runs.join(CATALOG);
        let mut opened = Self::connect(runs, &path);
        if let Err(rusqlite::Error::SqliteFailure(error, _)) = &opened
            && is_broken(error.code)
        {
            // All that it knew is in the run folders.
            for suffix in ["", "-wal", "-shm"] {
                drop(std::fs::remove_file(runs.join(format!("{CATALOG}{suffix}"))));
            }
            opened = Self::connect(runs, &path);
        }
        opened.or_else(|error| {
            if error.sqlite_error_code() == Some(rusqlite::ErrorCode::DatabaseBusy) {
                tell!("pnnlab: {} is held by another process: the run folders are read instead", path.display());
            }
            Self::connect(runs, Path::new(MEMORY)).map_err(|_| failed(&path)(error))
        })
    }

    fn connect(runs: &Path, path: &Path) -> rusqlite::Result<Self> {
        let mut connection = Connection::open(path)?;
        connection.busy_timeout(PATIENCE)?;
        connection.pragma_update(None, "journal_mode", "WAL")?;
        connection.pragma_update(None, "synchronous", "NORMAL")?;
        let version = |connection: &Connection| connection.pragma_query_value(None, "user_version", |row| row.get(0));
        if version(&connection) != Ok(VERSION) {
            let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            // Another process may have made them meanwhile.
            if version(&transaction) != Ok(VERSION) {
                for table in ["runs", "plants", "alarms", "calibrations"] {
                    transaction.execute(&format!("DROP TABLE IF EXISTS {table}"), [])?;
                }
                transaction.execute_batch(TABLES)?;
                transaction.pragma_update(None, "user_version", VERSION)?;
            }
            transaction.commit()?;
        }
        let mut catalog = Self { connection, runs: runs.to_owned() };
        catalog.refresh()?;
        Ok(catalog)
    }

    /// The folder of runs.
    pub fn folder(&self) -> &Path {
        &self.runs
    }

    /// Reads what changed, forgets what is gone.
    fn refresh(&mut self) -> rusqlite::Result<()> {
        let known = scan::known(&self.connection, "SELECT run, changed FROM runs")?;
        let fits = scan::known(&self.connection, "SELECT fit, changed FROM calibrations")?;
        let found = scan::changes(&self.runs, &known);
        let found_fits = scan::fit_changes(&self.runs, &fits);
        if found.is_empty() && found_fits.is_empty() {
            return Ok(());
        }
        let transaction = self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        for run in &found.gone {
            forget(&transaction, run)?;
        }
        for run in &found.changed {
            forget(&transaction, &run.name)?;
            insert(&transaction, run)?;
        }
        for fit in &found_fits.gone {
            transaction.execute("DELETE FROM calibrations WHERE fit = ?1", [fit])?;
        }
        for fit in &found_fits.changed {
            let text = |key: &str| fit.facts[key].as_str().map(str::to_owned);
            transaction.execute(
                "INSERT OR REPLACE INTO calibrations VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
                params![
                    fit.name,
                    fit.changed,
                    text("plant"),
                    text("system"),
                    text("serial"),
                    text("origin"),
                    text("procedure"),
                    fit.facts["made_unix_seconds"].as_f64(),
                    fit.facts.to_string()
                ],
            )?;
        }
        transaction.commit()
    }

    fn fail(&self, error: rusqlite::Error) -> Error {
        failed(&self.runs.join(CATALOG))(error)
    }
}

fn forget(transaction: &Transaction<'_>, run: &str) -> rusqlite::Result<()> {
    for table in ["runs", "plants", "alarms"] {
        transaction.prepare_cached(&format!("DELETE FROM {table} WHERE run = ?1"))?.execute([run])?;
    }
    Ok(())
}

fn insert(transaction: &Transaction<'_>, run: &scan::Found) -> rusqlite::Result<()> {
    let facts = &run.facts;
    let (text, number) = (|key: &str| facts[key].as_str(), |key: &str| facts[key].as_f64());
    transaction
        .prepare_cached("INSERT INTO runs VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15)")?
        .execute(params![
            run.name,
            run.changed,
            text("experiment"),
            text("method"),
            facts["seed"].as_i64(),
            text("state"),
            number("started_unix_seconds"),
            facts["simulated"].as_bool(),
            number("test_accuracy"),
            number("believed_accuracy"),
            facts["shots"].as_i64(),
            number("plant_seconds"),
            number("wall_seconds"),
            number("validation_accuracy"),
            facts.to_string(),
        ])?;
    for plant in facts["plants"].as_array().into_iter().flatten() {
        let word = |key: &str| plant[key].as_str();
        transaction.prepare_cached("INSERT INTO plants VALUES (?1, ?2, ?3, ?4, ?5)")?.execute(params![
            run.name,
            word("plant"),
            word("system"),
            word("serial"),
            word("origin")
        ])?;
    }
    for alarm in run.alarms.values() {
        transaction.prepare_cached("INSERT INTO alarms VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)")?.execute(params![
            run.name,
            alarm["id"].as_i64(),
            alarm["severity"].as_str(),
            alarm["source"].as_str(),
            alarm["message"].as_str(),
            alarm["first_unix_seconds"].as_f64(),
            alarm["active"].as_bool(),
            alarm["acknowledged"].as_bool(),
        ])?;
    }
    Ok(())
}

/// Whether the file itself is what is wrong.
fn is_broken(code: rusqlite::ErrorCode) -> bool {
    matches!(code, rusqlite::ErrorCode::NotADatabase | rusqlite::ErrorCode::DatabaseCorrupt)
}

fn failed(path: &Path) -> impl Fn(rusqlite::Error) -> Error {
    let path = path.to_owned();
    move |error| Error::Record {
        path: path.clone(),
        message: format!("cannot be used: {error}. It can be removed: it is made again from the run folders"),
    }
}

#[cfg(test)]
mod tests;
