//! Which cluster a pool's instances are in, what they are made from, and how they are treated.

use std::{path::PathBuf, time::Duration};

use super::template::{Template, TemplateError};
use crate::spec::SpecError;

/// The longest name of a namespace.
const MAX_NAMESPACE: usize = 63;

/// Where the address of an agent's sandbox is told.
const SANDBOX_ADDRESS: &str = "/status/serviceFQDN";

/// An object that owns all instances of a pool: the cluster removes them when it is removed.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Owner {
    /// Group and version of the API that serves it, such as `apps/v1`.
    pub api_version: String,
    /// What it is, such as `StatefulSet`.
    pub kind: String,
    /// Its name, in the namespace of the instances.
    pub name: String,
}

/// Pods of a Kubernetes cluster, or other objects that a controller there turns into something ready.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KubernetesSpec {
    /// What each instance is made from.
    pub template: Template,
    /// Where instances are; the template's or the kubeconfig's if `None`.
    pub namespace: Option<String>,
    /// How the cluster is reached; `$KUBECONFIG`, `~/.kube/config` or the service account if `None`.
    pub kubeconfig: Option<PathBuf>,
    /// Which context of the kubeconfig; its current one if `None`.
    pub context: Option<String>,
    /// Where instances listen; the first port of the template's containers if `None`.
    pub port: Option<u16>,
    /// Where in an object its host is told, as a JSON pointer; pods have it in a place of their own.
    pub address: Option<String>,
    /// What owns the instances.
    pub owner: Option<Owner>,
    /// How long an instance may take until it is ready.
    pub start_timeout: Duration,
    /// How long an instance may take to end in order.
    pub stop_grace: Duration,
    /// How long an instance may be not ready before it counts as stuck.
    pub unready_timeout: Duration,
    /// The deadline of each call.
    pub call_timeout: Duration,
}

impl KubernetesSpec {
    /// Instances from this template, everything else at its default: the cluster of the kubeconfig,
    /// 2 min to start, 30 s to end, 1 min not ready, 10 s a call.
    pub fn new(template: Template) -> Self {
        Self {
            template,
            namespace: None,
            kubeconfig: None,
            context: None,
            port: None,
            address: None,
            owner: None,
            start_timeout: Duration::from_mins(2),
            stop_grace: Duration::from_secs(30),
            unready_timeout: Duration::from_mins(1),
            call_timeout: Duration::from_secs(10),
        }
    }

    /// Checks everything that can be known before the cluster is asked.
    ///
    /// # Errors
    /// [`SpecError`] names the first field at fault.
    pub fn validate(&self) -> Result<(), SpecError> {
        if !cfg!(feature = "kubernetes") {
            return Err(TemplateError::NoKubernetes.into());
        }
        for namespace in [self.namespace.as_deref(), self.template.namespace()] {
            if let Some(name) = namespace.filter(|name| !is_label(name)) {
                return Err(SpecError::Namespace(name.to_owned()));
            }
        }
        self.validate_namespaces()?;
        if self.port == Some(0) || self.is_pod() && self.port().is_none() {
            return Err(SpecError::NoPort);
        }
        let pointer = self.address();
        if !self.is_pod() && pointer.is_none_or(|pointer| !pointer.starts_with('/')) {
            return Err(SpecError::NoAddress(self.template.kind().to_owned()));
        }
        for (name, duration) in [
            ("start_timeout", self.start_timeout),
            ("call_timeout", self.call_timeout),
            ("unready_timeout", self.unready_timeout),
        ] {
            if duration.is_zero() {
                return Err(SpecError::Zero(name));
            }
        }
        Ok(())
    }

    fn validate_namespaces(&self) -> Result<(), SpecError> {
        match (&self.namespace, self.template.namespace()) {
            (Some(own), Some(templates)) if own != templates => Err(SpecError::Namespaces {
                own: own.clone(),
                template: templates.to_owned(),
            }),
            _ => Ok(()),
        }
    }

    /// Whether instances are pods.
    pub(super) fn is_pod(&self) -> bool {
        self.template.kind() == "Pod"
    }

    /// Where instances listen.
    pub(super) fn port(&self) -> Option<u16> {
        self.port.or_else(|| self.template.port())
    }

    /// Where in an object its host is told, if it is no pod.
    pub(super) fn address(&self) -> Option<&str> {
        let group = self.template.api_version().split('/').next();
        let known = group == Some("agents.x-k8s.io") && self.template.kind() == "Sandbox";
        let known = known.then_some(SANDBOX_ADDRESS);
        self.address.as_deref().or(known)
    }

    /// The namespace that is named, if one is.
    #[cfg(feature = "kubernetes")]
    pub(super) fn namespace(&self) -> Option<&str> {
        self.namespace
            .as_deref()
            .or_else(|| self.template.namespace())
    }

    /// A text that changes when instances must be replaced. What is left out adds nothing to it, so
    /// that an upgrade which knows more to tell replaces nothing.
    pub fn identity(&self) -> String {
        let text = |value: &Option<String>| value.clone().unwrap_or_default();
        let (namespace, context) = (text(&self.namespace), text(&self.context));
        let port = self.port().unwrap_or_default();
        let mut identity = format!(
            "{}\0{namespace}\0{context}\0{port}",
            self.template.canonical()
        );
        if let Some(address) = &self.address {
            identity.extend(["\0address\0", address]);
        }
        if let Some(owner) = &self.owner {
            let named = [&owner.api_version, &owner.kind, &owner.name];
            identity.push_str("\0owner");
            identity.extend(named.into_iter().flat_map(|part| ["\0", part]));
        }
        identity
    }
}

/// Whether a text can name a namespace.
fn is_label(name: &str) -> bool {
    let inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    !name.is_empty()
        && name.len() <= MAX_NAMESPACE
        && name.bytes().all(inner)
        && !name.starts_with('-')
        && !name.ends_with('-')
}

#[cfg(feature = "kubernetes")]
#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn spec() -> KubernetesSpec {
        let container = json!({ "name": "a", "image": "b", "ports": [{ "containerPort": 80 }] });
        let pod = json!({
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": { "namespace": "games" },
            "spec": { "containers": [container] },
        });
        KubernetesSpec::new(Template::of(pod).unwrap())
    }

    fn refused(change: impl FnOnce(&mut KubernetesSpec)) -> String {
        let mut spec = spec();
        change(&mut spec);
        spec.validate().unwrap_err().to_string()
    }

    #[test]
    fn defaults_are_usable_and_each_fault_is_named() {
        assert_eq!(spec().validate(), Ok(()));
        assert_eq!(
            (spec().namespace(), spec().port()),
            (Some("games"), Some(80))
        );
        assert!(refused(|spec| spec.namespace = Some("other".into())).contains("other"));
        assert!(refused(|spec| spec.namespace = Some("Games".into())).contains("Games"));
        assert!(refused(|spec| spec.port = Some(0)).contains("`port`"));
        assert!(refused(|spec| spec.call_timeout = Duration::ZERO).contains("call_timeout"));
        let service = json!({ "apiVersion": "example.dev/v1", "kind": "Game", "spec": {} });
        let service = Template::of(service).unwrap();
        assert!(refused(|spec| spec.template = service).contains("`address`"));
    }

    #[test]
    fn a_sandbox_tells_its_address_in_a_known_place() {
        let sandbox = json!({
            "apiVersion": "agents.x-k8s.io/v1alpha1",
            "kind": "Sandbox",
            "spec": { "podTemplate": {} },
        });
        let mut spec = KubernetesSpec::new(Template::of(sandbox).unwrap());
        assert_eq!(spec.validate(), Ok(()));
        assert_eq!(spec.address(), Some("/status/serviceFQDN"));
        spec.address = Some("/status/podIPs/0".into());
        assert_eq!(spec.address(), Some("/status/podIPs/0"));
    }

    #[test]
    fn instances_are_replaced_when_what_they_are_made_from_changes() {
        let mut other = spec();
        other.start_timeout = Duration::from_secs(5);
        assert_eq!(spec().identity(), other.identity());
        other.port = Some(81);
        assert_ne!(spec().identity(), other.identity());
        let owned_by = |name: &str| {
            let mut owned = spec();
            owned.owner = Some(Owner {
                api_version: "apps/v1".into(),
                kind: "Deployment".into(),
                name: name.into(),
            });
            owned.identity()
        };
        assert_ne!(spec().identity(), owned_by("a"));
        assert_ne!(owned_by("a"), owned_by("b"));
        let mut told_elsewhere = spec();
        told_elsewhere.address = Some("/status/host".into());
        assert_ne!(spec().identity(), told_elsewhere.identity());
    }
}
