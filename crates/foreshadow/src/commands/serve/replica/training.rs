//! One training at a time among all replicas.

use std::{sync::Arc, time::Duration};

use foreshadow_cluster as cluster;
use foreshadow_engine::config::{Answer, TrainingLock, TrainingTurn, TrainingTurns};

use crate::config::Secret;

/// How long a turn is held without renewal: longer than a database takes to be back.
const TURN: Duration = Duration::from_mins(1);

/// The turns that this replica's engines get.
pub(super) fn turns(database: &Secret, replica: &str) -> TrainingTurns {
    let asked = cluster::TrainingTurns::new(database.0.clone(), replica.to_owned(), TURN);
    TrainingTurns::of(Arc::new(Turns(asked)))
}

struct Turns(cluster::TrainingTurns);

struct Turn(cluster::TrainingTurn);

impl TrainingLock for Turns {
    fn take(&self) -> Answer<'_, Result<Box<dyn TrainingTurn>, String>> {
        Box::pin(async {
            let turn = self.0.next().await.map_err(|error| error.to_string())?;
            tracing::info!(epoch = turn.epoch(), "it is this replica's turn to train");
            Ok(Box::new(Turn(turn)) as Box<dyn TrainingTurn>)
        })
    }
}

impl TrainingTurn for Turn {
    fn epoch(&self) -> u64 {
        self.0.epoch()
    }

    fn since_last(&self) -> Option<Duration> {
        self.0.since_last()
    }

    fn lost(&mut self) -> Answer<'_, ()> {
        Box::pin(self.0.lost())
    }

    fn confirm(&mut self) -> Answer<'_, Result<bool, String>> {
        Box::pin(async { self.0.confirm().await.map_err(|error| error.to_string()) })
    }

    fn give_back(self: Box<Self>, done: bool) -> Answer<'static, ()> {
        Box::pin(self.0.give_back(done))
    }
}
