//! What the tasks of the provider share: where instances are, and who looks after each.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use foreshadow_types::{InstanceId, PoolName};
use tokio::sync::mpsc;

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
    event::ProviderEvent,
    external::owner,
    provider::ProviderError,
    records::Records,
    supervision::{Supervision, Wishes},
};

#[derive(Debug)]
pub(super) struct Shared {
    records: Records<Record>,
    events: mpsc::Sender<ProviderEvent>,
    pub(super) supervised: Supervision,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
pub(super) struct State {
    /// The name that objects know this Foreshadow by.
    owner: Option<Arc<str>>,
    pub(super) specs: BTreeMap<PoolName, Arc<KubernetesSpec>>,
    clusters: BTreeMap<Access, Arc<Cluster>>,
    places: BTreeMap<Whereabouts, Arc<Place>>,
    /// Instances of earlier runs that are not looked after yet.
    pub(super) left: BTreeMap<InstanceId, Record>,
    /// Instances that were known when this run began; nothing is swept before that is told.
    pub(super) expected: Option<BTreeSet<InstanceId>>,
}

impl Shared {
    /// Nothing is looked after yet; what earlier runs have left is on record. To be called within a
    /// tokio runtime.
    pub(super) fn open(
        folder: &Path,
        events: mpsc::Sender<ProviderEvent>,
    ) -> Result<Self, ProviderError> {
        let records = Records::at(folder);
        let left = records.read_all().map_err(|source| io(folder, source))?;
        let left = left.into_iter().map(|record: Record| (record.id(), record));
        let state = State {
            left: left.collect(),
            ..State::default()
        };
        let shared = Self {
            records,
            events: events.clone(),
            supervised: Supervision::new(events),
            state: Mutex::new(state),
        };
        if !shared.state().left.is_empty() {
            shared.owner()?;
        }
        Ok(shared)
    }

    /// Held for a few instructions at a time, never over an await.
    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn owner(&self) -> Result<Arc<str>, ProviderError> {
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

    pub(super) fn wish(&self, id: InstanceId, change: impl FnOnce(&mut Wishes)) -> bool {
        self.supervised.wish(id, change)
    }

    /// What is looked after, or will be.
    pub(super) fn knows(&self, id: InstanceId) -> bool {
        self.supervised.holds(id) || self.state().left.contains_key(&id)
    }

    /// Looks after an instance unless it is looked after already.
    pub(super) fn supervise(self: &Arc<Self>, pool: &PoolName, id: InstanceId, origin: Origin) {
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

    pub(super) fn place_of(&self, spec: &KubernetesSpec) -> Result<Arc<Place>, String> {
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

    pub(super) async fn sweep(&self) {
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

fn io(folder: &Path, source: std::io::Error) -> ProviderError {
    ProviderError::Io {
        path: folder.display().to_string(),
        source,
    }
}
