//! What a killed run goes on from.

use std::{fs, io, path::Path};

use foreshadow_forecast::Panel;
use foreshadow_lstm::{FitOptions, FitState, Network};
use serde::{Deserialize, Serialize};

use crate::files;

/// The state after an epoch.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Checkpoint {
    /// Of the options and the data: a run with others starts anew.
    pub(crate) fingerprint: u64,
    pub(crate) epoch: u64,
    pub(crate) elapsed_ms: u64,
    pub(crate) best: Best,
    pub(crate) fit: FitState,
}

/// The best weights so far.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Best {
    pub(crate) epoch: u64,
    pub(crate) loss: f64,
    pub(crate) weights: Vec<f32>,
}

/// The file's name within the model's folder.
pub(crate) const CHECKPOINT: &str = "checkpoint.bin";

/// The checkpoint at `path`, if there is one of this run. A damaged one is as good as none, since
/// only time is lost.
pub(crate) fn read(path: &Path, fingerprint: u64) -> Option<Checkpoint> {
    let bytes = fs::read(path).ok()?;
    let checkpoint: Checkpoint = postcard::from_bytes(&bytes).ok()?;
    (checkpoint.fingerprint == fingerprint).then_some(checkpoint)
}

/// Replaces the checkpoint at `path`.
pub(crate) fn write(path: &Path, checkpoint: &Checkpoint) -> io::Result<()> {
    let bytes = postcard::to_stdvec(checkpoint).map_err(io::Error::other)?;
    files::write_atomically(path, &bytes)
}

/// A number that differs where options, weights to begin with or data do (FNV-1a).
pub(crate) fn fingerprint<'a>(
    options: &FitOptions,
    epochs: u64,
    from: Option<&Network>,
    panels: impl Iterator<Item = &'a Panel>,
) -> u64 {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    let mut add = |word: u64| hash = (hash ^ word).wrapping_mul(0x0100_0000_01b3);
    for byte in format!("{options:?} {epochs}").bytes() {
        add(u64::from(byte));
    }
    for weight in from.into_iter().flat_map(Network::weights) {
        add(u64::from(weight.to_bits()));
    }
    for panel in panels {
        for byte in format!("{:?} {:?}", panel.start(), panel.interval()).bytes() {
            add(u64::from(byte));
        }
        for (series, id) in panel.ids().iter().enumerate() {
            for byte in id.entity.as_str().bytes().chain(id.metric.bytes()) {
                add(u64::from(byte));
            }
            for value in panel.series(series) {
                add(u64::from(value.to_bits()));
            }
        }
    }
    hash
}
