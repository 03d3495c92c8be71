//! Why each pool had the size it had: the plans that changed something, kept for a while.
//!
//! A file of its own beside the ledger. Nothing depends on it but explanations, so it is written
//! without waiting for the disk.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    time::Duration,
};

use foreshadow_types::{PoolName, Timestamp};
use rusqlite::{Connection, OptionalExtension, Row, params};
use serde::{Deserialize, Serialize};

use crate::{LedgerError, embedded::refused, versioned::migrate};

/// The tables, and what later releases made of them; a step that was released stays as it is.
const STEPS: &[&str] = &["CREATE TABLE IF NOT EXISTS plans (
         pool TEXT NOT NULL,
         at INTEGER NOT NULL,
         target INTEGER NOT NULL,
         proposed INTEGER,
         basis TEXT NOT NULL,
         PRIMARY KEY (pool, at)
     ) WITHOUT ROWID;
     CREATE INDEX IF NOT EXISTS by_time ON plans (at);"];

/// A plan as it was when it came into force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlanRecord {
    /// The pool.
    pub pool: PoolName,
    /// When it came into force.
    pub at: Timestamp,
    /// The target carried out.
    pub target: u32,
    /// The target that was only proposed, in a preview.
    pub proposed: Option<u32>,
    /// How it came about.
    pub basis: PlanBasis,
}

/// How a plan came about.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct PlanBasis {
    /// The policy that was followed.
    pub mode: String,
    /// Instances ready and not promised.
    pub ready: u32,
    /// Instances starting and not promised.
    pub starting: u32,
    /// Instances on lease.
    pub leased: u32,
    /// Requests that waited.
    pub queued: u32,
    /// The steps to the target, in order.
    pub reasons: Vec<String>,
    /// Requests that had waited so far, by cause.
    pub waits: BTreeMap<String, u64>,
}

/// A plan and the one that took its place, if any has.
pub type PlanAndNext = (PlanRecord, Option<PlanRecord>);

/// The log of plans. It is owned by one thread.
#[derive(Debug)]
pub struct PlanLog {
    connection: Connection,
    path: PathBuf,
}

impl PlanLog {
    /// Opens the log of a data folder, which is made if it is not there.
    ///
    /// # Errors
    /// [`LedgerError`] if the file cannot be used.
    pub fn open(folder: &Path) -> Result<Self, LedgerError> {
        std::fs::create_dir_all(folder).map_err(|source| LedgerError::Io {
            path: folder.to_owned(),
            source,
        })?;
        let path = folder.join("plans.sqlite");
        let open = || -> rusqlite::Result<Connection> {
            let connection = Connection::open(&path)?;
            connection.pragma_update(None, "journal_mode", "WAL")?;
            connection.pragma_update(None, "synchronous", "NORMAL")?;
            Ok(connection)
        };
        let mut connection = open().map_err(|error| refused(&path, error))?;
        migrate(&mut connection, &path, STEPS)?;
        Ok(Self { connection, path })
    }

    /// Keeps plans; one of the same pool and moment is replaced.
    ///
    /// # Errors
    /// [`LedgerError::Write`] if the disk does not take them; none of them is kept then.
    pub fn append(&mut self, plans: &[PlanRecord]) -> Result<(), LedgerError> {
        let write = |connection: &mut Connection| -> rusqlite::Result<()> {
            let transaction = connection.transaction()?;
            for plan in plans {
                insert(&transaction, plan)?;
            }
            transaction.commit()
        };
        let written = write(&mut self.connection);
        written.map_err(|error| refused(&self.path, error))
    }

    /// The plan that was in force at a time and the one after it; none if no plan was made before.
    ///
    /// # Errors
    /// [`LedgerError`] if the file cannot be read.
    pub fn at(&self, pool: &PoolName, at: Timestamp) -> Result<Option<PlanAndNext>, LedgerError> {
        let one = |sql: &str, at: Timestamp| {
            let found = self.connection.prepare_cached(sql).and_then(|mut query| {
                query
                    .query_row(params![pool.as_str(), at.as_millis()], read)
                    .optional()
            });
            found.map_err(|error| refused(&self.path, error))
        };
        let columns = "SELECT at, target, proposed, basis FROM plans WHERE pool = ?1";
        let before = format!("{columns} AND at <= ?2 ORDER BY at DESC LIMIT 1");
        let Some(plan) = one(&before, at)? else {
            return Ok(None);
        };
        let after = format!("{columns} AND at > ?2 ORDER BY at LIMIT 1");
        let next = one(&after, plan.at)?;
        let named = |row: PlanRow| row.named(pool.clone());
        Ok(Some((named(plan), next.map(named))))
    }

    /// The plan in force at the start of a span, and the last one of each of its steps, in order.
    ///
    /// # Errors
    /// [`LedgerError`] if the file cannot be read.
    pub fn between(
        &self,
        pool: &PoolName,
        (from, to): (Timestamp, Timestamp),
        step: Duration,
    ) -> Result<Vec<PlanRecord>, LedgerError> {
        let before = self.at(pool, from)?.map(|(plan, _)| plan);
        let select = || -> rusqlite::Result<Vec<PlanRow>> {
            // Beside the largest of a column, SQLite gives the others of the same row.
            let mut query = self.connection.prepare_cached(
                "SELECT max(at), target, proposed, basis FROM plans
                 WHERE pool = ?1 AND at > ?2 AND at <= ?3 GROUP BY (at - ?2) / ?4 ORDER BY at",
            )?;
            let step_ms = (step.as_millis() as i64).max(1);
            let span = params![pool.as_str(), from.as_millis(), to.as_millis(), step_ms];
            query.query_map(span, read)?.collect()
        };
        let since = select().map_err(|error| refused(&self.path, error))?;
        let since = since.into_iter().map(|row| row.named(pool.clone()));
        Ok(before.into_iter().chain(since).collect())
    }

    /// Forgets what is older than `age`, but the plan in force then.
    ///
    /// # Errors
    /// [`LedgerError`] if the file cannot be written.
    pub fn prune(&mut self, now: Timestamp, age: Duration) -> Result<(), LedgerError> {
        let before = (now - age).as_millis();
        let sql = "DELETE FROM plans WHERE at < ?1 AND EXISTS (
                       SELECT 1 FROM plans AS later
                       WHERE later.pool = plans.pool AND later.at > plans.at AND later.at <= ?1)";
        let pruned = self.connection.execute(sql, [before]);
        pruned
            .map(|_| ())
            .map_err(|error| refused(&self.path, error))
    }

    /// Strikes a name, which reasons write in backticks, from all of them.
    ///
    /// # Errors
    /// [`LedgerError`] if the file cannot be written.
    pub fn strike(&mut self, name: &str) -> Result<(), LedgerError> {
        let sql = "UPDATE plans SET basis = replace(basis, ?1, '`deleted`') WHERE instr(basis, ?1)";
        let quoted = serde_json::Value::from(format!("`{name}`")).to_string();
        let written = quoted.trim_matches('"');
        let struck = self.connection.execute(sql, [written]).and_then(|_| {
            self.connection
                .execute_batch("PRAGMA wal_checkpoint(TRUNCATE);")
        });
        struck.map_err(|error| refused(&self.path, error))
    }
}

/// A row without the name of its pool, which was asked for.
struct PlanRow {
    at: Timestamp,
    target: u32,
    proposed: Option<u32>,
    basis: PlanBasis,
}

impl PlanRow {
    fn named(self, pool: PoolName) -> PlanRecord {
        PlanRecord {
            pool,
            at: self.at,
            target: self.target,
            proposed: self.proposed,
            basis: self.basis,
        }
    }
}

fn read(row: &Row<'_>) -> rusqlite::Result<PlanRow> {
    let basis: String = row.get(3)?;
    Ok(PlanRow {
        at: Timestamp::from_millis(row.get(0)?),
        target: row.get(1)?,
        proposed: row.get(2)?,
        basis: serde_json::from_str(&basis).unwrap_or_default(),
    })
}

fn insert(connection: &Connection, plan: &PlanRecord) -> rusqlite::Result<()> {
    let basis = serde_json::to_string(&plan.basis)
        .map_err(|error| rusqlite::Error::ToSqlConversionFailure(Box::new(error)))?;
    connection
        .prepare_cached("INSERT OR REPLACE INTO plans VALUES (?1, ?2, ?3, ?4, ?5)")?
        .execute(params![
            plan.pool.as_str(),
            plan.at.as_millis(),
            plan.target,
            plan.proposed,
            basis
        ])?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pool() -> PoolName {
        PoolName::new("notebook").unwrap()
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_millis(second * 1_000)
    }

    fn plan(second: i64, target: u32) -> PlanRecord {
        PlanRecord {
            pool: pool(),
            at: at(second),
            target,
            proposed: None,
            basis: PlanBasis {
                mode: "forecast".to_owned(),
                reasons: vec![format!("{target} kept for `ada`, none for `adam`")],
                ..PlanBasis::default()
            },
        }
    }

    fn target_at(log: &PlanLog, second: i64) -> Option<u32> {
        log.at(&pool(), at(second))
            .unwrap()
            .map(|(plan, _)| plan.target)
    }

    #[test]
    fn the_plan_in_force_at_a_time_is_found_with_the_next() {
        let folder = tempfile::tempdir().unwrap();
        let mut log = PlanLog::open(folder.path()).unwrap();
        log.append(&[plan(10, 3), plan(20, 7)]).unwrap();
        drop(log);
        let log = PlanLog::open(folder.path()).unwrap();
        assert_eq!(target_at(&log, 9), None);
        assert_eq!(target_at(&log, 20), Some(7));
        let (plan_at_15, next) = log.at(&pool(), at(15)).unwrap().unwrap();
        assert_eq!((plan_at_15, next), (plan(10, 3), Some(plan(20, 7))));
    }

    #[test]
    fn a_span_begins_with_the_plan_in_force_and_has_the_last_of_each_step() {
        let folder = tempfile::tempdir().unwrap();
        let mut log = PlanLog::open(folder.path()).unwrap();
        let seconds = [10, 20, 31, 32, 39, 55, 90];
        log.append(&seconds.map(|second| plan(second, second as u32)))
            .unwrap();
        let of = |from, to, step| -> Vec<u32> {
            let step = Duration::from_secs(step);
            let found = log.between(&pool(), (at(from), at(to)), step).unwrap();
            found.iter().map(|plan| plan.target).collect()
        };
        assert_eq!(of(30, 60, 10), [20, 39, 55]);
        assert_eq!(of(0, 60, 1), [10, 20, 31, 32, 39, 55]);
        assert_eq!(of(100, 200, 10), [90]);
        assert!(of(0, 5, 1).is_empty());
    }

    #[test]
    fn the_plan_in_force_is_never_pruned() {
        let folder = tempfile::tempdir().unwrap();
        let mut log = PlanLog::open(folder.path()).unwrap();
        log.append(&[plan(10, 3), plan(20, 7), plan(90, 8)])
            .unwrap();
        log.prune(at(100), Duration::from_secs(50)).unwrap();
        assert_eq!(target_at(&log, 15), None);
        assert_eq!(target_at(&log, 50), Some(7));
        log.prune(at(10_000), Duration::from_secs(50)).unwrap();
        assert_eq!(target_at(&log, 10_000), Some(8));
    }

    #[test]
    fn a_name_is_struck_from_all_reasons_and_no_other() {
        let folder = tempfile::tempdir().unwrap();
        let mut log = PlanLog::open(folder.path()).unwrap();
        log.append(&[plan(10, 3)]).unwrap();
        log.strike("ada").unwrap();
        let (struck, _) = log.at(&pool(), at(10)).unwrap().unwrap();
        assert_eq!(
            struck.basis.reasons,
            ["3 kept for `deleted`, none for `adam`"]
        );
    }
}
