//! Instances in a Kubernetes cluster, as written in the configuration.

use std::path::Path;

use foreshadow_providers::{KubernetesSpec, Owner, Template};
use serde::Deserialize;

use super::{
    RawPool,
    provider::{of_grpc, of_process, refuse},
    set,
};

/// An object of the cluster that owns instances.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawOwner {
    api_version: String,
    kind: String,
    name: String,
}

/// The keys that only an instance in a cluster has.
pub(super) fn given(raw: &RawPool) -> [(&'static str, bool); 8] {
    [
        ("template", raw.template.is_some()),
        ("namespace", raw.namespace.is_some()),
        ("kubeconfig", raw.kubeconfig.is_some()),
        ("context", raw.context.is_some()),
        ("port", raw.port.is_some()),
        ("address", raw.address.is_some()),
        ("owner", raw.owner.is_some()),
        ("unready_timeout", raw.unready_timeout.is_some()),
    ]
}

/// What has instances in a cluster, or what is wrong with it. Files are looked for from `base`.
pub(super) fn spec(raw: &RawPool, base: &Path) -> Result<KubernetesSpec, String> {
    refuse(&of_process(raw), "process")?;
    refuse(&of_grpc(raw), "grpc")?;
    let elsewhere = [("probe", raw.probe.is_some()), ("hold", raw.hold.is_some())];
    if let Some((key, _)) = elsewhere.iter().find(|(_, given)| *given) {
        return Err(format!(
            "`{key}` is not for `provider = \"kubernetes\"`; what a pod is probed by is in its template"
        ));
    }
    let Some(path) = &raw.template else {
        return Err(
            "missing field `template`; give a file with the manifest of one pod".to_owned(),
        );
    };
    let mut spec = KubernetesSpec::new(template(&base.join(path))?);
    spec.namespace.clone_from(&raw.namespace);
    spec.kubeconfig = raw.kubeconfig.as_ref().map(|path| base.join(path));
    spec.context.clone_from(&raw.context);
    spec.port = raw.port;
    spec.address.clone_from(&raw.address);
    spec.owner = raw.owner.clone().map(|owner| Owner {
        api_version: owner.api_version,
        kind: owner.kind,
        name: owner.name,
    });
    let (start_timeout, stop_grace) = (raw.start_timeout, raw.stop_grace);
    set(&mut spec.start_timeout, start_timeout.map(|span| span.0));
    set(&mut spec.stop_grace, stop_grace.map(|span| span.0));
    let (unready, call) = (raw.unready_timeout, raw.call_timeout);
    set(&mut spec.unready_timeout, unready.map(|span| span.0));
    set(&mut spec.call_timeout, call.map(|span| span.0));
    Ok(spec)
}

fn template(path: &Path) -> Result<Template, String> {
    let read = Template::read(path);
    read.map_err(|error| format!("`template` is `{}`: {error}", path.display()))
}
