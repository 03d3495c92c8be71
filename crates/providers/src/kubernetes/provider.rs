//! The provider of instances in clusters.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::Duration,
};

use foreshadow_types::{InstanceId, PoolName};
use tokio::{sync::mpsc, time::timeout};

use super::{
    cluster::{Access, Cluster},
    contact::Contact,
    identity::{Identity, pool_of, selector},
    instance::{Instance, Next, Origin},
    place::{Place, Whereabouts},
    record::Record,
    sights::keep_watch,
    spec::KubernetesSpec,
};
use crate::{
    event::{GoneReason, ProviderEvent},
    external::owner,
    provider::{Provider, ProviderError},
    records::Records,
    supervision::{Supervision, Wishes},
};

/// How often instances are looked for that nobody knows.
const SWEEP_EVERY: Duration = Duration::from_secs(30);

/// How much longer than its `stop_grace` an instance may take to end at a shutdown: a kubelet tells
/// every ten seconds what has ended.
const CLOSE_MARGIN: Duration = Duration::from_secs(15);

/// Has instances in Kubernetes clusters.
///
/// The name of an object follows from its instance, so that a start that is repeated creates nothing
/// twice. The instances outlive the server: a record on disk tells its next run where each is. An API
/// server that does not answer changes nothing: instances that were ready stay in use, starts fail
/// when their time is over, removals are asked for until they are confirmed. To be made and used
/// within a tokio runtime.
#[derive(Debug)]
pub struct KubernetesProvider {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    records: Records<Record>,
    events: mpsc::Sender<ProviderEvent>,
    supervised: Supervision,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// The name that objects know this Foreshadow by.
    owner: Option<Arc<str>>,
    specs: BTreeMap<PoolName, Arc<KubernetesSpec>>,
    clusters: BTreeMap<Access, Arc<Cluster>>,
    places: BTreeMap<Whereabouts, Arc<Place>>,
    /// Instances of earlier runs that are not looked after yet.
    left: BTreeMap<InstanceId, Record>,
    /// Instances that were known when this run began; nothing is swept before that is told.
    expected: Option<BTreeSet<InstanceId>>,
}

impl KubernetesProvider {
    /// A provider without pools that keeps its records in `folder`, one of its own, and reports to
    /// `events`.
    ///
    /// # Errors
    /// [`ProviderError::Io`] if the folder cannot be used.
    pub fn open(folder: &Path, events: mpsc::Sender<ProviderEvent>) -> Result<Self, ProviderError> {
        let records = Records::at(folder);
        let left = records.read_all().map_err(|source| io(folder, source))?;
        let left = left.into_iter().map(|record: Record| (record.id(), record));
        let state = State {
            left: left.collect(),
            ..State::default()
        };
        let shared = Arc::new(Shared {
            records,
            events: events.clone(),
            supervised: Supervision::new(events),
            state: Mutex::new(state),
        });
        if !shared.state().left.is_empty() {
            shared.owner()?;
        }
        let sweeps = sweep_regularly(Arc::downgrade(&shared));
        shared.supervised.spawn(sweeps);
        Ok(Self { shared })
    }

    /// Sets where the instances of a pool are. Those there are, stay where they are.
    ///
    /// # Errors
    /// [`ProviderError::Spec`] if the specification is not usable, [`ProviderError::Cluster`] if it is
    /// not known how to call the cluster, [`ProviderError::Io`] if nothing can be kept about it. The
    /// cluster is not called yet.
    pub fn define(&self, pool: PoolName, spec: KubernetesSpec) -> Result<(), ProviderError> {
        spec.validate()?;
        self.shared.owner()?;
        let placed = self.shared.place_of(&spec);
        placed.map_err(|reason| ProviderError::Cluster {
            pool: pool.clone(),
            reason,
        })?;
        self.shared.state().specs.insert(pool, Arc::new(spec));
        Ok(())
    }

    /// Whether the instances of a pool are in a cluster.
    pub(crate) fn defines(&self, pool: &PoolName) -> bool {
        self.shared.state().specs.contains_key(pool)
    }

    /// Whether an instance is in a cluster.
    pub(crate) fn knows(&self, id: InstanceId) -> bool {
        self.shared.knows(id)
    }

    /// After a restart: stops every instance of an earlier run that is not known any more, and says
    /// how many of them are on record. Those of which there is no record are found by a sweep.
    pub fn reconcile(&self, known: &BTreeSet<InstanceId>) -> usize {
        let strangers: Vec<_> = {
            let mut state = self.shared.state();
            state.expected = Some(known.clone());
            let left = state.left.keys().copied();
            left.filter(|id| !known.contains(id)).collect()
        };
        for &id in &strangers {
            self.stop(id);
        }
        let shared = self.shared.clone();
        self.shared.supervised.spawn(async move {
            shared.sweep().await;
        });
        strangers.len()
    }

    /// Removes what clusters have of ours that nobody knows: an instance whose record was lost. This
    /// happens by itself every half minute.
    pub async fn sweep(&self) {
        self.shared.sweep().await;
    }

    /// Stops these instances and waits until nothing is left of them, but no longer than their time to
    /// end; what is left then is found by the next run. All others keep running, and nothing is
    /// reported of them any more.
    pub async fn close(&self, stop: &[InstanceId]) {
        for &instance in stop {
            Provider::stop(self, instance);
        }
        let grace = {
            let state = self.shared.state();
            let graces = state.specs.values().map(|spec| spec.stop_grace);
            graces.max().unwrap_or_default()
        };
        let ended = self.shared.supervised.ended(stop);
        if timeout(grace + CLOSE_MARGIN, ended).await.is_err() {
            tracing::warn!(
                "instances in clusters that were to be stopped are left to the next run"
            );
        }
        self.shared.supervised.close();
    }
}

impl Provider for KubernetesProvider {
    fn start(&self, pool: &PoolName, instance: InstanceId) {
        self.shared.supervise(pool, instance, Origin::New);
    }

    fn verify(&self, pool: &PoolName, instance: InstanceId) {
        if !self.shared.wish(instance, |wished| wished.probes += 1) {
            self.shared.supervise(pool, instance, Origin::Earlier);
        }
    }

    fn reset(&self, pool: &PoolName, instance: InstanceId) {
        let as_new = |wished: &mut Wishes| {
            wished.resets += 1;
            (wished.rest, wished.claimed) = (false, false);
        };
        if !self.shared.wish(instance, as_new) {
            self.shared.supervise(pool, instance, Origin::Used);
        }
    }

    fn hold(&self, instance: InstanceId) {
        self.shared.wish(instance, |wished| {
            (wished.rest, wished.claimed) = (true, false);
        });
    }

    fn thaw(&self, instance: InstanceId) {
        self.shared.wish(instance, |wished| {
            (wished.rest, wished.claimed) = (false, true);
        });
    }

    fn stop(&self, instance: InstanceId) {
        if self.shared.wish(instance, |wished| wished.stop = true) {
            return;
        }
        let pool = self
            .shared
            .state()
            .left
            .get(&instance)
            .and_then(Record::pool);
        if let Some(pool) = pool {
            return self.shared.supervise(&pool, instance, Origin::Unwanted);
        }
        let reason = GoneReason::Stopped;
        self.shared
            .supervised
            .report(ProviderEvent::Gone { instance, reason });
    }

    fn probe(&self, instance: InstanceId) {
        self.shared.wish(instance, |wished| wished.probes += 1);
    }
}

impl Shared {
    /// Held for a few instructions at a time, never over an await.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn owner(&self) -> Result<Arc<str>, ProviderError> {
        if let Some(owner) = &self.state().owner {
            return Ok(owner.clone());
        }
        let named = owner(self.records.folder());
        let owner: Arc<str> = named
            .map_err(|source| io(self.records.folder(), source))?
            .into();
        self.state().owner = Some(owner.clone());
        Ok(owner)
    }

    fn wish(&self, id: InstanceId, change: impl FnOnce(&mut Wishes)) -> bool {
        self.supervised.wish(id, change)
    }

    /// What is looked after, or will be.
    fn knows(&self, id: InstanceId) -> bool {
        self.supervised.holds(id) || self.state().left.contains_key(&id)
    }

    /// Looks after an instance unless it is looked after already.
    fn supervise(self: &Arc<Self>, pool: &PoolName, id: InstanceId, origin: Origin) {
        let contact = match self.contact(pool, id) {
            Ok(contact) => contact,
            Err(reason) => {
                let instance = id;
                return self
                    .supervised
                    .report(ProviderEvent::Failed { instance, reason });
            }
        };
        let Some(wishes) = self.supervised.begin(id) else {
            return;
        };
        self.state().left.remove(&id);
        let sights = contact.place.look_out(contact.identity.name());
        let instance = Instance {
            contact,
            sights,
            wishes,
            events: self.events.clone(),
        };
        self.supervised
            .spawn(supervise_to_the_end(self.clone(), instance, origin));
    }

    /// How to ask for an instance: where it was created; a new one where its pool has them now.
    fn contact(&self, pool: &PoolName, id: InstanceId) -> Result<Contact, String> {
        let (spec, record) = {
            let state = self.state();
            (state.specs.get(pool).cloned(), state.left.get(&id).cloned())
        };
        let recorded = || record.as_ref().map(|record| Arc::new(record.spec()));
        let Some(spec) = spec.or_else(recorded) else {
            return Err(format!("pool `{pool}` has no cluster"));
        };
        let place = match &record {
            Some(record) => self.place(record.whereabouts())?,
            None => self.place_of(&spec)?,
        };
        let owner = self.owner().map_err(|error| error.to_string())?;
        let generation = record.map_or(0, |record| record.generation);
        Ok(Contact {
            identity: Identity {
                owner,
                pool: pool.clone(),
                id,
                generation,
            },
            spec,
            place,
        })
    }

    fn cluster(&self, access: &Access) -> Result<Arc<Cluster>, String> {
        if let Some(cluster) = self.state().clusters.get(access) {
            return Ok(cluster.clone());
        }
        let _context = self.supervised.runtime().enter();
        let cluster = Arc::new(Cluster::reach(access)?);
        let mut state = self.state();
        Ok(state
            .clusters
            .entry(access.clone())
            .or_insert(cluster)
            .clone())
    }

    fn place_of(&self, spec: &KubernetesSpec) -> Result<Arc<Place>, String> {
        let access = Access {
            kubeconfig: spec.kubeconfig.clone(),
            context: spec.context.clone(),
        };
        let namespace = match spec.namespace() {
            Some(namespace) => namespace.to_owned(),
            None => self.cluster(&access)?.namespace.clone(),
        };
        self.place(Whereabouts {
            access,
            namespace,
            api_version: spec.template.api_version().to_owned(),
            kind: spec.template.kind().to_owned(),
        })
    }

    /// A place, which is watched from now on.
    fn place(&self, at: Whereabouts) -> Result<Arc<Place>, String> {
        let cluster = self.cluster(&at.access)?;
        let owner = self.owner().map_err(|error| error.to_string())?;
        let mut state = self.state();
        if let Some(place) = state.places.get(&at) {
            return Ok(place.clone());
        }
        let place = Arc::new(Place::new(cluster, at.clone()));
        state.places.insert(at, place.clone());
        drop(state);
        let watch = keep_watch(place.api(), selector(&owner), place.sights.clone());
        self.supervised.spawn(watch);
        Ok(place)
    }

    async fn sweep(&self) {
        let places: Vec<_> = self.state().places.values().cloned().collect();
        let Ok(owner) = self.owner() else {
            return;
        };
        for place in places {
            self.sweep_at(&place, &owner).await;
        }
    }

    async fn sweep_at(&self, place: &Place, owner: &str) {
        let listed = match place.list(owner).await {
            Ok(listed) => listed,
            // An outage is told elsewhere.
            Err(error) => return tracing::debug!(%error, "instances cannot be listed"),
        };
        for (id, object) in listed {
            if self.is_stranger(id) {
                tracing::warn!(instance = %id, pool = ?pool_of(&object), "an instance that nobody knows is removed");
                let removed = place.remove(&object, &place.bare()).await;
                if let Err(error) = removed {
                    tracing::debug!(%error, "it is tried again");
                }
            }
        }
    }

    /// Whether an instance that is there has no business to be.
    fn is_stranger(&self, id: InstanceId) -> bool {
        let expected = {
            let state = self.state();
            let expected = state.expected.as_ref();
            expected.is_none_or(|expected| expected.contains(&id))
        };
        !expected && !self.knows(id)
    }

    /// Keeps on disk where an instance is.
    async fn record(self: &Arc<Self>, contact: &Contact) -> std::io::Result<()> {
        let (identity, spec) = (&contact.identity, &contact.spec);
        let named = (identity.id, &identity.pool, identity.generation);
        let record = Record::new(named, &contact.place.at, spec.stop_grace);
        let shared = self.clone();
        let written = tokio::task::spawn_blocking(move || shared.records.write(&record)).await;
        written.unwrap_or_else(|error| Err(std::io::Error::other(error)))
    }

    /// An instance is no more.
    async fn ended(&self, id: InstanceId, event: ProviderEvent) {
        self.records.remove(&id.to_string());
        if let Some(expected) = &mut self.state().expected {
            expected.remove(&id);
        }
        self.supervised.end(id, event).await;
    }
}

async fn supervise_to_the_end(shared: Arc<Shared>, mut instance: Instance, origin: Origin) {
    let id = instance.contact.identity.id;
    let mut origin = origin;
    loop {
        let recorded = shared.record(&instance.contact).await;
        let next = match recorded {
            // Nothing is started that the next run would not find.
            Err(error) if origin == Origin::New => Next::Over(ProviderEvent::Failed {
                instance: id,
                reason: format!("its record cannot be written: {error}"),
            }),
            Ok(()) | Err(_) => instance.live(origin).await,
        };
        match next {
            Next::Over(event) => return shared.ended(id, event).await,
            Next::Another => {
                origin = Origin::New;
                instance.contact.identity.generation += 1;
                let name = instance.contact.identity.name();
                instance.sights = instance.contact.place.look_out(name);
            }
        }
    }
}

async fn sweep_regularly(shared: Weak<Shared>) {
    loop {
        tokio::time::sleep(SWEEP_EVERY).await;
        let Some(shared) = shared.upgrade() else {
            return;
        };
        shared.sweep().await;
    }
}

fn io(folder: &Path, source: std::io::Error) -> ProviderError {
    ProviderError::Io {
        path: folder.display().to_string(),
        source,
    }
}
