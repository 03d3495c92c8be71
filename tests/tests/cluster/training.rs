//! Replicas train one after the other.

use foreshadow_tests::{Marked, http, until_async};

use crate::{replicas::SHARDS, trial::Trial};

/// Replicas make the table at their first turn.
const TABLE: &str = include_str!("../../../crates/ledger/src/shared/training.sql");

#[tokio::test(flavor = "multi_thread")]
async fn every_shard_trains_in_its_turn() {
    let folder = tempfile::tempdir().expect("a folder can be made");
    let instances = Marked::sleepers(91);
    let Some(trial) = Trial::start(folder.path(), &instances) else {
        return;
    };
    trial.spread().await;
    let begun = "INSERT INTO foreshadow.training (epoch, expires_at) VALUES (0, 'epoch')";
    for sql in [TABLE, begun] {
        trial.postgres.psql(&trial.database, sql);
    }
    let (status, answer) = http(&trial.address(0), "POST", "/admin/retrain", "{}");
    assert_eq!(status, 200, "{answer}");
    // Each turn has an epoch of its own, and none is kept.
    let had = format!("{SHARDS}|");
    until_async("a turn of each shard", async || {
        let all = "SELECT epoch, owner FROM foreshadow.training";
        (trial.postgres.psql(&trial.database, all) == had).then_some(())
    })
    .await;
}
