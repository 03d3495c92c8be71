//! What an object says of how far its instance is.

use k8s_openapi::api::core::v1::{ContainerStatus, PodStatus};
use kube::api::DynamicObject;
use serde_json::Value;

use super::{spec::KubernetesSpec, words::one_line};

/// Waiting for one of these, a container will not start without somebody's doing.
const HOPELESS: [&str; 7] = [
    "ErrImagePull",
    "ImagePullBackOff",
    "InvalidImageName",
    "CreateContainerConfigError",
    "CreateContainerError",
    "RunContainerError",
    "CrashLoopBackOff",
];

/// The longest address that is taken.
const MAX_ADDRESS: usize = 255;

/// How much is kept of what a cluster says.
const MAX_WORDS: usize = 200;

/// How far an instance is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Stage {
    /// It is on its way; the text is what stands in it, if something does.
    Coming(Option<String>),
    /// It is ready for use at this address.
    Ready(String),
    /// It has an address, but is not ready.
    Unready {
        /// Where it would be reached.
        address: String,
        /// Why.
        reason: String,
        /// Whether it will not become so as it is.
        hopeless: bool,
    },
    /// It will not become ready as it is.
    Hopeless(String),
    /// It has ended, but is still there.
    Ended(String),
    /// Somebody is removing it.
    Leaving(String),
}

impl Stage {
    /// What an object says.
    pub(super) fn of(object: &DynamicObject, spec: &KubernetesSpec) -> Self {
        let status = &object.data["status"];
        if object.metadata.deletion_timestamp.is_some() {
            return Self::Leaving(why_leaving(status));
        }
        if spec.is_pod() {
            of_pod(status, spec)
        } else {
            of_any(status, object, spec)
        }
    }
}

fn of_pod(status: &Value, spec: &KubernetesSpec) -> Stage {
    let Ok(pod) = serde_json::from_value::<PodStatus>(status.clone()) else {
        return Stage::Coming(None);
    };
    let words = [pod.reason.as_deref(), pod.message.as_deref()];
    match pod.phase.as_deref() {
        Some("Failed") => return Stage::Ended(joined("the pod failed", &words)),
        Some("Succeeded") => return Stage::Ended(joined("the pod ended by itself", &words)),
        _ => {}
    }
    let address = pod.pod_ip.as_deref().and_then(|ip| address(ip, spec));
    let ready = condition(status, "Ready");
    match address {
        Some(address) if ready.holds => return Stage::Ready(address),
        Some(address) if pod.phase.as_deref() == Some("Running") => {
            let waiting = why_waiting(&pod);
            return Stage::Unready {
                address,
                hopeless: waiting.is_some(),
                reason: waiting.unwrap_or(ready.words),
            };
        }
        _ => {}
    }
    if let Some(reason) = why_waiting(&pod) {
        return Stage::Hopeless(reason);
    }
    let scheduled = condition(status, "PodScheduled");
    Stage::Coming((scheduled.told && !scheduled.holds).then_some(scheduled.words))
}

/// Why a container of a pod does not start, if it is one of those reasons that do not pass.
fn why_waiting(pod: &PodStatus) -> Option<String> {
    let lists = [&pod.init_container_statuses, &pod.container_statuses];
    let mut containers = lists.into_iter().flatten().flatten();
    containers.find_map(|container: &ContainerStatus| {
        let waiting = container.state.as_ref()?.waiting.as_ref()?;
        let reason = waiting.reason.as_deref()?;
        let head = format!("container `{}`", container.name);
        let words = [Some(reason), waiting.message.as_deref()];
        HOPELESS.contains(&reason).then(|| joined(&head, &words))
    })
}

/// An object that a controller makes ready and says so by a condition.
fn of_any(status: &Value, object: &DynamicObject, spec: &KubernetesSpec) -> Stage {
    let pointer = spec.address().unwrap_or_default();
    let host = object.data.pointer(pointer).and_then(Value::as_str);
    let address = host.and_then(|host| address(host, spec));
    let ready = condition(status, "Ready");
    match address {
        Some(address) if ready.holds => Stage::Ready(address),
        Some(address) => Stage::Unready {
            address,
            reason: ready.words,
            hopeless: false,
        },
        None => Stage::Coming(ready.told.then_some(ready.words)),
    }
}

/// Where an instance is reached; none if the host is not one.
fn address(host: &str, spec: &KubernetesSpec) -> Option<String> {
    let printable = host.bytes().all(|byte| byte.is_ascii_graphic());
    if host.is_empty() || !printable || host.len() > MAX_ADDRESS {
        return None;
    }
    let bare_ipv6 = host.contains(':') && host.parse::<std::net::Ipv6Addr>().is_ok();
    Some(match spec.port() {
        Some(port) if bare_ipv6 => format!("[{host}]:{port}"),
        Some(port) => format!("{host}:{port}"),
        None => host.to_owned(),
    })
}

/// One condition of a status.
struct Condition {
    /// Whether it is there.
    told: bool,
    /// Whether it is true.
    holds: bool,
    /// Why it is as it is.
    words: String,
}

fn condition(status: &Value, kind: &str) -> Condition {
    let conditions = status["conditions"].as_array();
    let mut conditions = conditions.into_iter().flatten();
    let found = conditions.find(|condition| condition["type"] == kind);
    let text = |key| found.and_then(|found| found[key].as_str());
    let is = text("status").unwrap_or("Unknown");
    Condition {
        told: found.is_some(),
        holds: is == "True",
        words: joined(
            &format!("{kind} is {is}"),
            &[text("reason"), text("message")],
        ),
    }
}

fn why_leaving(status: &Value) -> String {
    let disruption = condition(status, "DisruptionTarget");
    if disruption.holds {
        return format!("it is being removed: {}", disruption.words);
    }
    let text = |key: &str| status[key].as_str();
    joined("it is being removed", &[text("reason"), text("message")])
}

/// What is said, cut to a length that fits a line.
fn joined(head: &str, words: &[Option<&str>]) -> String {
    let words = words.iter().flatten().filter(|text| !text.is_empty());
    let text = words.fold(head.to_owned(), |text, more| format!("{text}: {more}"));
    one_line(&text, MAX_WORDS)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{super::template::Template, *};

    fn pods() -> KubernetesSpec {
        let container = json!({ "name": "a", "image": "b", "ports": [{ "containerPort": 80 }] });
        let spec = json!({ "containers": [container] });
        let pod = json!({ "apiVersion": "v1", "kind": "Pod", "spec": spec });
        KubernetesSpec::new(Template::of(pod).unwrap())
    }

    fn of(status: &Value) -> Stage {
        let object = json!({ "metadata": { "name": "a" }, "status": status });
        Stage::of(&serde_json::from_value(object).unwrap(), &pods())
    }

    fn running(ready: &str) -> Value {
        let ready = json!({ "type": "Ready", "status": ready, "reason": "ContainersNotReady" });
        json!({ "phase": "Running", "podIP": "10.0.0.7", "conditions": [ready] })
    }

    #[test]
    fn a_pod_is_ready_with_an_address_and_the_condition() {
        assert_eq!(of(&json!({})), Stage::Coming(None));
        assert_eq!(of(&running("True")), Stage::Ready("10.0.0.7:80".into()));
        let mut six = running("True");
        six["podIP"] = json!("fd00::7");
        assert_eq!(of(&six), Stage::Ready("[fd00::7]:80".into()));
        let mut nowhere = running("True");
        nowhere["podIP"] = json!("");
        assert_eq!(of(&nowhere), Stage::Coming(None));
        let Stage::Unready {
            address, reason, ..
        } = of(&running("Unknown"))
        else {
            panic!("it is not ready");
        };
        assert_eq!(address, "10.0.0.7:80");
        assert_eq!(reason, "Ready is Unknown: ContainersNotReady");
    }

    #[test]
    fn what_stands_in_the_way_is_told() {
        let unscheduled = json!({ "phase": "Pending", "conditions": [{
            "type": "PodScheduled",
            "status": "False",
            "reason": "Unschedulable",
            "message": "0/3 nodes are available",
        }] });
        let told = "PodScheduled is False: Unschedulable: 0/3 nodes are available";
        assert_eq!(of(&unscheduled), Stage::Coming(Some(told.into())));
        let waiting = |reason: &str| {
            let state = json!({ "waiting": { "reason": reason, "message": "no such image" } });
            let status = json!({
                "name": "a", "image": "b", "imageID": "", "ready": false, "restartCount": 0,
                "state": state,
            });
            json!({ "phase": "Pending", "containerStatuses": [status] })
        };
        assert_eq!(of(&waiting("ContainerCreating")), Stage::Coming(None));
        let told = "container `a`: ErrImagePull: no such image";
        assert_eq!(of(&waiting("ErrImagePull")), Stage::Hopeless(told.into()));
    }

    #[test]
    fn an_end_is_told_from_a_removal() {
        let evicted = json!({ "phase": "Failed", "reason": "Evicted", "message": "low on disk" });
        let told = "the pod failed: Evicted: low on disk";
        assert_eq!(of(&evicted), Stage::Ended(told.into()));
        let leaving = json!({
            "metadata": { "name": "a", "deletionTimestamp": "2026-01-01T00:00:00Z" },
            "status": { "conditions": [{
                "type": "DisruptionTarget", "status": "True", "reason": "EvictionByEvictionAPI",
            }] },
        });
        let stage = Stage::of(&serde_json::from_value(leaving).unwrap(), &pods());
        let told = "it is being removed: DisruptionTarget is True: EvictionByEvictionAPI";
        assert_eq!(stage, Stage::Leaving(told.into()));
    }

    #[test]
    fn a_sandbox_is_ready_by_its_condition_and_reached_by_its_name() {
        let sandbox = json!({
            "apiVersion": "agents.x-k8s.io/v1alpha1", "kind": "Sandbox", "spec": {},
        });
        let mut spec = KubernetesSpec::new(Template::of(sandbox).unwrap());
        spec.port = Some(8888);
        let of = |status: &Value| {
            let object = json!({ "metadata": { "name": "a" }, "status": status });
            Stage::of(&serde_json::from_value(object).unwrap(), &spec)
        };
        let ready = json!([{ "type": "Ready", "status": "True" }]);
        assert_eq!(of(&json!({})), Stage::Coming(None));
        let host = "a.default.svc.cluster.local";
        assert_eq!(
            of(&json!({ "serviceFQDN": host, "conditions": ready })),
            Stage::Ready(format!("{host}:8888"))
        );
        assert!(matches!(
            of(&json!({ "serviceFQDN": host })),
            Stage::Unready { .. }
        ));
        let odd = json!({ "serviceFQDN": "a b", "conditions": ready });
        assert!(matches!(of(&odd), Stage::Coming(Some(_))));
    }

    #[test]
    fn what_a_cluster_says_is_cut_to_one_line() {
        let long = joined("a\nb", &[Some(&"x".repeat(500))]);
        assert_eq!(long.chars().count(), MAX_WORDS);
        assert!(!long.contains('\n'));
    }
}
