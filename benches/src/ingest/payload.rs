//! What the kubelets of a cluster tell of its pods, as a Prometheus that scrapes them sends it on.

use std::net::SocketAddr;

use anyhow::Context as _;
use foreshadow_telemetry::{Label, TimeSeries, WriteRequest, WriteSample};
use prost::Message as _;

use super::post::Poster;
use crate::clock::{now_ms, seconds};

/// Pods, each of two containers.
const PODS: u64 = 2_000;
/// Scrapes, and how far they are apart.
const ROUNDS: i64 = 400;
const SCRAPE_MS: i64 = 15_000;
/// Connections, each of which sends its share of the series in the order of their time, as the shards
/// of a remote write queue do.
const SHARDS: usize = 4;

/// What is counted for each container.
const OF_CONTAINER: [(&str, f64); 4] = [
    ("container_cpu_usage_seconds_total", 0.37),
    ("container_memory_working_set_bytes", 0.0),
    ("container_fs_reads_bytes_total", 51_200.0),
    ("container_fs_writes_bytes_total", 9_216.0),
];
/// What is counted for each pod.
const OF_POD: [(&str, f64); 2] = [
    ("container_network_receive_bytes_total", 88_000.0),
    ("container_network_transmit_bytes_total", 12_000.0),
];

/// Bodies that are ready to be sent, by shard.
pub(super) struct Payload {
    pub(super) samples: u64,
    shards: Vec<Vec<Vec<u8>>>,
}

impl Payload {
    /// With this many samples in a body; the last scrape is of the present moment.
    pub(super) fn new(batch: usize) -> anyhow::Result<Self> {
        let series = series();
        let begin = now_ms() - ROUNDS * SCRAPE_MS;
        let mut payload = Self {
            samples: series.len() as u64 * ROUNDS as u64,
            shards: Vec::new(),
        };
        for shard in 0..SHARDS {
            let mine: Vec<&Known> = series.iter().skip(shard).step_by(SHARDS).collect();
            payload.shards.push(bodies(&mine, begin, batch)?);
        }
        Ok(payload)
    }

    /// Sends all to a server and says how many seconds it took.
    pub(super) fn send(&self, address: SocketAddr) -> anyhow::Result<f64> {
        let mut outcome = Ok(());
        let took_s = seconds(|| outcome = self.send_all(address));
        outcome.map(|()| took_s)
    }

    fn send_all(&self, address: SocketAddr) -> anyhow::Result<()> {
        std::thread::scope(|scope| {
            let send = |bodies: &'_ Vec<Vec<u8>>| {
                let poster = Poster::new(address);
                bodies.iter().try_for_each(|body| poster.write(body))
            };
            let senders: Vec<_> = self
                .shards
                .iter()
                .map(|bodies| scope.spawn(move || send(bodies)))
                .collect();
            for sender in senders {
                sender.join().ok().context("a sender panicked")??;
            }
            Ok(())
        })
    }
}

/// A series and how fast it grows.
struct Known {
    labels: Vec<Label>,
    first: f64,
    per_scrape: f64,
}

/// All series, those of one metric together, as a scrape gives them.
fn series() -> Vec<Known> {
    let mut series = Vec::new();
    for (metric, per_scrape) in OF_CONTAINER {
        for pod in 0..PODS {
            for container in ["main", "sidecar"] {
                let labels = of_container(metric, pod, container);
                series.push(known(labels, pod, per_scrape));
            }
        }
    }
    for (metric, per_scrape) in OF_POD {
        for pod in 0..PODS {
            series.push(known(of_pod(metric, pod), pod, per_scrape));
        }
    }
    series
}

fn known(labels: Vec<Label>, pod: u64, per_scrape: f64) -> Known {
    Known {
        labels,
        first: (1 << 20) as f64 + pod as f64,
        per_scrape: per_scrape * (1.0 + (pod % 7) as f64),
    }
}

fn of_container(metric: &str, pod: u64, container: &str) -> Vec<Label> {
    let id = hex(pod * 31 + container.len() as u64, 64);
    let scope = format!("{}/cri-containerd-{id}.scope", slice(pod));
    let image = format!("registry.example.org/shop/{container}:v1.{}", pod % 40);
    labels(&[
        ("__name__", metric),
        ("container", container),
        ("id", &scope),
        ("image", &image),
        ("instance", &node(pod)),
        ("job", "kubelet"),
        ("metrics_path", "/metrics/cadvisor"),
        ("name", &id),
        ("namespace", namespace(pod)),
        ("pod", &name(pod)),
    ])
}

fn of_pod(metric: &str, pod: u64) -> Vec<Label> {
    labels(&[
        ("__name__", metric),
        ("id", &slice(pod)),
        ("instance", &node(pod)),
        ("interface", "eth0"),
        ("job", "kubelet"),
        ("metrics_path", "/metrics/cadvisor"),
        ("namespace", namespace(pod)),
        ("pod", &name(pod)),
    ])
}

fn slice(pod: u64) -> String {
    let unit = hex(pod + 7, 32);
    format!("/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod{unit}.slice")
}

fn node(pod: u64) -> String {
    format!("10.0.{}.{}:10250", pod % 4, pod / 4 % 20)
}

fn namespace(pod: u64) -> &'static str {
    ["shop", "search", "billing", "batch"][(pod % 4) as usize]
}

fn name(pod: u64) -> String {
    format!("worker-{}-{}", pod % 90, hex(pod, 10))
}

/// Digits that look like a hash, made by the mixer of splitmix64.
fn hex(seed: u64, digits: usize) -> String {
    let mut text = String::new();
    let mut state = seed;
    while text.len() < digits {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let digits = format!("{:016x}", mixed ^ (mixed >> 27));
        text.push_str(&digits);
    }
    text.truncate(digits);
    text
}

fn labels(pairs: &[(&str, &str)]) -> Vec<Label> {
    let label = |(name, value): &(&str, &str)| Label {
        name: name.as_bytes().to_vec().into(),
        value: value.as_bytes().to_vec().into(),
    };
    pairs.iter().map(label).collect()
}

/// All scrapes of some series, packed in the order of their time.
fn bodies(series: &[&Known], begin_ms: i64, batch: usize) -> anyhow::Result<Vec<Vec<u8>>> {
    let mut bodies = Vec::new();
    let mut request = WriteRequest::default();
    for round in 1..=ROUNDS {
        for one in series {
            request.timeseries.push(TimeSeries {
                labels: one.labels.clone(),
                samples: vec![WriteSample {
                    value: one.first + one.per_scrape * round as f64,
                    timestamp: begin_ms + round * SCRAPE_MS,
                }],
            });
            if request.timeseries.len() == batch {
                bodies.push(packed(&mut request)?);
            }
        }
    }
    if !request.timeseries.is_empty() {
        bodies.push(packed(&mut request)?);
    }
    Ok(bodies)
}

fn packed(request: &mut WriteRequest) -> anyhow::Result<Vec<u8>> {
    let bytes = request.encode_to_vec();
    request.timeseries.clear();
    Ok(snap::raw::Encoder::new().compress_vec(&bytes)?)
}
