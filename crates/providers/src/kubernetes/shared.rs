//! What the tasks of the provider share: where instances are, and who looks after each.

use std::{
    collections::BTreeMap,
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
use crate::{event::ProviderEvent, provider::ProviderError, roster::Roster, sweep::Sweep};

#[derive(Debug)]
pub(super) struct Shared {
    pub(super) roster: Roster<Record>,
    events: mpsc::Sender<ProviderEvent>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) specs: BTreeMap<PoolName, Arc<KubernetesSpec>>,
    clusters: BTreeMap<Access, Arc<Cluster>>,
    places: BTreeMap<Whereabouts, Arc<Place>>,
}

impl Shared {
    pub(super) fn open(
        folder: &Path,
        owner: Option<&str>,
        events: mpsc::Sender<ProviderEvent>,
    ) -> Result<Self, ProviderError> {
        Ok(Self {
            roster: Roster::open(folder, owner, events.clone())?,
            events,
            state: Mutex::default(),
        })
    }

    /// Held for a few instructions at a time, never over an await.
    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Looks after an instance unless it is looked after already.
    pub(super) fn supervise(self: &Arc<Self>, pool: &PoolName, id: InstanceId, origin: Origin) {
        let contact = match self.contact(pool, id) {
            Ok(contact) => contact,
            Err(reason) => {
                let instance = id;
                let failed = ProviderEvent::Failed { instance, reason };
                return self.roster.supervised.report(failed);
            }
        };
        let Some(wishes) = self.roster.begin(id) else {
            return;
        };
        let sights = contact.place.look_out(contact.identity.name());
        let instance = Instance {
            contact,
            sights,
            wishes,
            events: self.events.clone(),
        };
        self.roster
            .supervised
            .spawn(supervise_to_the_end(self.clone(), instance, origin));
    }

    /// How to ask for an instance: where it was created; a new one where its pool has them now.
    fn contact(&self, pool: &PoolName, id: InstanceId) -> Result<Contact, String> {
        let record = self.roster.recorded(id);
        let recorded = || record.as_ref().map(|record| Arc::new(record.spec()));
        let configured = self.state().specs.get(pool).cloned();
        let Some(spec) = configured.or_else(recorded) else {
            return Err(format!("pool `{pool}` has no cluster"));
        };
        let place = match &record {
            Some(record) => self.place(record.whereabouts())?,
            None => self.place_of(&spec)?,
        };
        let owner = self.roster.owner().map_err(|error| error.to_string())?;
        let generation = record.map_or(0, |record| record.generation);
        let identity = Identity {
            owner,
            pool: pool.clone(),
            id,
            generation,
        };
        Ok(Contact::new(identity, spec, place))
    }

    fn cluster(&self, access: &Access) -> Result<Arc<Cluster>, String> {
        if let Some(cluster) = self.state().clusters.get(access) {
            return Ok(cluster.clone());
        }
        let _context = self.roster.supervised.runtime().enter();
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
        let owner = self.roster.owner().map_err(|error| error.to_string())?;
        let mut state = self.state();
        if let Some(place) = state.places.get(&at) {
            return Ok(place.clone());
        }
        let place = Arc::new(Place::new(cluster, at.clone()));
        state.places.insert(at, place.clone());
        drop(state);
        let watch = keep_watch(place.api(), selector(&owner), place.sights.clone());
        self.roster.supervised.spawn(watch);
        Ok(place)
    }

    async fn sweep_at(&self, place: &Place, owner: &str) {
        let listed = match place.list(owner).await {
            Ok(listed) => listed,
            // An outage is told elsewhere.
            Err(error) => return tracing::debug!(%error, "instances cannot be listed"),
        };
        for (id, object) in listed {
            if self.roster.is_stranger(id) {
                tracing::warn!(instance = %id, pool = ?pool_of(&object), "an instance that nobody knows is removed");
                let removed = place.remove(&object, &place.bare()).await;
                if let Err(error) = removed {
                    tracing::debug!(%error, "it is tried again");
                }
            }
        }
    }
}

impl Sweep for Shared {
    async fn sweep(self: Arc<Self>) {
        self.roster.begin_sweep();
        let places: Vec<_> = self.state().places.values().cloned().collect();
        if places.is_empty() {
            // A server without instances in clusters needs no name there.
            return;
        }
        let Ok(owner) = self.roster.owner() else {
            return;
        };
        for place in places {
            self.sweep_at(&place, &owner).await;
        }
    }
}

/// Where an instance is, for the next run.
fn record(contact: &Contact) -> Record {
    let (identity, spec) = (&contact.identity, &contact.spec);
    let named = (identity.id, &identity.pool, identity.generation);
    Record::new(named, &contact.place.at, spec.stop_grace)
}

async fn supervise_to_the_end(shared: Arc<Shared>, mut instance: Instance, origin: Origin) {
    let id = instance.contact.identity.id;
    let mut origin = origin;
    loop {
        let recorded = shared.roster.keep(record(&instance.contact)).await;
        let next = match recorded {
            // Nothing is started that the next run would not find.
            Err(error) if origin == Origin::New => Next::Over(ProviderEvent::Failed {
                instance: id,
                reason: format!("its record cannot be written: {error}"),
            }),
            Ok(()) | Err(_) => instance.live(origin).await,
        };
        match next {
            Next::Over(event) => return shared.roster.ended(id, event).await,
            Next::Another => {
                origin = Origin::New;
                instance.contact.identity.generation += 1;
                let name = instance.contact.identity.name();
                instance.sights = instance.contact.place.look_out(name);
            }
        }
    }
}
