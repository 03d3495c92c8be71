//! Keeps this replica's shards: renews them, takes what nobody has, gives back what is too much, and
//! runs an engine for each.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use foreshadow_cluster::{
    ClusterError, Membership, Observed,
    ownership::{ShardRow, Step, steps},
};
use foreshadow_engine::{EngineConfig, EngineHandle, StartError, config::OnShutdown};
use foreshadow_server::Place;
use foreshadow_types::{ShardId, Shards};
use tokio::{
    sync::{oneshot, watch},
    task::{JoinError, JoinSet},
    time::{Instant, MissedTickBehavior, interval, timeout_at},
};

use super::{
    holding::{Holding, Plan, Stage, ended, overdue, renewable},
    releases::{Released, Releases},
};
use crate::config::Secret;

/// How many times a shard is renewed in the time of ownership.
const BEATS: u32 = 12;
/// How long a shard that was given back is left to others.
const DECLINED: Duration = Duration::from_secs(2);
/// How long it is left to others if its engine did not start here.
const FAILED: Duration = Duration::from_secs(10);
/// How long shards may take to be handed over at the end.
const LEAVING: Duration = Duration::from_secs(10);
/// How long an engine may take to end before its shard is left to others all the same: less than
/// [`LEAVING`], so that this is told at the end too.
const ENDING: Duration = Duration::from_secs(5);

/// How an engine's start or end came out.
#[derive(Debug)]
enum Done {
    Started(ShardId, u64, Result<EngineHandle, StartError>),
    Ended(ShardId, u64),
    Released(Box<Released>),
}

/// Keeps this replica's shards.
#[derive(Debug)]
pub(super) struct Keeper {
    membership: Membership,
    plan: Plan,
    held: BTreeMap<ShardId, Holding>,
    declined: BTreeMap<ShardId, Instant>,
    /// Those whose engines here do not end: they are for others alone, since two engines would write
    /// to one folder.
    stuck: BTreeSet<ShardId>,
    work: JoinSet<Done>,
    releases: Releases,
    /// As they were last read.
    rows: Vec<ShardRow>,
    /// Until when this replica has no share, since an engine did not start here.
    unfit: Option<Instant>,
    placing: watch::Sender<Arc<Vec<Place>>>,
    /// Whether the database has answered lately.
    answered: bool,
    leaving: bool,
}

impl Keeper {
    pub(super) fn new(
        membership: Membership,
        whole: EngineConfig,
        database: Secret,
        shards: Shards,
        placing: watch::Sender<Arc<Vec<Place>>>,
    ) -> Self {
        let plan = Plan {
            whole,
            database,
            shards,
            patience: membership.time(),
            name: membership.name().to_owned(),
        };
        Self {
            membership,
            plan,
            held: BTreeMap::new(),
            declined: BTreeMap::new(),
            stuck: BTreeSet::new(),
            work: JoinSet::new(),
            releases: Releases::default(),
            rows: Vec::new(),
            unfit: None,
            placing,
            answered: true,
            leaving: false,
        }
    }

    /// Keeps shards until asked to leave; then hands all over and says so, and goes on telling where
    /// they are.
    pub(super) async fn run(mut self, mut leave: oneshot::Receiver<()>, left: oneshot::Sender<()>) {
        let beat = self.membership.time() / BEATS;
        let mut beats = interval(beat);
        beats.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut left = Some(left);
        let mut end = None;
        loop {
            tokio::select! {
                _ = beats.tick() => self.beat().await,
                Some(done) = self.work.join_next() => self.settle(done),
                _ = &mut leave, if !self.leaving => {
                    self.leave().await;
                    end = Some(Instant::now() + LEAVING);
                }
            }
            self.publish();
            let over = end.is_some_and(|end| Instant::now() >= end);
            let handed_over = self.held.is_empty() && self.releases.are_done();
            if self.leaving
                && (handed_over || over)
                && let Some(left) = left.take()
            {
                // Whoever waits for it may be gone.
                let _ = left.send(());
            }
        }
    }

    async fn leave(&mut self) {
        self.leaving = true;
        if let Err(error) = self.membership.leave().await {
            tracing::warn!(%error, "the others learn by waiting that this replica leaves");
        }
        let all: Vec<_> = self.held.keys().copied().collect();
        for shard in all {
            self.end(shard);
        }
        self.publish();
    }

    async fn beat(&mut self) {
        self.give_up();
        let observed = self.observe().await;
        self.note(observed.as_ref().err());
        if let Ok(observed) = &observed {
            self.renewed(observed);
        }
        self.drop_lost();
        if let Ok(observed) = observed
            && !self.leaving
        {
            self.step(&observed).await;
        }
    }

    /// Renews what is held. What may be lost meanwhile is not waited for.
    async fn observe(&mut self) -> Result<Observed, ClusterError> {
        let held = renewable(&self.held, Instant::now());
        let served = self.held.values().filter(|one| !one.is_ending());
        let first_lost = served.map(|one| one.until).min();
        let present = self.is_fit() && !self.leaving;
        let observed = self.membership.beat(&held, present);
        match first_lost {
            Some(until) => timeout_at(until, observed)
                .await
                .unwrap_or(Err(ClusterError::Silent)),
            None => observed.await,
        }
    }

    fn is_fit(&self) -> bool {
        self.unfit.is_none_or(|until| until <= Instant::now())
    }

    /// Says once when the database is gone and when it is back.
    fn note(&mut self, error: Option<&ClusterError>) {
        match error {
            Some(error) if self.answered => {
                tracing::error!(%error, "shards cannot be renewed");
            }
            None if !self.answered => tracing::info!("shards are renewed again"),
            Some(_) | None => {}
        }
        self.answered = error.is_none();
    }

    fn renewed(&mut self, observed: &Observed) {
        let until = observed.asked + self.membership.time();
        self.rows.clone_from(&observed.shards);
        for row in &observed.shards {
            let Some(holding) = self.held.get_mut(&row.shard) else {
                continue;
            };
            let name = self.membership.name();
            let own = row
                .owner
                .as_ref()
                .is_some_and(|owner| owner.replica == name);
            if own && row.epoch == holding.epoch {
                holding.until = until;
            } else if row.epoch > holding.epoch {
                // Another has it.
                holding.until = observed.asked;
            }
        }
    }

    /// Ends what is not owned any more. Nothing can be written to it, so nothing is waited for.
    fn drop_lost(&mut self) {
        let now = Instant::now();
        let lost = |one: &Holding| !one.is_ending() && (one.until <= now || one.has_failed());
        let lost: Vec<_> = self
            .held
            .iter()
            .filter(|(_, one)| lost(one))
            .map(|(id, _)| *id)
            .collect();
        for shard in lost {
            tracing::warn!(%shard, "the shard is not owned here any more");
            self.end(shard);
        }
    }

    /// Begins to end a shard's engine.
    fn end(&mut self, shard: ShardId) {
        let Some(holding) = self.held.get_mut(&shard) else {
            return;
        };
        let epoch = holding.epoch;
        if holding.is_ending() {
            return;
        }
        let by = Instant::now() + ENDING;
        match std::mem::replace(&mut holding.stage, Stage::Ending { by }) {
            Stage::Serving(engine) => self.shut_down(shard, epoch, engine),
            // It ends when it has started.
            Stage::Starting | Stage::Ending { .. } => {}
        }
    }

    fn shut_down(&mut self, shard: ShardId, epoch: u64, engine: EngineHandle) {
        self.work.spawn(async move {
            let end = async move { engine.shutdown_with(OnShutdown::Keep).await };
            ended(shard, end).await;
            Done::Ended(shard, epoch)
        });
    }

    /// Gives back what engines have that do not end.
    fn give_up(&mut self) {
        for (shard, epoch) in overdue(&self.held, Instant::now()) {
            tracing::error!(%shard, "the shard's engine does not end; others take the shard over");
            self.stuck.insert(shard);
            self.ended(shard, epoch, FAILED);
        }
    }

    fn settle(&mut self, done: Result<Done, JoinError>) {
        match done {
            Ok(Done::Started(shard, epoch, started)) => self.started(shard, epoch, started),
            Ok(Done::Ended(shard, epoch)) => {
                self.stuck.remove(&shard);
                self.ended(shard, epoch, DECLINED);
            }
            Ok(Done::Released(released)) => self.releases.settle(*released),
            Err(error) => tracing::error!(%error, "a task of a shard failed"),
        }
        self.release();
    }

    fn started(&mut self, shard: ShardId, epoch: u64, started: Result<EngineHandle, StartError>) {
        let wanted = self.held.get_mut(&shard).filter(|one| one.epoch == epoch);
        match (started, wanted) {
            (Ok(engine), Some(holding)) if !holding.is_ending() => {
                holding.stage = Stage::Serving(engine);
                tracing::info!(%shard, epoch, "the shard is served here");
            }
            (Ok(engine), _) => self.shut_down(shard, epoch, engine),
            (Err(error), _) => {
                tracing::error!(%shard, %error, "the shard's engine did not start");
                self.stuck.remove(&shard);
                self.ended(shard, epoch, FAILED);
                // Where others serve, it is the shard rather than this replica.
                if !self.held.values().any(|one| one.engine().is_some()) {
                    self.unfit = Some(Instant::now() + FAILED);
                }
            }
        }
    }

    /// Gives a shard back whose engine has ended, unless that was done when it did not end in time.
    fn ended(&mut self, shard: ShardId, epoch: u64, declined: Duration) {
        if self.held.get(&shard).is_none_or(|one| one.epoch != epoch) {
            return;
        }
        self.held.remove(&shard);
        self.declined.insert(shard, Instant::now() + declined);
        self.releases.add(shard, epoch);
        self.release();
    }

    /// Tells the database what was given back, beside the beat: renewals do not wait for it.
    fn release(&mut self) {
        let done = |released| Done::Released(Box::new(released));
        self.releases.tell(&self.membership, &mut self.work, done);
    }

    async fn step(&mut self, observed: &Observed) {
        let now = Instant::now();
        self.declined.retain(|_, until| *until > now);
        let declined: Vec<_> = self
            .declined
            .keys()
            .chain(self.held.keys())
            .chain(&self.stuck)
            .copied()
            .collect();
        let mut free = Vec::new();
        let name = self.membership.name();
        for step in steps(name, &observed.replicas, &observed.shards, &declined) {
            match step {
                Step::Claim { shard, epoch } => free.push((shard, epoch)),
                Step::Yield(shard) => self.end(shard),
            }
        }
        if self.is_fit() && !free.is_empty() {
            self.claim(&free, &observed.names).await;
        }
    }

    async fn claim(&mut self, free: &[(ShardId, u64)], names: &[String]) {
        let until = Instant::now() + self.membership.time();
        let claimed = match self.membership.claim(free).await {
            Ok(claimed) => claimed,
            Err(error) => return tracing::warn!(%error, "shards cannot be claimed"),
        };
        for (shard, epoch) in claimed {
            self.held.insert(shard, Holding::starting(epoch, until));
            // In a task of its own, so that a fault in it does not leave the shard with nobody.
            let start = tokio::spawn(self.plan.start(shard, epoch, names));
            self.work.spawn(async move {
                let started = start.await.unwrap_or_else(|fault| Err(failed(fault)));
                Done::Started(shard, epoch, started)
            });
        }
    }

    /// Tells the server where each shard is.
    fn publish(&self) {
        let places: Vec<_> = self.rows.iter().map(|row| self.place(row)).collect();
        self.placing.send_if_modified(|known| {
            let changed = known.len() != places.len() || !known.iter().zip(&places).all(same);
            if changed {
                *known = Arc::new(places);
            }
            changed
        });
    }

    fn place(&self, row: &ShardRow) -> Place {
        if let Some(holding) = self.held.get(&row.shard) {
            return holding
                .engine()
                .map_or(Place::Nowhere, |engine| Place::Here {
                    engine: engine.clone(),
                    epoch: holding.epoch,
                });
        }
        let owner = row.owner.as_ref();
        let other = owner.filter(|owner| owner.replica != self.membership.name());
        match other {
            Some(owner) => Place::There(owner.address.clone()),
            None if self.stuck.contains(&row.shard) => Place::Stuck,
            None => Place::Nowhere,
        }
    }
}

fn failed(fault: JoinError) -> StartError {
    StartError::Io {
        path: "the engine".into(),
        source: std::io::Error::other(fault),
    }
}

fn same((a, b): (&Place, &Place)) -> bool {
    match (a, b) {
        (Place::Here { epoch: a, .. }, Place::Here { epoch: b, .. }) => a == b,
        (Place::There(a), Place::There(b)) => a == b,
        (Place::Nowhere, Place::Nowhere) | (Place::Stuck, Place::Stuck) => true,
        (Place::Here { .. } | Place::There(_) | Place::Nowhere | Place::Stuck, _) => false,
    }
}
