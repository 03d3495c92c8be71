//! What is seen of objects: one watch feeds all who look after one.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use futures::StreamExt;
use kube::{
    Api,
    api::DynamicObject,
    runtime::watcher::{self, Event},
};
use tokio::sync::watch;

use crate::pause::Pause;

/// How long one call of a watch lasts. It goes on with another where it ended; a connection that
/// broke without a word is noticed by then.
const WATCH_SECONDS: u32 = 60;

/// How many objects are asked for at a time when all of them are listed.
const PAGE: u32 = 500;

/// Fewer lookouts than this are not worth a search for those that nobody uses any more.
const FEW: usize = 64;

/// What was seen last of an object: nothing, or that it is not there, or what it says.
///
/// A watch lags behind, so that what is not seen may be there: whoever looks after an object asks
/// for it before it counts as gone.
pub(super) type Sight = Option<Arc<DynamicObject>>;

/// Those who look after objects, by the names of these.
#[derive(Debug, Default)]
pub(super) struct Sights {
    lookouts: Mutex<Lookouts>,
}

#[derive(Debug, Default)]
struct Lookouts {
    by_name: BTreeMap<String, watch::Sender<Sight>>,
    /// How many there were when those were forgotten last that nobody uses any more.
    pruned: usize,
}

impl Lookouts {
    fn prune(&mut self) {
        self.by_name.retain(|_, lookout| !lookout.is_closed());
        self.pruned = self.by_name.len();
    }
}

impl Sights {
    /// Held for a few instructions at a time, never over an await.
    fn lookouts(&self) -> MutexGuard<'_, Lookouts> {
        self.lookouts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is seen of an object from now on.
    pub(super) fn look_out(&self, name: String) -> watch::Receiver<Sight> {
        let mut lookouts = self.lookouts();
        if lookouts.by_name.len() >= FEW.max(2 * lookouts.pruned) {
            lookouts.prune();
        }
        let (lookout, receiver) = watch::channel(None);
        lookouts.by_name.insert(name, lookout);
        receiver
    }

    fn show(&self, name: &str, sight: Sight) {
        if let Some(lookout) = self.lookouts().by_name.get(name) {
            lookout.send_replace(sight);
        }
    }

    /// All objects are listed anew: those that are not among them are not there.
    fn listed(&self, names: &BTreeSet<String>) {
        let mut lookouts = self.lookouts();
        lookouts.prune();
        let missing = lookouts
            .by_name
            .iter()
            .filter(|(name, _)| !names.contains(*name));
        for (_, lookout) in missing {
            lookout.send_replace(None);
        }
    }

    fn take(&self, event: Event<DynamicObject>, listing: &mut BTreeSet<String>) {
        match event {
            Event::Init => listing.clear(),
            Event::InitApply(object) => {
                listing.extend(object.metadata.name.clone());
                self.seen(object);
            }
            Event::InitDone => self.listed(&std::mem::take(listing)),
            Event::Apply(object) => self.seen(object),
            Event::Delete(object) => {
                self.show(&object.metadata.name.unwrap_or_default(), None);
            }
        }
    }

    fn seen(&self, mut object: DynamicObject) {
        object.metadata.managed_fields = None;
        let name = object.metadata.name.clone().unwrap_or_default();
        self.show(&name, Some(Arc::new(object)));
    }
}

/// Watches all objects that a selector selects, for ever: on after a break where it ended, and from
/// the beginning where the API server remembers no more.
pub(super) async fn keep_watch(api: Api<DynamicObject>, selector: String, sights: Arc<Sights>) {
    let config = watcher::Config::default()
        .labels(&selector)
        .timeout(WATCH_SECONDS)
        .page_size(PAGE);
    let mut events = std::pin::pin!(watcher::watcher(api, config));
    let mut listing = BTreeSet::new();
    let mut tries = Pause::of_tries();
    let mut told = false;
    while let Some(next) = events.next().await {
        match next {
            Ok(event) => {
                sights.take(event, &mut listing);
                tries = Pause::of_tries();
                told = false;
            }
            Err(error) => {
                if !std::mem::replace(&mut told, true) {
                    tracing::warn!(%error, "objects cannot be watched; tried again");
                }
                tries.wait_about().await;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn object(name: &str, uid: &str) -> DynamicObject {
        serde_json::from_value(json!({ "metadata": { "name": name, "uid": uid } })).unwrap()
    }

    fn uid(receiver: &watch::Receiver<Sight>) -> Option<String> {
        receiver.borrow().as_ref()?.metadata.uid.clone()
    }

    #[test]
    fn each_lookout_sees_its_own_object() {
        let (sights, mut listing) = (Sights::default(), BTreeSet::new());
        let (a, b) = (sights.look_out("a".into()), sights.look_out("b".into()));
        sights.take(Event::Apply(object("a", "1")), &mut listing);
        sights.take(Event::Apply(object("c", "3")), &mut listing);
        assert_eq!((uid(&a).as_deref(), uid(&b)), (Some("1"), None));
        sights.take(Event::Delete(object("a", "1")), &mut listing);
        assert_eq!(uid(&a), None);
    }

    #[test]
    fn what_vanished_while_nobody_watched_is_not_there_after_a_list() {
        let (sights, mut listing) = (Sights::default(), BTreeSet::new());
        let (a, b) = (sights.look_out("a".into()), sights.look_out("b".into()));
        for name in ["a", "b"] {
            sights.take(Event::Apply(object(name, "1")), &mut listing);
        }
        sights.take(Event::Init, &mut listing);
        sights.take(Event::InitApply(object("b", "2")), &mut listing);
        assert_eq!(uid(&a).as_deref(), Some("1"), "the list is not whole yet");
        sights.take(Event::InitDone, &mut listing);
        assert_eq!((uid(&a), uid(&b).as_deref()), (None, Some("2")));
    }

    #[test]
    fn who_looks_no_more_is_forgotten() {
        let sights = Sights::default();
        let _kept = sights.look_out("kept".into());
        for number in 0..1_000 {
            drop(sights.look_out(number.to_string()));
        }
        assert!(sights.lookouts().by_name.len() <= FEW);
        sights.listed(&BTreeSet::new());
        assert_eq!(sights.lookouts().by_name.len(), 1);
    }
}
