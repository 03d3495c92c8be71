//! The tasks that look after instances, and what is wished of each.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use foreshadow_types::InstanceId;
use tokio::{
    runtime::Handle,
    sync::{mpsc, watch},
    task::JoinSet,
};

use crate::{event::ProviderEvent, provider::Lease};

/// What is wanted of an instance; the latest wish counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Wishes {
    pub(crate) rest: bool,
    /// It was woken for a request; a fresh one is neither at rest nor claimed.
    pub(crate) claimed: bool,
    /// By whom, where that is known.
    pub(crate) lease: Option<Lease>,
    pub(crate) stop: bool,
    /// Rises with each reset that is asked for.
    pub(crate) resets: u64,
    /// Rises with each probe that is asked for.
    pub(crate) probes: u64,
}

/// Waits until a stop is wished.
pub(crate) async fn stop_wished(wishes: &mut watch::Receiver<Wishes>) {
    if wishes.wait_for(|wished| wished.stop).await.is_err() {
        std::future::pending::<()>().await;
    }
}

/// Waits for another wish.
pub(crate) async fn another(wishes: &mut watch::Receiver<Wishes>) {
    if wishes.changed().await.is_err() {
        // The provider was dropped; the instance stays for the next run.
        std::future::pending::<()>().await;
    }
}

/// When an instance is probed first: probes of many are spread over the interval.
pub(crate) fn first_probe(id: InstanceId, interval: Duration) -> Duration {
    let spread = (id.0.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 48) as f64 / 65_536.0;
    interval.mul_f64(0.5 + spread / 2.0)
}

/// All instances that are looked after, each by a task of its own.
#[derive(Debug)]
pub(crate) struct Supervision {
    events: mpsc::Sender<ProviderEvent>,
    runtime: Handle,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    instances: BTreeMap<InstanceId, watch::Sender<Wishes>>,
    tasks: JoinSet<()>,
}

impl Supervision {
    /// Nothing is looked after yet. To be called within a tokio runtime.
    pub(crate) fn new(events: mpsc::Sender<ProviderEvent>) -> Self {
        Self {
            events,
            runtime: Handle::current(),
            state: Mutex::default(),
        }
    }

    /// Held for a few instructions at a time, never over an await.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn runtime(&self) -> &Handle {
        &self.runtime
    }

    pub(crate) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let mut state = self.state();
        while state.tasks.try_join_next().is_some() {}
        state.tasks.spawn_on(task, &self.runtime);
    }

    /// Reports what became of an instance that is not looked after.
    pub(crate) fn report(&self, event: ProviderEvent) {
        let events = self.events.clone();
        self.spawn(async move {
            let _ = events.send(event).await;
        });
    }

    /// Where the wishes for an instance arrive from now on; `None` if it is looked after already.
    pub(crate) fn begin(&self, id: InstanceId) -> Option<watch::Receiver<Wishes>> {
        let mut state = self.state();
        if state.instances.contains_key(&id) {
            return None;
        }
        let (wishes, receiver) = watch::channel(Wishes::default());
        state.instances.insert(id, wishes);
        Some(receiver)
    }

    /// Whether an instance is looked after.
    pub(crate) fn holds(&self, id: InstanceId) -> bool {
        self.state().instances.contains_key(&id)
    }

    /// Changes what is wished of an instance; false if it is not looked after.
    pub(crate) fn wish(&self, id: InstanceId, change: impl FnOnce(&mut Wishes)) -> bool {
        let state = self.state();
        let wishes = state.instances.get(&id);
        if let Some(wishes) = wishes {
            wishes.send_modify(change);
        }
        wishes.is_some()
    }

    /// An instance is not looked after here any more, and nothing is reported of it.
    pub(crate) fn dismiss(&self, id: InstanceId) {
        self.state().instances.remove(&id);
    }

    /// An instance is not looked after any more; what became of it is reported.
    pub(crate) async fn end(&self, id: InstanceId, event: ProviderEvent) {
        self.dismiss(id);
        let _ = self.events.send(event).await;
    }

    /// Waits until none of these is looked after.
    pub(crate) async fn ended(&self, ids: &[InstanceId]) {
        let left = || {
            let state = self.state();
            ids.iter().any(|id| state.instances.contains_key(id))
        };
        while left() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Ends all tasks where they stand; nothing is reported any more.
    pub(crate) fn close(&self) {
        let tasks = std::mem::take(&mut self.state().tasks);
        drop(tasks);
    }
}
