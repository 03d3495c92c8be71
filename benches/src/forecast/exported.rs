//! A network and one tick of it as files that a peer reads.

use std::{fs, path::Path};

use foreshadow_lstm::{Features, Network, NetworkSize};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::state_floats;
use crate::peers::Peers;

/// Series in the tick that peers are checked with.
const SERIES: usize = 17;

/// The files, for as long as this lives.
#[derive(Debug)]
pub(crate) struct Exported {
    folder: TempDir,
}

impl Exported {
    /// The weights, and a tick with its answers.
    pub(crate) fn tick(network: &Network, steps: usize) -> anyhow::Result<Self> {
        let features = Features::random(SERIES, steps, 2);
        let state: Vec<f32> = (0..state_floats(network) * SERIES)
            .map(|index| (index as f32 * 0.37).sin())
            .collect();
        let quantiles = network.tick(&features, &mut state.clone());
        let files = [
            ("weights", network.weights()),
            ("state", &state),
            ("inputs", &features.inputs),
            ("ahead", &features.ahead),
            ("anchors", &features.anchors),
            ("quantiles", &quantiles),
        ];
        let sizes = json!({ "series": SERIES, "steps": steps });
        Self::write(network, sizes, &files)
    }

    /// The weights, and the sizes of a training step.
    pub(crate) fn training(network: &Network, sizes: Value) -> anyhow::Result<Self> {
        Self::write(network, sizes, &[("weights", network.weights())])
    }

    fn write(network: &Network, sizes: Value, files: &[(&str, &[f32])]) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        let [inputs, ahead, anchors] = NetworkSize::widths();
        let size = network.size();
        let mut all = json!({
            "hidden": size.hidden, "layers": size.layers, "head": size.head,
            "head_inner": size.head_inner, "levels": size.levels,
            "inputs": inputs, "ahead": ahead, "anchors": anchors,
        });
        if let (Value::Object(all), Value::Object(more)) = (&mut all, sizes) {
            all.extend(more);
        }
        fs::write(folder.path().join("sizes.json"), all.to_string())?;
        for (name, numbers) in files {
            write_floats(&folder.path().join(format!("{name}.f32")), numbers)?;
        }
        Ok(Self { folder })
    }

    /// Lets the peers work on it.
    pub(crate) fn ask(&self, peers: &Peers, part: &str) -> anyhow::Result<Value> {
        let folder = self.folder.path().to_string_lossy();
        peers.ask("lstm.py", &[&folder, part])
    }
}

fn write_floats(path: &Path, numbers: &[f32]) -> std::io::Result<()> {
    let bytes: Vec<u8> = numbers.iter().flat_map(|x| x.to_le_bytes()).collect();
    fs::write(path, bytes)
}
