//! Where telemetry goes: to the one engine, or to the shards that keep or follow whom it is about.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use foreshadow_api::{
    timestamp_to_proto,
    v1::{self, telemetry_client::TelemetryClient},
};
use foreshadow_engine::{
    EngineHandle, ReportOutcome,
    config::{RuleSubject, TriggerRule},
};
use foreshadow_shadow::Observation;
use foreshadow_types::{EntityId, PoolName, ShardId};
use futures::{future::try_join_all, stream};
use tokio::{sync::watch, time::sleep};

use super::{Credentials, Front, places::Cluster, routes::Route, wire::Reach};
use crate::error::ApiError;

/// How often it is looked what shards follow.
const LOOK: Duration = Duration::from_secs(1);
/// Points of one message to another replica.
const MOST_POINTS: usize = 20_000;

/// Who takes telemetry.
#[derive(Debug, Clone)]
pub(crate) enum Reports {
    /// The one engine there is.
    Engine(EngineHandle),
    /// The shards.
    Shards(Front),
}

impl Reports {
    /// Hands observations over; answered when they are kept.
    pub(crate) async fn take(
        &self,
        observations: Vec<Observation>,
        credentials: Option<Credentials>,
    ) -> Result<ReportOutcome, ApiError> {
        match (self, credentials) {
            (Self::Engine(engine), _) => Ok(engine.report(observations).await?),
            (Self::Shards(front), Some(credentials)) => {
                front.report(observations, &credentials).await
            }
            (Self::Shards(_), None) => Err(ApiError::unavailable("the caller is not known")),
        }
    }
}

/// Which shards want to know of whose usage, beside those that keep it.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Followers {
    entities: BTreeMap<EntityId, BTreeSet<ShardId>>,
    /// Of everybody's.
    everybody: BTreeSet<ShardId>,
}

impl Followers {
    fn of(
        triggers: &[TriggerRule],
        shard_of: impl Fn(&PoolName) -> Option<ShardId>,
        everybody: &BTreeSet<ShardId>,
    ) -> Self {
        let mut followers = Self {
            everybody: everybody.clone(),
            ..Self::default()
        };
        for rule in triggers {
            let Some(shard) = shard_of(&rule.pool) else {
                continue;
            };
            match &rule.subject {
                RuleSubject::Entity(entity) => {
                    let shards = followers.entities.entry(entity.clone()).or_default();
                    shards.insert(shard);
                }
                RuleSubject::Category(_) | RuleSubject::Any => {
                    followers.everybody.insert(shard);
                }
            }
        }
        followers
    }

    fn shards(&self, entity: &EntityId, home: ShardId) -> BTreeSet<ShardId> {
        let mut shards = self.everybody.clone();
        shards.extend(self.entities.get(entity).into_iter().flatten());
        shards.insert(home);
        shards
    }
}

/// Keeps the followers true to the triggers in force, which any engine here knows: they are the same in
/// all shards.
pub(crate) async fn follow_triggers(
    cluster: Cluster,
    routes: watch::Receiver<Arc<Vec<Route>>>,
    followers: watch::Sender<Arc<Followers>>,
) {
    let ranked = cluster.shards.all().filter(|_| cluster.ranks_by_usage);
    let everybody: BTreeSet<ShardId> = ranked.collect();
    let shard_of = |pool: &PoolName| cluster.pools.get(pool).copied();
    let begin = Followers::of(&cluster.triggers, shard_of, &everybody);
    followers.send_replace(Arc::new(begin));
    loop {
        sleep(LOOK).await;
        let present = routes.borrow().clone();
        let Some(engine) = present.iter().find_map(Route::engine) else {
            continue;
        };
        let Ok(config) = engine.shadow_config().await else {
            continue;
        };
        let next = Followers::of(&config.config.triggers, shard_of, &everybody);
        followers.send_if_modified(|known| {
            let changed = **known != next;
            if changed {
                *known = Arc::new(next);
            }
            changed
        });
    }
}

impl Front {
    async fn report(
        &self,
        observations: Vec<Observation>,
        credentials: &Credentials,
    ) -> Result<ReportOutcome, ApiError> {
        // What another replica has sent on is for the shard that it says.
        if let Some(shard) = credentials.forwarded {
            let reach = self.reach(shard, credentials.clone()).await?;
            return hand_over(reach, observations).await;
        }
        let mut parts: BTreeMap<ShardId, Vec<Observation>> = BTreeMap::new();
        let mut copies = 0;
        let followers = self.shared.followers.borrow().clone();
        for seen in observations {
            let home = self.of_entity(seen.entity.as_str());
            let shards = followers.shards(&seen.entity, home);
            copies += shards.len() as u64 - 1;
            for &shard in shards.iter().skip(1) {
                parts.entry(shard).or_default().push(seen.clone());
            }
            if let Some(first) = shards.first() {
                parts.entry(*first).or_default().push(seen);
            }
        }
        let sent = parts.into_iter().map(|(shard, part)| async move {
            let reach = self.reach(shard, credentials.clone()).await?;
            hand_over(reach, part).await
        });
        let outcomes = try_join_all(sent).await?;
        let mut whole = ReportOutcome::default();
        for outcome in outcomes {
            whole.accepted += outcome.accepted;
            whole.rejected += outcome.rejected;
        }
        // Each counts once for its sender.
        whole.accepted = whole.accepted.saturating_sub(copies);
        Ok(whole)
    }
}

async fn hand_over(reach: Reach, part: Vec<Observation>) -> Result<ReportOutcome, ApiError> {
    if let Some(engine) = reach.engine() {
        return Ok(engine.report(part).await?);
    }
    let messages: Vec<_> = part.chunks(MOST_POINTS).map(report).collect();
    let mut client = TelemetryClient::new(reach);
    let unavailable = |status: tonic::Status| ApiError::unavailable(status.message());
    let answers = client
        .report(stream::iter(messages))
        .await
        .map_err(unavailable)?;
    let mut answers = answers.into_inner();
    let mut outcome = ReportOutcome::default();
    while let Some(answer) = answers.message().await.map_err(unavailable)? {
        outcome.accepted += answer.accepted;
        outcome.rejected += answer.refused;
    }
    Ok(outcome)
}

/// Observations as a message. Whose they are is told as a user's name: what is kept of a user and of an
/// application is the same.
fn report(part: &[Observation]) -> v1::ReportRequest {
    let mut series: BTreeMap<(&str, &str), Vec<v1::Point>> = BTreeMap::new();
    for seen in part {
        let key = (seen.entity.as_str(), &*seen.metric);
        series.entry(key).or_default().push(v1::Point {
            at: Some(timestamp_to_proto(seen.at)),
            value: seen.value,
        });
    }
    let series = series
        .into_iter()
        .map(|((entity, metric), points)| v1::Series {
            entity: Some(v1::series::Entity::UserId(entity.to_owned())),
            metric: metric.to_owned(),
            points,
        });
    v1::ReportRequest {
        series: series.collect(),
    }
}
