//! The records as they lie on disk: the ledger's own, so that the core can change without the
//! file's format changing. Text is borrowed in both directions.

mod allocation;
mod event;
mod instance;
mod pool;

pub(crate) use event::EventRecord;

use foreshadow_types::{Bytes, PoolName, Shape, Timestamp, Vcpus};

/// What is wrong with a record.
pub(crate) type Wrong = String;

fn time(millis: i64) -> Timestamp {
    Timestamp::from_millis(millis)
}

fn pool_name(name: &str) -> Result<PoolName, Wrong> {
    PoolName::new(name).map_err(|error| error.to_string())
}

/// Thousandths of a CPU and bytes.
type ShapeRecord = (u64, u64);

fn shape_record(shape: &Shape) -> ShapeRecord {
    (shape.vcpus.thousandths(), shape.memory.0)
}

fn shape((vcpus, memory): ShapeRecord) -> Shape {
    Shape {
        vcpus: Vcpus::from_thousandths(vcpus),
        memory: Bytes(memory),
    }
}
