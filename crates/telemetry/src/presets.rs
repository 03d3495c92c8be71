//! Ready-made mappings for common exporters.

use crate::mapping::{Combine, Mapping, MappingError, MappingText, MetricKind};

/// The names of the ready-made mappings.
pub const PRESETS: [&str; 4] = [
    "kubelet",
    "node-exporter",
    "process-exporter",
    "opentelemetry",
];

type Row = (
    &'static str,
    &'static [&'static str],
    &'static str,
    MetricKind,
    f64,
);

const CPU: &str = "cpu_usage_cores";
const MEMORY: &str = "memory_usage_bytes";
const READ: &str = "disk_read_bytes_per_s";
const WRITTEN: &str = "disk_write_bytes_per_s";
const RECEIVED: &str = "network_receive_bytes_per_s";
const SENT: &str = "network_transmit_bytes_per_s";

use MetricKind::{Counter, Gauge};

/// cAdvisor inside the kubelet: a pod is an application. Sums over the containers leave out the
/// pause container and the pod's own group, which would count everything twice; the network is
/// counted for the pod.
const KUBELET: &[Row] = &[
    (
        "container_cpu_usage_seconds_total",
        &["container!=", "container!=POD"],
        CPU,
        Counter,
        1.0,
    ),
    (
        "container_memory_working_set_bytes",
        &["container!=", "container!=POD"],
        MEMORY,
        Gauge,
        1.0,
    ),
    (
        "container_fs_reads_bytes_total",
        &["container!=", "container!=POD"],
        READ,
        Counter,
        1.0,
    ),
    (
        "container_fs_writes_bytes_total",
        &["container!=", "container!=POD"],
        WRITTEN,
        Counter,
        1.0,
    ),
    (
        "container_network_receive_bytes_total",
        &["interface!=lo"],
        RECEIVED,
        Counter,
        1.0,
    ),
    (
        "container_network_transmit_bytes_total",
        &["interface!=lo"],
        SENT,
        Counter,
        1.0,
    ),
];

/// The node exporter: a machine is an application. Memory in use is all less what is available.
const NODE: &[Row] = &[
    (
        "node_cpu_seconds_total",
        &["mode!=idle", "mode!=iowait", "mode!=steal"],
        CPU,
        Counter,
        1.0,
    ),
    ("node_memory_MemTotal_bytes", &[], MEMORY, Gauge, 1.0),
    ("node_memory_MemAvailable_bytes", &[], MEMORY, Gauge, -1.0),
    ("node_disk_read_bytes_total", &[], READ, Counter, 1.0),
    ("node_disk_written_bytes_total", &[], WRITTEN, Counter, 1.0),
    (
        "node_network_receive_bytes_total",
        &["device!=lo"],
        RECEIVED,
        Counter,
        1.0,
    ),
    (
        "node_network_transmit_bytes_total",
        &["device!=lo"],
        SENT,
        Counter,
        1.0,
    ),
];

/// The process exporter: a group of processes is an application.
const PROCESS: &[Row] = &[
    (
        "namedprocess_namegroup_cpu_seconds_total",
        &[],
        CPU,
        Counter,
        1.0,
    ),
    (
        "namedprocess_namegroup_memory_bytes",
        &["memtype=resident"],
        MEMORY,
        Gauge,
        1.0,
    ),
    (
        "namedprocess_namegroup_read_bytes_total",
        &[],
        READ,
        Counter,
        1.0,
    ),
    (
        "namedprocess_namegroup_write_bytes_total",
        &[],
        WRITTEN,
        Counter,
        1.0,
    ),
];

/// The semantic conventions of OpenTelemetry for processes: a service is an application.
const OPENTELEMETRY: &[Row] = &[
    ("process.cpu.time", &[], CPU, Counter, 1.0),
    ("process.memory.usage", &[], MEMORY, Gauge, 1.0),
    (
        "process.disk.io",
        &["disk.io.direction=read"],
        READ,
        Counter,
        1.0,
    ),
    (
        "process.disk.io",
        &["disk.io.direction=write"],
        WRITTEN,
        Counter,
        1.0,
    ),
    (
        "process.network.io",
        &["network.io.direction=receive"],
        RECEIVED,
        Counter,
        1.0,
    ),
    (
        "process.network.io",
        &["network.io.direction=transmit"],
        SENT,
        Counter,
        1.0,
    ),
];

/// The ready-made mappings of this name.
///
/// # Errors
/// [`MappingError::NoPreset`] if there are none.
pub fn preset(name: &str) -> Result<Vec<Mapping>, MappingError> {
    let (rows, entity) = match name {
        "kubelet" => (KUBELET, "{namespace}/{pod}"),
        "node-exporter" => (NODE, "{instance}"),
        "process-exporter" => (PROCESS, "{groupname}"),
        "opentelemetry" => (OPENTELEMETRY, "{service.name}"),
        _ => return Err(MappingError::NoPreset(name.to_owned())),
    };
    let mappings = rows
        .iter()
        .map(|(metric, conditions, resource, kind, scale)| {
            Mapping::new(&MappingText {
                metric,
                conditions,
                entity,
                resource,
                kind: *kind,
                combine: Combine::Sum,
                scale: *scale,
            })
        });
    mappings.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_are_valid() {
        for name in PRESETS {
            assert!(!preset(name).unwrap().is_empty(), "{name}");
        }
        assert!(preset("nagios").is_err());
    }
}
