//! Instances that an allocator gives which was there before: the fallback of a pool.
//!
//! A start that a request waits for is asked of the fallback first. What it gives is an instance like
//! any other from then on, and is given back at its end. What it does not give is started as the pool
//! starts its instances. Warm instances are granted without it, so its outage costs them nothing.

mod spec;
mod webhook;

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use foreshadow_types::{InstanceId, PoolName};
use serde::{Deserialize, Serialize};
use tokio::{
    sync::{mpsc, watch},
    time::timeout,
};

pub use self::spec::FallbackSpec;
use self::webhook::{Granted, Outcome, Webhook};
use crate::{
    event::{GoneReason, ProviderEvent},
    pause::Pause,
    provider::{Claim, Provider, ProviderError},
    random::random,
    records::{Kept, Records},
    supervision::{Supervision, Wishes},
};

/// How long a shutdown waits for what is being given back; the rest is given back by the next run.
const CLOSE_WAIT: Duration = Duration::from_secs(5);

/// What was asked of a fallback and has not been given back.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Record {
    instance: u64,
    pool: String,
    url: String,
    timeout_ms: u64,
    request: String,
    granted: Option<Granted>,
    /// Whether it is being given back, and the pool's own instance has its id.
    #[serde(default)]
    unwanted: bool,
}

impl Kept for Record {
    fn name(&self) -> String {
        self.request.clone()
    }
}

impl Record {
    fn id(&self) -> InstanceId {
        InstanceId(self.instance)
    }

    fn webhook(&self) -> Webhook {
        Webhook::new(&FallbackSpec {
            url: self.url.clone(),
            timeout: Duration::from_millis(self.timeout_ms.max(1)),
        })
    }
}

/// The fallbacks of all pools, before the provider that starts everything else.
#[derive(Debug)]
pub(crate) struct Fallbacks<P> {
    shared: Arc<Shared<P>>,
}

#[derive(Debug)]
struct Shared<P> {
    starts: Arc<P>,
    records: Records<Record>,
    events: mpsc::Sender<ProviderEvent>,
    supervised: Supervision,
    /// How many are being given back.
    releasing: watch::Sender<usize>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    pools: BTreeMap<PoolName, (FallbackSpec, Webhook)>,
    /// Instances of earlier runs that are not looked after yet.
    left: BTreeMap<InstanceId, Record>,
}

impl<P: Provider> Fallbacks<P> {
    pub(crate) fn open(
        folder: &Path,
        starts: Arc<P>,
        events: mpsc::Sender<ProviderEvent>,
    ) -> Result<Self, ProviderError> {
        let records: Records<Record> = Records::at(folder);
        let left = records.read_all().map_err(|source| ProviderError::Io {
            path: folder.display().to_string(),
            source,
        })?;
        let shared = Arc::new(Shared {
            starts,
            records,
            events: events.clone(),
            supervised: Supervision::new(events),
            releasing: watch::Sender::new(0),
            state: Mutex::default(),
        });
        for record in left {
            shared.recall(record);
        }
        Ok(Self { shared })
    }

    pub(crate) fn define(&self, pool: PoolName, spec: FallbackSpec) -> Result<(), ProviderError> {
        spec.validate()?;
        let webhook = Webhook::new(&spec);
        self.shared.state().pools.insert(pool, (spec, webhook));
        Ok(())
    }

    /// Whether an instance is, or may yet be, a fallback's.
    pub(crate) fn knows(&self, id: InstanceId) -> bool {
        self.shared.supervised.holds(id) || self.shared.state().left.contains_key(&id)
    }

    /// Gives back what earlier runs were given for instances that are not known any more.
    pub(crate) fn reconcile(&self, known: &BTreeSet<InstanceId>) {
        let mut state = self.shared.state();
        let (kept, strangers) = std::mem::take(&mut state.left)
            .into_iter()
            .partition(|(id, _)| known.contains(id));
        state.left = kept;
        drop(state);
        let strangers: BTreeMap<InstanceId, Record> = strangers;
        for record in strangers.into_values() {
            self.shared.give_back(record);
        }
    }

    /// Asks the pool's fallback, if it has one that answers; true if it is taken care of.
    pub(crate) fn start(&self, pool: &PoolName, id: InstanceId, claim: &Claim) -> bool {
        if self.take_up(id, |_| {}) {
            return true;
        }
        let known = self.shared.state().pools.get(pool).cloned();
        let Some((spec, webhook)) = known.filter(|(_, webhook)| webhook.is_asked()) else {
            return false;
        };
        let Some(wishes) = self.shared.supervised.begin(id) else {
            return true;
        };
        let record = Record {
            instance: id.0,
            pool: pool.to_string(),
            url: spec.url,
            timeout_ms: u64::try_from(spec.timeout.as_millis()).unwrap_or(u64::MAX),
            request: format!("{:016x}{:016x}", random(), random()),
            granted: None,
            unwanted: false,
        };
        let (shared, pool, claim) = (self.shared.clone(), pool.clone(), claim.clone());
        let asking = async move { shared.ask(webhook, record, &pool, &claim, wishes).await };
        self.shared.supervised.spawn(asking);
        true
    }

    /// Goes on with an instance of an earlier run, of which something is wished; true if there is one.
    pub(crate) fn take_up(&self, id: InstanceId, wish: impl FnOnce(&mut Wishes)) -> bool {
        let Some(record) = self.shared.state().left.remove(&id) else {
            return false;
        };
        if let Some(wishes) = self.shared.supervised.begin(id) {
            self.shared.supervised.wish(id, wish);
            let shared = self.shared.clone();
            let living = async move { shared.live(record, wishes).await };
            self.shared.supervised.spawn(living);
        }
        true
    }

    pub(crate) fn reset(&self, id: InstanceId) {
        let wish = |wished: &mut Wishes| wished.resets += 1;
        if !self.take_up(id, wish) {
            self.shared.supervised.wish(id, wish);
        }
    }

    pub(crate) fn stop(&self, id: InstanceId) {
        let wish = |wished: &mut Wishes| wished.stop = true;
        if !self.take_up(id, wish) {
            self.shared.supervised.wish(id, wish);
        }
    }

    /// Gives these back, and waits a while for what is being given back.
    pub(crate) async fn close(&self, stop: &[InstanceId]) {
        for &id in stop {
            self.stop(id);
        }
        let mut releasing = self.shared.releasing.subscribe();
        let all = async {
            self.shared.supervised.ended(stop).await;
            let _ = releasing.wait_for(|count| *count == 0).await;
        };
        if timeout(CLOSE_WAIT, all).await.is_err() {
            tracing::warn!("what a fallback did not take back is left to the next run");
        }
        self.shared.supervised.close();
    }
}

impl<P: Provider> Shared<P> {
    /// Held for a few instructions at a time, never over an await.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What an earlier run was given is kept; what it may have been given is given back.
    fn recall(self: &Arc<Self>, record: Record) {
        if record.granted.is_some() && !record.unwanted {
            self.state().left.insert(record.id(), record);
        } else {
            self.give_back(record);
        }
    }

    async fn ask(
        self: Arc<Self>,
        webhook: Webhook,
        mut record: Record,
        pool: &PoolName,
        claim: &Claim,
        wishes: watch::Receiver<Wishes>,
    ) {
        // Nothing is asked for that the next run would not give back.
        if let Err(error) = self.keep(&record).await {
            tracing::warn!(%pool, %error, "a fallback is not asked: its record cannot be written");
            return self.start_own(&record, &wishes);
        }
        match webhook
            .allocate(&record.request, pool.as_str(), claim)
            .await
        {
            Outcome::Granted(granted) => {
                record.granted = Some(granted);
                match self.keep(&record).await {
                    Ok(()) => self.live(record, wishes).await,
                    Err(error) => {
                        tracing::warn!(%pool, %error, "what a fallback gave cannot be kept");
                        self.start_own(&record, &wishes);
                        self.give_back(record);
                    }
                }
            }
            Outcome::Nothing => {
                self.start_own(&record, &wishes);
                self.records.remove(&record.request);
            }
            Outcome::Unknown => {
                self.start_own(&record, &wishes);
                self.give_back(record);
            }
        }
    }

    /// Looks after an instance that a fallback gave until it is not wanted any more.
    async fn live(self: Arc<Self>, mut record: Record, mut wishes: watch::Receiver<Wishes>) {
        let instance = record.id();
        let Some(granted) = record.granted.clone() else {
            return self.start_own(&record, &wishes);
        };
        let ends = |wished: &Wishes| wished.stop || wished.resets > 0;
        // One of an earlier run may be over already: it is not given to anybody then.
        if !ends(&wishes.borrow()) {
            let address = granted.address;
            let given = ProviderEvent::Given { instance, address };
            let _ = self.events.send(given).await;
        }
        if wishes.wait_for(ends).await.is_err() {
            // The provider was dropped; the instance stays for the next run.
            std::future::pending::<()>().await;
        }
        // The next run is not to take it for the pool's own instance of this id.
        record.unwanted = true;
        if let Err(error) = self.keep(&record).await {
            tracing::warn!(%instance, %error, "what is given back cannot be marked so");
        }
        self.start_own_or_end(&record, &wishes).await;
        self.give_back(record);
    }

    /// After use: a fresh instance of the pool's own, or none.
    async fn start_own_or_end(&self, record: &Record, wishes: &watch::Receiver<Wishes>) {
        if wishes.borrow().stop {
            let instance = record.id();
            let reason = GoneReason::Stopped;
            let gone = ProviderEvent::Gone { instance, reason };
            return self.supervised.end(instance, gone).await;
        }
        self.start_own(record, wishes);
    }

    /// Hands the instance over to the pool's own provider.
    fn start_own(&self, record: &Record, wishes: &watch::Receiver<Wishes>) {
        let instance = record.id();
        if wishes.borrow().stop {
            self.supervised.dismiss(instance);
            let reason = GoneReason::Stopped;
            let gone = ProviderEvent::Gone { instance, reason };
            return self.supervised.report(gone);
        }
        match PoolName::new(&record.pool) {
            Ok(pool) => self.starts.start(&pool, instance),
            Err(error) => self.supervised.report(ProviderEvent::Failed {
                instance,
                reason: error.to_string(),
            }),
        }
        self.supervised.dismiss(instance);
        // A stop that came meanwhile was wished of the fallback; later ones reach the pool's own.
        if wishes.borrow().stop {
            self.starts.stop(instance);
        }
    }

    /// Tells the fallback that something is not used any more, until it has heard it.
    fn give_back(self: &Arc<Self>, record: Record) {
        let shared = self.clone();
        self.releasing.send_modify(|count| *count += 1);
        self.supervised.spawn(async move {
            let webhook = record.webhook();
            let id = record.granted.as_ref().map_or("", |granted| &granted.id);
            let mut tries = Pause::of_tries();
            while !webhook.release(&record.request, id).await {
                tries.wait().await;
            }
            shared.records.remove(&record.request);
            shared.releasing.send_modify(|count| *count -= 1);
        });
    }

    async fn keep(self: &Arc<Self>, record: &Record) -> std::io::Result<()> {
        let (shared, record) = (self.clone(), record.clone());
        let written = tokio::task::spawn_blocking(move || shared.records.write(&record)).await;
        written.unwrap_or_else(|error| Err(std::io::Error::other(error)))
    }
}
