//! Instances at a provider somewhere else, over gRPC.

mod calls;
mod instance;
mod record;
mod spec;

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use foreshadow_types::{InstanceId, PoolName};
use tokio::sync::mpsc;
use tracing::Span;

pub use self::spec::ExternalSpec;
use self::{
    calls::{CallError, Caller, Line},
    instance::{Contact, Instance, Origin},
    record::Record,
};
use crate::{
    event::ProviderEvent,
    provider::{Provider, ProviderError},
    roster::Roster,
    sweep::{Sweep, sweep_regularly},
};

/// How long a connection may take to come about.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// How much longer than its `stop_grace` an instance may take to end at a shutdown.
const CLOSE_MARGIN: Duration = Duration::from_secs(5);

/// Calls providers that speak `foreshadow.provider.v1`.
///
/// The instances outlive the server: a record on disk tells its next run whom to ask about each. A
/// provider that does not answer changes nothing: instances that were ready stay in use, starts fail
/// when their time is over, stops are asked for until they are confirmed. To be made and used within
/// a tokio runtime.
#[derive(Debug)]
pub struct ExternalProvider {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    roster: Roster<Record>,
    events: mpsc::Sender<ProviderEvent>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    specs: BTreeMap<PoolName, Arc<ExternalSpec>>,
    /// By endpoint.
    lines: BTreeMap<String, Line>,
}

impl ExternalProvider {
    /// A provider without pools that keeps its records in `folder`, one of its own, and reports to
    /// `events`. It is known by the name of `owner`, else by one that the folder keeps.
    ///
    /// # Errors
    /// [`ProviderError::Io`] if the folder cannot be used.
    pub fn open(
        folder: &Path,
        owner: Option<&str>,
        events: mpsc::Sender<ProviderEvent>,
    ) -> Result<Self, ProviderError> {
        let shared = Arc::new(Shared {
            roster: Roster::open(folder, owner, events.clone())?,
            events,
            state: Mutex::default(),
        });
        let sweeps = sweep_regularly(Arc::downgrade(&shared));
        shared.roster.supervised.spawn(sweeps);
        Ok(Self { shared })
    }

    /// Sets who has the instances of a pool. Those there are, are asked for there from now on.
    ///
    /// # Errors
    /// [`ProviderError::Spec`] if it cannot be called as given, [`ProviderError::Io`] if nothing can
    /// be kept about it.
    pub fn define(&self, pool: PoolName, spec: ExternalSpec) -> Result<(), ProviderError> {
        spec.validate()?;
        self.shared.roster.owner()?;
        self.shared.state().specs.insert(pool, Arc::new(spec));
        Ok(())
    }

    /// Whether the instances of a pool are at an external provider.
    pub(crate) fn defines(&self, pool: &PoolName) -> bool {
        self.shared.state().specs.contains_key(pool)
    }

    /// Whether an instance is at an external provider.
    pub(crate) fn knows(&self, id: InstanceId) -> bool {
        self.shared.roster.knows(id)
    }

    /// After a restart: stops every instance of an earlier run that is not known any more, and says
    /// how many.
    pub fn reconcile(&self, known: &BTreeSet<InstanceId>) -> usize {
        let strangers = self.shared.roster.reconcile(known);
        for &id in &strangers {
            self.stop(id);
        }
        strangers.len()
    }

    /// Stops what providers have of ours that nobody knows: an instance whose start was given up and
    /// came to something after all. This happens by itself every half minute.
    pub async fn sweep(&self) {
        self.shared.clone().sweep().await;
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
        self.shared.roster.close(stop, grace + CLOSE_MARGIN).await;
    }
}

impl Provider for ExternalProvider {
    fn kind(&self, _: &PoolName) -> &'static str {
        "grpc"
    }

    fn start(&self, pool: &PoolName, instance: InstanceId) {
        self.shared.supervise(pool, instance, Origin::New);
    }

    fn verify(&self, pool: &PoolName, instance: InstanceId) {
        if !self
            .shared
            .roster
            .wish(instance, |wished| wished.probes += 1)
        {
            self.shared.supervise(pool, instance, Origin::Earlier);
        }
    }

    fn reset(&self, pool: &PoolName, instance: InstanceId) {
        if !self
            .shared
            .roster
            .wish(instance, |wished| wished.resets += 1)
        {
            self.shared.supervise(pool, instance, Origin::Used);
        }
    }

    fn hold(&self, instance: InstanceId) {
        self.shared
            .roster
            .wish(instance, |wished| wished.rest = true);
    }

    fn thaw(&self, instance: InstanceId, _: Option<crate::Lease>) {
        self.shared
            .roster
            .wish(instance, |wished| wished.rest = false);
    }

    fn stop(&self, instance: InstanceId) {
        if let Some(pool) = self.shared.roster.stop(instance) {
            self.shared.supervise(&pool, instance, Origin::Unwanted);
        }
    }

    fn probe(&self, instance: InstanceId) {
        self.shared
            .roster
            .wish(instance, |wished| wished.probes += 1);
    }
}

impl Shared {
    /// Held for a few instructions at a time, never over an await.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Looks after an instance unless it is looked after already.
    fn supervise(self: &Arc<Self>, pool: &PoolName, id: InstanceId, origin: Origin) {
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
        let instance = Instance {
            contact,
            wishes,
            events: self.events.clone(),
            asked: (origin == Origin::New).then(Span::current),
        };
        self.roster
            .supervised
            .spawn(supervise_to_the_end(self.clone(), instance, origin));
    }

    /// How to ask about an instance: as its pool is configured now, else as it was when the instance
    /// was started.
    fn contact(&self, pool: &PoolName, id: InstanceId) -> Result<Contact, String> {
        let recorded = || Some(Arc::new(of_record(&self.roster.recorded(id)?)));
        let configured = self.state().specs.get(pool).cloned();
        let Some(spec) = configured.or_else(recorded) else {
            return Err(format!("pool `{pool}` has no external provider"));
        };
        Ok(Contact {
            id,
            pool: pool.clone(),
            caller: self.caller(&spec)?,
            spec,
        })
    }

    fn caller(&self, spec: &ExternalSpec) -> Result<Caller, String> {
        Ok(Caller {
            owner: self.roster.owner().map_err(|error| error.to_string())?,
            line: self.line(&spec.endpoint)?,
            token_file: spec.token_file.clone(),
            deadline: spec.call_timeout,
        })
    }

    /// The one connection to a provider.
    fn line(&self, endpoint: &str) -> Result<Line, String> {
        if let Some(line) = self.state().lines.get(endpoint) {
            return Ok(line.clone());
        }
        let connector = spec::endpoint(endpoint).map_err(|error| error.to_string())?;
        let _context = self.roster.supervised.runtime().enter();
        let line = Line::new(connector.connect_timeout(CONNECT_TIMEOUT));
        let mut state = self.state();
        Ok(state
            .lines
            .entry(endpoint.to_owned())
            .or_insert(line)
            .clone())
    }

    /// Each provider once, by one of the pools that it has.
    fn providers(&self) -> BTreeMap<String, PoolName> {
        let state = self.state();
        let pools = state.specs.iter();
        pools
            .map(|(pool, spec)| (spec.endpoint.clone(), pool.clone()))
            .collect()
    }

    /// Strangers are stopped through a pool of their provider; theirs may be gone.
    async fn sweep_at(self: &Arc<Self>, pool: &PoolName) -> Result<(), CallError> {
        let spec = self.state().specs.get(pool).cloned();
        let Some(spec) = spec else {
            return Ok(());
        };
        let caller = self.caller(&spec).map_err(CallError::Refused)?;
        let mut listing = caller.list().await?;
        while let Some(id) = listing.next().await? {
            if self.roster.is_stranger(id) {
                tracing::warn!(instance = %id, "an instance that nobody knows is stopped");
                self.supervise(pool, id, Origin::Unwanted);
            }
        }
        Ok(())
    }
}

impl Sweep for Shared {
    async fn sweep(self: Arc<Self>) {
        self.roster.begin_sweep();
        for pool in self.providers().values() {
            match self.sweep_at(pool).await {
                // An outage is told elsewhere; a provider need not offer a list.
                Ok(()) | Err(CallError::Passing(_) | CallError::Unimplemented) => {}
                Err(error @ (CallError::NotFound | CallError::Refused(_))) => {
                    tracing::warn!(%pool, %error, "the provider of a pool cannot list its instances");
                }
            }
        }
    }
}

/// Whom to ask about an instance, for the next run.
fn record(contact: &Contact) -> Record {
    let spec = &contact.spec;
    Record::new(
        contact.id,
        &contact.pool,
        &spec.endpoint,
        spec.token_file.as_deref(),
        (spec.stop_grace, spec.call_timeout),
    )
}

/// What a record says of how to ask; what it does not say does not matter for an end.
fn of_record(record: &Record) -> ExternalSpec {
    ExternalSpec {
        token_file: record.token_file.clone(),
        stop_grace: record.stop_grace(),
        call_timeout: record.call_timeout(),
        ..ExternalSpec::new(record.endpoint.clone())
    }
}

async fn supervise_to_the_end(shared: Arc<Shared>, mut instance: Instance, origin: Origin) {
    let id = instance.contact.id;
    let recorded = shared.roster.keep(record(&instance.contact)).await;
    let event = match recorded {
        // Nothing is started that the next run would not find.
        Err(error) if origin == Origin::New => ProviderEvent::Failed {
            instance: id,
            reason: format!("its record cannot be written: {error}"),
        },
        Ok(()) | Err(_) => instance.live(origin).await,
    };
    shared.roster.ended(id, event).await;
}
