//! A tick of forecasts for many series, beside re-encoding a window for each.

use std::time::Duration;

use foreshadow_lstm::{LiveBatch, Network, Slot};
use foreshadow_training::TrainOptions;
use foreshadow_types::Timestamp;

use crate::{
    clock::seconds,
    report::{Row, median},
};

const INTERVAL: Duration = Duration::from_mins(5);
/// The window that a model without carried state encodes at each tick.
const WINDOW: u32 = 96;
const RUNS: usize = 5;

/// Series a second that one tick advances.
pub(crate) fn rows() -> anyhow::Result<Vec<Row>> {
    [("tick_1k", 1_000, RUNS), ("tick_100k", 100_000, 3)]
        .into_iter()
        .map(|(name, series, runs)| row(name, series, runs))
        .collect()
}

fn row(name: &'static str, series: usize, runs: usize) -> anyhow::Result<Row> {
    let size = TrainOptions::default().network;
    let weights = size.initial_weights(1);
    let network = Network::new(size, weights)?;
    let mut batch = LiveBatch::new(network, INTERVAL);
    for _ in 0..series {
        batch.add();
    }
    let mut at = Timestamp::from_millis(0);
    let mut tick = |ticks: u32| {
        seconds(|| {
            for _ in 0..ticks {
                at = at + INTERVAL;
                batch.advance(at, |slot: Slot| slot.index() as f32);
            }
        })
    };
    tick(1);
    let (mut steps, mut windows) = (Vec::new(), Vec::new());
    for _ in 0..runs {
        steps.push(series as f64 / tick(1));
        // A window of a hundred thousand series takes minutes; a sixth of one tells its rate.
        windows.push(series as f64 / (tick(WINDOW / 6) * 6.0));
    }
    Ok(Row {
        name,
        value: median(steps),
        unit: "series/s",
        peer: "window_96",
        peer_value: median(windows),
    })
}
