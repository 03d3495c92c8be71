//! The records as they lie on disk: the ledger's own, so that the core can change without the
//! file's format changing. Text is borrowed in both directions.

mod allocation;
mod event;
pub(crate) mod format_1;
mod instance;
mod pool;

pub(crate) use event::EventRecord;

use foreshadow_types::{Bytes, Labels, PoolName, Shape, Timestamp, Vcpus};

/// What is wrong with a record.
pub(crate) type Wrong = String;

fn time(millis: i64) -> Timestamp {
    Timestamp::from_millis(millis)
}

fn pool_name(name: &str) -> Result<PoolName, Wrong> {
    PoolName::new(name).map_err(|error| error.to_string())
}

/// GPUs, thousandths of a CPU, bytes, storage operations and megabits a second.
type ShapeRecord = (u32, u64, u64, u64, u64);

fn shape_record(shape: &Shape) -> ShapeRecord {
    let vcpus = shape.vcpus.thousandths();
    let (iops, mbps) = (shape.storage_iops, shape.network_mbps);
    (shape.gpus, vcpus, shape.memory.0, iops, mbps)
}

fn shape((gpus, vcpus, memory, storage_iops, network_mbps): ShapeRecord) -> Shape {
    Shape {
        gpus,
        vcpus: Vcpus::from_thousandths(vcpus),
        memory: Bytes(memory),
        storage_iops,
        network_mbps,
    }
}

/// Labels, borrowed.
type LabelsRecord<'a> = Vec<(&'a str, &'a str)>;

fn labels_record(labels: &Labels) -> LabelsRecord<'_> {
    let labels = labels.iter();
    labels.map(|(k, v)| (k.as_str(), v.as_str())).collect()
}

fn labels(record: LabelsRecord<'_>) -> Labels {
    let owned = |(key, value): (&str, &str)| (key.to_owned(), value.to_owned());
    record.into_iter().map(owned).collect()
}
