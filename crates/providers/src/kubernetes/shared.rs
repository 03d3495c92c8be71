//! What the tasks of the provider share: where instances are, and who looks after each.

use std::{
    collections::BTreeMap,
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use foreshadow_types::{InstanceId, PoolName};
use kube::api::DynamicObject;
use tokio::sync::mpsc;

use super::{
    cluster::{Access, Cluster},
    contact::Contact,
    identity::{Identity, generation_of, instance_of, pool_of, selector},
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
    /// Which generation is looked after of each instance.
    generations: BTreeMap<InstanceId, u64>,
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
        let deadline = place.bare().call_timeout;
        let listed = match place.list(&selector(owner), deadline).await {
            Ok(listed) => listed,
            // An outage is told elsewhere.
            Err(error) => return tracing::debug!(%error, "instances cannot be listed"),
        };
        for object in listed.iter().filter(|object| self.is_left_over(object)) {
            let (id, pool) = (instance_of(object), pool_of(object));
            tracing::warn!(instance = ?id, ?pool, "an instance that nobody knows is removed");
            let removed = place.remove(object, &place.bare()).await;
            if let Err(error) = removed {
                tracing::debug!(%error, "it is tried again");
            }
        }
    }

    /// Whether an object that is there has no business to be: nobody knows its instance, or another
    /// object has taken its place. What is of a later generation may be another replica's.
    fn is_left_over(&self, object: &DynamicObject) -> bool {
        let stays = object.metadata.deletion_timestamp.is_none();
        let Some(id) = instance_of(object).filter(|_| stays) else {
            return false;
        };
        let current = self.state().generations.get(&id).copied();
        match current {
            Some(current) => generation_of(object).is_some_and(|own| own < current),
            None => self.roster.is_stranger(id),
        }
    }

    /// Looks after the object of an instance that is there or comes now.
    fn turn_to(&self, instance: &mut Instance, generation: u64) {
        let identity = &mut instance.contact.identity;
        self.state().generations.insert(identity.id, generation);
        if identity.generation != generation {
            identity.generation = generation;
            instance.sights = instance.contact.place.look_out(identity.name());
        }
    }

    /// An instance is no more.
    async fn ended(&self, id: InstanceId, event: ProviderEvent) {
        self.state().generations.remove(&id);
        self.roster.ended(id, event).await;
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
    let mut generation = instance.contact.identity.generation;
    loop {
        // What is wished from here on is meant for the object that comes now.
        let begun = *instance.wishes.borrow_and_update();
        if origin != Origin::New {
            generation = instance.contact.seek().await;
        }
        shared.turn_to(&mut instance, generation);
        let recorded = shared.roster.keep(record(&instance.contact)).await;
        let next = match recorded {
            // Nothing is started that the next run would not find.
            Err(error) if origin == Origin::New => Next::Over(ProviderEvent::Failed {
                instance: id,
                reason: format!("its record cannot be written: {error}"),
            }),
            Ok(()) | Err(_) => instance.live(origin, &begun).await,
        };
        match next {
            Next::Over(event) => return shared.ended(id, event).await,
            Next::Another => {
                origin = Origin::New;
                generation += 1;
            }
        }
    }
}
