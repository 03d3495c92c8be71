//! What is known of a living instance, and what is due for it.

use std::{sync::Arc, time::Duration};

use kube::api::DynamicObject;
use tokio::time::Instant;

use super::{
    cluster::CallError, identity::Use, instance::LifeEnd, sights::Sight, spec::KubernetesSpec,
    stage::Stage,
};
use crate::{event::GoneReason, pause::Pause, supervision::Wishes};

/// When an instance for which nothing is due is turned to again.
const IDLE: Duration = Duration::from_hours(1);

/// The care for an object that was ready.
#[derive(Debug)]
pub(super) struct Care {
    /// As it was seen last.
    pub(super) object: Arc<DynamicObject>,
    /// Whether it may be gone.
    pub(super) in_doubt: bool,
    /// What it says that it is used for.
    marked: Use,
    /// How often the instance had been reset and probed when this was dealt with last.
    resets: u64,
    probes: u64,
    unready_since: Option<Instant>,
    /// Whether its last mark was for another version than there is.
    outdated: bool,
    tries: Pause,
    next_try: Instant,
}

impl Care {
    /// The care for an object that has just become ready; `begun` is what had been wished before.
    pub(super) fn of(object: Arc<DynamicObject>, begun: &Wishes) -> Self {
        Self {
            marked: Use::of(&object),
            object,
            in_doubt: false,
            resets: begun.resets,
            probes: begun.probes,
            unready_since: None,
            outdated: false,
            tries: Pause::of_tries(),
            next_try: Instant::now(),
        }
    }

    /// Whether this object is the one cared for.
    pub(super) fn is_same(&self, object: &DynamicObject) -> bool {
        object.metadata.uid == self.object.metadata.uid
    }

    /// Takes what is wished; says whether that is another object.
    pub(super) fn heed(&mut self, wished: &Wishes) -> bool {
        if wished.probes != self.probes {
            self.probes = wished.probes;
            self.in_doubt = true;
        }
        wished.resets != self.resets
    }

    /// What it is to say that it is used for, if it does not say so yet.
    pub(super) fn to_mark(&self, wished: &Wishes) -> Option<Use> {
        let wanted = match (wished.rest, wished.claimed) {
            (true, _) => Use::Warm,
            (false, true) => Use::Leased(wished.lease),
            (false, false) => return None,
        };
        // Whose lease it is stays told where nothing else is known.
        let told = match (wanted, self.marked) {
            (Use::Leased(None), Use::Leased(_)) => true,
            (wanted, marked) => wanted == marked,
        };
        (!told).then_some(wanted)
    }

    /// Whether its last call is long enough ago.
    pub(super) fn may_call(&self) -> bool {
        Instant::now() >= self.next_try
    }

    /// Takes what is seen. What is not seen may be there, but not seen yet.
    pub(super) fn see(&mut self, sight: Sight) {
        match sight {
            Some(object) if self.is_same(&object) => self.object = object,
            Some(_) | None => self.in_doubt = true,
        }
    }

    pub(super) fn looked(&mut self, object: Arc<DynamicObject>) {
        self.object = object;
        self.in_doubt = false;
    }

    /// Takes what came of a mark. If there is another version of the object, it is asked for.
    pub(super) fn marked(&mut self, own: Use, outcome: Result<DynamicObject, CallError>) {
        match outcome {
            Ok(object) => {
                self.marked = own;
                self.looked(Arc::new(object));
                self.outdated = false;
                self.tries = Pause::of_tries();
            }
            Err(error) => {
                let outdated = matches!(error, CallError::Conflict(_));
                self.in_doubt |= outdated || matches!(error, CallError::NotFound(_));
                // A status that has just come is no reason to wait; one after the other is.
                if !outdated || std::mem::replace(&mut self.outdated, true) {
                    self.failed(&error);
                }
            }
        }
    }

    pub(super) fn failed(&mut self, error: &CallError) {
        tracing::debug!(name = ?self.object.metadata.name, %error, "a call is tried again");
        self.next_try = Instant::now() + self.tries.take_about();
    }

    /// How it ends, if it does.
    pub(super) fn assess(&mut self, spec: &KubernetesSpec) -> Option<LifeEnd> {
        match Stage::of(&self.object, spec) {
            Stage::Ready(_) => {
                self.unready_since = None;
                None
            }
            Stage::Coming(_) | Stage::Unready { .. } | Stage::Hopeless(_) => {
                let since = *self.unready_since.get_or_insert_with(Instant::now);
                let stuck = since.elapsed() >= spec.unready_timeout;
                stuck.then_some(LifeEnd::Abandoned(GoneReason::Stuck))
            }
            Stage::Ended(reason) => Some(LifeEnd::Abandoned(GoneReason::Exited(reason))),
            Stage::Leaving(reason) => Some(LifeEnd::Gone(GoneReason::Exited(reason))),
        }
    }

    /// When something is due for it.
    pub(super) fn wake(&self, to_mark: bool, spec: &KubernetesSpec) -> Instant {
        let call = (to_mark || self.in_doubt).then_some(self.next_try);
        let stuck = self.unready_since.map(|since| since + spec.unready_timeout);
        let idle = Instant::now() + IDLE;
        [call, stuck].into_iter().flatten().fold(idle, Instant::min)
    }
}

#[cfg(test)]
mod tests {
    use foreshadow_types::{AllocationId, FencingToken};
    use serde_json::{Value, json};

    use super::{super::template::Template, *};
    use crate::provider::Lease;

    fn spec() -> KubernetesSpec {
        let container = json!({ "name": "a", "image": "b", "ports": [{ "containerPort": 80 }] });
        let spec = json!({ "containers": [container] });
        let pod = json!({ "apiVersion": "v1", "kind": "Pod", "spec": spec });
        KubernetesSpec {
            unready_timeout: Duration::ZERO,
            ..KubernetesSpec::new(Template::of(pod).unwrap())
        }
    }

    fn object(uid: &str, status: &Value) -> Arc<DynamicObject> {
        let object = json!({ "metadata": { "name": "a", "uid": uid }, "status": status });
        Arc::new(serde_json::from_value(object).unwrap())
    }

    fn ready(is: &str) -> Value {
        let condition = json!({ "type": "Ready", "status": is });
        json!({ "phase": "Running", "podIP": "10.0.0.7", "conditions": [condition] })
    }

    fn care() -> Care {
        Care::of(object("1", &ready("True")), &Wishes::default())
    }

    #[test]
    fn a_mark_follows_what_is_wished_once() {
        let mut care = care();
        let warm = Wishes {
            rest: true,
            ..Wishes::default()
        };
        let leased = Wishes {
            claimed: true,
            ..Wishes::default()
        };
        assert_eq!(care.to_mark(&Wishes::default()), None);
        assert_eq!(care.to_mark(&warm), Some(Use::Warm));
        let after = (*object("1", &ready("True"))).clone();
        care.marked(Use::Warm, Ok(after));
        assert_eq!(care.to_mark(&warm), None);
        let to_lease = Use::Leased(None);
        assert_eq!(care.to_mark(&leased), Some(to_lease));
        care.marked(to_lease, Err(CallError::Conflict(String::new())));
        assert!(care.in_doubt && care.may_call(), "it is asked for at once");
        assert_eq!(care.to_mark(&leased), Some(to_lease));
        care.looked(object("1", &ready("True")));
        care.marked(to_lease, Err(CallError::Conflict(String::new())));
        assert!(!care.may_call(), "one conflict after the other");
    }

    #[test]
    fn the_next_lease_of_an_instance_is_marked_too() {
        let mut care = care();
        let lease = |token| Wishes {
            claimed: true,
            lease: Some(Lease {
                allocation: AllocationId(token),
                token: FencingToken(token),
            }),
            ..Wishes::default()
        };
        let first = Use::Leased(lease(1).lease);
        assert_eq!(care.to_mark(&lease(1)), Some(first));
        care.marked(first, Ok((*object("1", &ready("True"))).clone()));
        assert_eq!(care.to_mark(&lease(1)), None);
        assert_eq!(care.to_mark(&lease(2)), Some(Use::Leased(lease(2).lease)));
        let unknown = Wishes {
            claimed: true,
            ..Wishes::default()
        };
        assert_eq!(care.to_mark(&unknown), None, "what is told stays");
    }

    #[test]
    fn a_mark_that_is_refused_waits_longer_each_time_and_casts_no_doubt() {
        let mut care = care();
        for _ in 0..8 {
            care.marked(Use::Warm, Err(CallError::Refused(String::new())));
            assert!(!care.in_doubt && !care.may_call());
            care.looked(object("1", &ready("True")));
        }
        assert!(care.next_try > Instant::now() + Duration::from_secs(2));
    }

    #[test]
    fn what_is_not_seen_is_asked_for_before_it_counts_as_gone() {
        let mut care = care();
        care.see(Some(object("1", &ready("True"))));
        assert!(!care.in_doubt);
        care.see(None);
        assert!(care.in_doubt);
        assert_eq!(care.assess(&spec()), None);
        care.looked(object("1", &ready("True")));
        assert!(!care.in_doubt);
        care.see(Some(object("2", &ready("True"))));
        assert!(care.in_doubt);
    }

    #[test]
    fn an_instance_ends_when_it_failed_is_removed_or_is_long_not_ready() {
        let mut care = care();
        assert_eq!(care.assess(&spec()), None);
        care.see(Some(object("1", &ready("False"))));
        let patient = KubernetesSpec {
            unready_timeout: Duration::from_hours(1),
            ..spec()
        };
        assert_eq!(care.assess(&patient), None);
        let stuck = LifeEnd::Abandoned(GoneReason::Stuck);
        assert_eq!(care.assess(&spec()), Some(stuck));
        care.see(Some(object("1", &json!({ "phase": "Failed" }))));
        let failed = care.assess(&patient);
        assert!(matches!(
            failed,
            Some(LifeEnd::Abandoned(GoneReason::Exited(_)))
        ));
    }
}
