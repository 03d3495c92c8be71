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
    EngineError, EngineHandle, ReportOutcome,
    config::{RuleSubject, TriggerRule},
};
use foreshadow_shadow::Observation;
use foreshadow_types::{EntityId, PoolName, ShardId};
use futures::{future::join_all, stream};
use tokio::{
    sync::watch,
    time::{Instant, sleep},
};
use tonic::Status;

use super::{
    AGAIN, Credentials, Front, moving, patience,
    places::Cluster,
    reach::{Lost, Reach},
    routes::Route,
};
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

    /// The same for senders who send again what was not answered: it counts once.
    pub(crate) async fn take_once(
        &self,
        observations: Vec<Observation>,
        credentials: Option<Credentials>,
    ) -> Result<ReportOutcome, ApiError> {
        match self {
            Self::Engine(engine) => Ok(engine.report_once(observations).await?),
            // Shards are told by each other's messages, so that they take all of them once.
            Self::Shards(_) => self.take(observations, credentials).await,
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

    fn of_entity(&self, entity: &EntityId) -> impl Iterator<Item = ShardId> {
        let own = self.entities.get(entity).into_iter().flatten();
        let others = own.filter(|shard| !self.everybody.contains(shard));
        self.everybody.iter().chain(others).copied()
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

/// What goes to one shard.
#[derive(Debug, Default)]
struct Part {
    /// Of entities whose usage it keeps.
    own: Vec<Observation>,
    /// Of others that it follows.
    followed: Vec<Observation>,
}

impl Front {
    async fn report(
        &self,
        observations: Vec<Observation>,
        credentials: &Credentials,
    ) -> Result<ReportOutcome, ApiError> {
        // What another replica has sent on is for the shard that it says.
        if let Some(shard) = credentials.forwarded {
            return self.hand(shard, observations, credentials).await;
        }
        let parts = self.parts(observations).into_iter();
        let sent = parts.map(|(shard, part)| self.give(shard, part, credentials));
        let mut whole = ReportOutcome::default();
        for outcome in join_all(sent).await {
            let outcome = outcome?;
            whole += outcome;
        }
        Ok(whole)
    }

    fn parts(&self, observations: Vec<Observation>) -> BTreeMap<ShardId, Part> {
        let mut parts: BTreeMap<ShardId, Part> = BTreeMap::new();
        let followers = self.shared.followers.borrow().clone();
        for seen in observations {
            let home = self.of_entity(seen.entity.as_str());
            for shard in followers.of_entity(&seen.entity) {
                if shard != home {
                    parts.entry(shard).or_default().followed.push(seen.clone());
                }
            }
            parts.entry(home).or_default().own.push(seen);
        }
        parts
    }

    /// Gives a shard its part. Each observation counts once for its sender, where its usage is kept; a
    /// shard that only follows it may miss it, which is told in the log.
    async fn give(
        &self,
        shard: ShardId,
        part: Part,
        credentials: &Credentials,
    ) -> Result<ReportOutcome, ApiError> {
        let followed = self.hand(shard, part.followed, credentials);
        let (followed, own) = tokio::join!(followed, self.hand(shard, part.own, credentials));
        if let Err(error) = followed {
            tracing::warn!(%shard, %error, "a shard has missed samples that its triggers follow");
        }
        own
    }

    /// Hands observations to a shard, message by message. What has certainly not arrived is sent again
    /// for a while; of what may have, the sender is told, who may send it again: it counts once.
    async fn hand(
        &self,
        shard: ShardId,
        observations: Vec<Observation>,
        credentials: &Credentials,
    ) -> Result<ReportOutcome, ApiError> {
        let (mut whole, until) = (ReportOutcome::default(), patience());
        let mut left = &observations[..];
        while !left.is_empty() {
            let (message, later) = left.split_at(left.len().min(MOST_POINTS));
            let reach = self.reach(shard, credentials, until).await?;
            match sent(reach, message).await {
                Ok(outcome) => {
                    whole += outcome;
                    left = later;
                }
                Err(Lost::Moved) if Instant::now() + AGAIN < until => sleep(AGAIN).await,
                Err(Lost::Moved) => return Err(moving(shard)),
                Err(Lost::Broken(status)) => return Err(status.into()),
            }
        }
        Ok(whole)
    }
}

async fn sent(reach: Reach, message: &[Observation]) -> Result<ReportOutcome, Lost> {
    if let Some(engine) = reach.engine() {
        return match engine.report_once(message.to_vec()).await {
            Ok(outcome) => Ok(outcome),
            Err(EngineError::Stopped) => Err(Lost::Moved),
            Err(error) => Err(Lost::Broken(ApiError::from(error).into())),
        };
    }
    let mut client = TelemetryClient::new(reach);
    let answers = client.report(stream::iter([report(message)])).await;
    let answer = answers.map_err(Lost::of)?.into_inner().message().await;
    match answer.map_err(Lost::Broken)? {
        Some(answer) => Ok(ReportOutcome {
            accepted: answer.accepted,
            duplicates: answer.duplicates,
            rejected: answer.refused,
        }),
        None => Err(Lost::Broken(Status::unavailable(
            "another replica did not answer",
        ))),
    }
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
