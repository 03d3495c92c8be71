//! What instances are made from: a pod, or another object that a controller of the cluster serves.

use std::path::Path;

use serde_json::Value;
use thiserror::Error;

/// The largest file of a template; an API server takes objects of about this size.
#[cfg(feature = "kubernetes")]
const MAX_BYTES: usize = 1024 * 1024;

/// What labels and annotations of ours begin with.
pub(super) const PREFIX: &str = "foreshadow.dev/";

/// Why a template was refused.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum TemplateError {
    /// This build cannot talk to a cluster.
    #[error(
        "this build has no Kubernetes; build one with `cargo build --release -p foreshadow \
         --features cluster`"
    )]
    NoKubernetes,
    /// The file cannot be read.
    #[error("{0}")]
    Unreadable(String),
    /// It is not YAML, or several documents.
    #[error("it is not one document of YAML: {0}")]
    Yaml(String),
    /// It is larger than an API server takes.
    #[error("it has {0} bytes; at most 1048576 are allowed")]
    TooLarge(usize),
    /// A field has a value of another type.
    #[error("it does not fit its kind: {0}")]
    Malformed(String),
    /// A part that must be there is missing or of another type.
    #[error("it has no `{0}`; give the manifest of one pod, as for `kubectl create`")]
    Missing(String),
    /// A pod under another version of the API.
    #[error("it is a Pod of `{0}`; pods are of `v1`")]
    Version(String),
    /// Names are given to instances, not taken from the template.
    #[error("it gives `{0}`, which each instance has of its own; leave it out")]
    Given(&'static str),
    /// A label or annotation that is set on every instance.
    #[error("it gives `{0}`; what begins with `foreshadow.dev/` is set on every instance")]
    Reserved(String),
}

/// An object without a name, checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template {
    object: Value,
}

impl Template {
    /// Reads a template from YAML, of which JSON is a part.
    ///
    /// # Errors
    /// [`TemplateError`] names what is at fault.
    #[cfg(feature = "kubernetes")]
    pub fn parse(text: &str) -> Result<Self, TemplateError> {
        if text.len() > MAX_BYTES {
            return Err(TemplateError::TooLarge(text.len()));
        }
        let read = serde_saphyr::from_str::<Value>(text).map_err(|error| {
            let told = error.to_string();
            let line = told.lines().next().unwrap_or_default();
            TemplateError::Yaml(line.trim_start_matches("error: ").to_owned())
        });
        let template = Self::of(read?)?;
        template.check_types()?;
        Ok(template)
    }

    /// What is known of the types of its fields; the API server checks the rest.
    #[cfg(feature = "kubernetes")]
    fn check_types(&self) -> Result<(), TemplateError> {
        use k8s_openapi::api::core::v1::PodSpec;
        let object = serde_json::from_value::<kube::api::DynamicObject>(self.object.clone());
        let fault = |part: &str, error: serde_json::Error| {
            TemplateError::Malformed(format!("{part}: {error}"))
        };
        let object = object.map_err(|error| fault("metadata", error))?;
        if self.kind() == "Pod" {
            let spec = object.data["spec"].clone();
            serde_json::from_value::<PodSpec>(spec).map_err(|error| fault("spec", error))?;
        }
        Ok(())
    }

    /// Reads a template from a file of YAML.
    ///
    /// # Errors
    /// [`TemplateError`] names what is at fault.
    #[cfg(feature = "kubernetes")]
    pub fn read(path: &Path) -> Result<Self, TemplateError> {
        let text = std::fs::read_to_string(path);
        Self::parse(&text.map_err(|error| TemplateError::Unreadable(error.to_string()))?)
    }

    /// Without Kubernetes there are no templates.
    ///
    /// # Errors
    /// Always [`TemplateError::NoKubernetes`].
    #[cfg(not(feature = "kubernetes"))]
    pub fn read(_path: &Path) -> Result<Self, TemplateError> {
        Err(TemplateError::NoKubernetes)
    }

    /// Checks a template that is at hand as JSON.
    ///
    /// # Errors
    /// [`TemplateError`] names what is at fault.
    pub fn of(object: Value) -> Result<Self, TemplateError> {
        let template = Self { object };
        for part in ["apiVersion", "kind"] {
            if template.text(part).is_none_or(str::is_empty) {
                return Err(TemplateError::Missing(part.to_owned()));
            }
        }
        template.check_metadata()?;
        if !template.object["spec"].is_object() {
            return Err(TemplateError::Missing("spec".to_owned()));
        }
        if template.kind() == "Pod" {
            template.check_pod()?;
        }
        Ok(template)
    }

    /// A template of a kind that nothing can be made from: for instances that are there already.
    #[cfg(feature = "kubernetes")]
    pub(super) fn bare(api_version: &str, kind: &str) -> Self {
        let object = serde_json::json!({ "apiVersion": api_version, "kind": kind, "spec": {} });
        Self { object }
    }

    fn check_metadata(&self) -> Result<(), TemplateError> {
        let metadata = &self.object["metadata"];
        for (key, path) in [
            ("name", "metadata.name"),
            ("generateName", "metadata.generateName"),
            ("uid", "metadata.uid"),
            ("resourceVersion", "metadata.resourceVersion"),
            ("ownerReferences", "metadata.ownerReferences"),
        ] {
            if !metadata[key].is_null() {
                return Err(TemplateError::Given(path));
            }
        }
        for kind in ["labels", "annotations"] {
            let keys = metadata[kind].as_object();
            let mut keys = keys.into_iter().flat_map(serde_json::Map::keys);
            if let Some(key) = keys.find(|key| key.starts_with(PREFIX)) {
                return Err(TemplateError::Reserved(format!("metadata.{kind}.{key}")));
            }
        }
        Ok(())
    }

    fn check_pod(&self) -> Result<(), TemplateError> {
        if self.api_version() != "v1" {
            return Err(TemplateError::Version(self.api_version().to_owned()));
        }
        let containers = self.containers();
        if containers.is_empty() {
            return Err(TemplateError::Missing("spec.containers".to_owned()));
        }
        for (place, container) in containers.iter().enumerate() {
            for key in ["name", "image"] {
                if container[key].as_str().is_none_or(str::is_empty) {
                    let path = format!("spec.containers[{place}].{key}");
                    return Err(TemplateError::Missing(path));
                }
            }
        }
        Ok(())
    }

    fn containers(&self) -> &[Value] {
        let containers = self.object["spec"]["containers"].as_array();
        containers.map_or(&[], Vec::as_slice)
    }

    fn text(&self, key: &str) -> Option<&str> {
        self.object[key].as_str()
    }

    /// Group and version of the API that serves it.
    pub fn api_version(&self) -> &str {
        self.text("apiVersion").unwrap_or_default()
    }

    /// What it is.
    pub fn kind(&self) -> &str {
        self.text("kind").unwrap_or_default()
    }

    /// The namespace that it names, if it does.
    pub fn namespace(&self) -> Option<&str> {
        self.object["metadata"]["namespace"].as_str()
    }

    /// The first port that one of its containers names.
    pub fn port(&self) -> Option<u16> {
        let mut ports = self.containers().iter().filter_map(|container| {
            let ports = container["ports"].as_array()?;
            u16::try_from(ports.first()?["containerPort"].as_u64()?).ok()
        });
        ports.next()
    }

    /// The object as written.
    #[cfg(feature = "kubernetes")]
    pub(super) fn object(&self) -> &Value {
        &self.object
    }

    /// A text that is the same for templates that say the same.
    pub fn canonical(&self) -> String {
        let mut text = String::new();
        write_sorted(&self.object, &mut text);
        text
    }
}

/// JSON with the keys of each object in order.
fn write_sorted(value: &Value, text: &mut String) {
    match value {
        Value::Object(map) => {
            let mut keys: Vec<_> = map.iter().collect();
            keys.sort_by_key(|(key, _)| key.as_str());
            text.push('{');
            for (key, value) in keys {
                text.push_str(&Value::from(key.as_str()).to_string());
                text.push(':');
                write_sorted(value, text);
                text.push(',');
            }
            text.push('}');
        }
        Value::Array(values) => {
            text.push('[');
            for value in values {
                write_sorted(value, text);
                text.push(',');
            }
            text.push(']');
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {
            text.push_str(&value.to_string());
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn pod() -> Value {
        json!({
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": { "labels": { "app": "game" } },
            "spec": { "containers": [
                { "name": "side", "image": "side:1" },
                { "name": "game", "image": "game:1", "ports": [{ "containerPort": 7000 }] },
            ] },
        })
    }

    fn refused(change: impl FnOnce(&mut Value)) -> String {
        let mut object = pod();
        change(&mut object);
        Template::of(object).unwrap_err().to_string()
    }

    #[test]
    fn a_template_is_one_pod_without_a_name() {
        let template = Template::of(pod()).unwrap();
        assert_eq!((template.api_version(), template.kind()), ("v1", "Pod"));
        assert_eq!(template.port(), Some(7000));
        assert_eq!(template.namespace(), None);
    }

    #[test]
    fn each_fault_is_named() {
        assert!(refused(|pod| pod["kind"] = Value::Null).contains("`kind`"));
        assert!(refused(|pod| pod["spec"] = Value::Null).contains("`spec`"));
        assert!(refused(|pod| *pod = json!([])).contains("`apiVersion`"));
        assert!(refused(|pod| pod["apiVersion"] = json!("apps/v1")).contains("apps/v1"));
        assert!(refused(|pod| pod["spec"]["containers"] = json!([])).contains("spec.containers"));
        let unnamed = refused(|pod| pod["spec"]["containers"][1]["image"] = json!(""));
        assert!(unnamed.contains("spec.containers[1].image"), "{unnamed}");
        assert!(refused(|pod| pod["metadata"]["name"] = json!("a")).contains("metadata.name"));
        let reserved = refused(|pod| pod["metadata"]["labels"]["foreshadow.dev/pool"] = json!("a"));
        assert!(reserved.contains("metadata.labels.foreshadow.dev/pool"));
    }

    #[test]
    fn other_kinds_are_taken_as_they_are() {
        let sandbox = json!({
            "apiVersion": "agents.x-k8s.io/v1alpha1",
            "kind": "Sandbox",
            "spec": { "podTemplate": { "spec": { "containers": [] } } },
        });
        let template = Template::of(sandbox).unwrap();
        assert_eq!(template.kind(), "Sandbox");
        assert_eq!(template.port(), None);
    }

    #[test]
    fn what_says_the_same_is_the_same_text() {
        let template = Template::of(pod()).unwrap();
        let other = json!({
            "spec": pod()["spec"],
            "metadata": { "labels": { "app": "game" } },
            "kind": "Pod",
            "apiVersion": "v1",
        });
        let other = Template::of(other).unwrap();
        assert_eq!(template.canonical(), other.canonical());
        let mut changed = pod();
        changed["spec"]["containers"][1]["image"] = json!("game:2");
        let changed = Template::of(changed).unwrap();
        assert_ne!(template.canonical(), changed.canonical());
    }

    #[cfg(feature = "kubernetes")]
    #[test]
    fn yaml_and_json_are_read() {
        let yaml = "apiVersion: v1\nkind: Pod\nspec:\n  containers:\n  - name: a\n    image: b\n";
        assert!(Template::parse(yaml).is_ok());
        assert!(Template::parse(&pod().to_string()).is_ok());
        let broken = Template::parse("a: [").unwrap_err().to_string();
        assert!(broken.contains("YAML"), "{broken}");
        assert!(!broken.contains('\n'), "{broken}");
        let two = Template::parse(&format!("{yaml}---\n{yaml}"));
        assert!(matches!(two, Err(TemplateError::Yaml(_))), "{two:?}");
        let words = yaml.replace("image: b", "image: b\n    ports: [http]");
        let misfit = Template::parse(&words).unwrap_err().to_string();
        assert!(misfit.contains("spec: "), "{misfit}");
        let long = Template::parse(&" ".repeat(MAX_BYTES + 1));
        assert!(matches!(long, Err(TemplateError::TooLarge(_))));
    }

    #[cfg(not(feature = "kubernetes"))]
    #[test]
    fn without_the_feature_it_is_said_how_to_have_it() {
        let refused = Template::read(Path::new("pod.yaml"))
            .unwrap_err()
            .to_string();
        assert!(refused.contains("--features cluster"), "{refused}");
    }
}
