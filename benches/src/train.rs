//! Training steps, beside the same network in `PyTorch`.

use std::time::Duration;

use foreshadow_forecast::{Panel, SeriesId};
use foreshadow_lstm::{ChunkSize, Compute, Fit, FitData, FitOptions, Variety};
use foreshadow_types::{EntityId, Timestamp};
use serde_json::json;

use crate::{
    clock::seconds,
    forecast::{Exported, network},
    peers::Peers,
    report::{Row, median},
};

const CHUNK: ChunkSize = ChunkSize {
    lanes: 128,
    steps: 64,
    origins: 6,
    draws: 8,
    dropout: 0.3,
};
const SERIES: usize = 200;
const BINS: usize = 1_000;
const WARM_UP: u64 = 2;
const RUNS: usize = 7;

/// Series-steps a second, features, gradient and Adam included.
pub(crate) fn rows() -> anyhow::Result<Vec<Row>> {
    let network = network()?;
    let options = FitOptions {
        network: network.size().clone(),
        chunk: CHUNK,
        variety: Variety {
            mixed: 0.0,
            reversed: 0.0,
        },
        rate: 1e-3,
        decay: 0.0,
        warm_up: WARM_UP,
        average_over: 50.0,
        seed: 1,
    };
    let data = FitData::new(vec![(panel()?, BINS, 1.0)]);
    let mut fit = Fit::new(options, data, Compute::cpu())?;
    for _ in 0..WARM_UP {
        fit.step(0.0);
    }
    let mut run = |_| {
        let spent = seconds(|| {
            fit.step(0.5);
        });
        (CHUNK.lanes * CHUNK.steps) as f64 / spent
    };
    let value = median((0..RUNS).map(&mut run).collect::<Vec<f64>>());
    let sizes = json!({
        "rows": CHUNK.lanes, "chunk_steps": CHUNK.steps, "origins": CHUNK.origins,
        "draws": CHUNK.draws,
    });
    let answer = Exported::training(&network, sizes)?.ask(&Peers::find()?, "train")?;
    Ok(vec![Row {
        name: "train",
        value,
        unit: "series-steps/s",
        peer: "pytorch_train",
        peer_value: answer["pytorch_train"].as_f64().unwrap_or(f64::NAN),
    }])
}

/// Days and noise.
fn panel() -> anyhow::Result<Panel> {
    let ids = (0..SERIES).map(|row| {
        Ok(SeriesId::of_entity(
            EntityId::new(&format!("e{row}"))?,
            "cpu".to_owned(),
        ))
    });
    let value = |index: usize| {
        let (row, bin) = (index / BINS, index % BINS);
        let day = (bin as f32 * std::f32::consts::TAU / 288.0).sin();
        let noise = ((index * 7_919) % 101) as f32 / 101.0;
        (1 + row) as f32 * (2.0 + day + noise)
    };
    Ok(Panel::new(
        Timestamp::from_millis(0),
        Duration::from_mins(5),
        ids.collect::<anyhow::Result<_>>()?,
        BINS,
        (0..SERIES * BINS).map(value).collect(),
    ))
}
