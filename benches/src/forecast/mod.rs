//! A tick of forecasts for many series, beside other runtimes and beside re-encoding a window.

mod device;
mod exported;

use std::{
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use foreshadow_forecast::EVALUATION_LEVELS;
use foreshadow_lstm::{Compute, Features, LiveBatch, Network, NetworkSize, Slot};
use foreshadow_training::TrainOptions;
use foreshadow_types::Timestamp;

use crate::{
    clock::seconds,
    peers::Peers,
    process::memory_mb,
    report::{Row, median},
};
pub(crate) use exported::Exported;

const INTERVAL: Duration = Duration::from_mins(5);
/// The steps ahead that a tick forecasts.
const STEPS: usize = 48;
/// Rows of the bare network's chunks: those of serving.
const CHUNK: usize = LiveBatch::BLOCK_ROWS;
/// How far the peers may be from our answers, relative to the larger of 1 and the answer.
const TOLERANCE: f64 = 1e-5;
const RUNS: usize = 5;

/// The shipped network's shape with the nine levels that the comparison asks for.
pub(crate) fn network() -> anyhow::Result<Network> {
    let size = NetworkSize {
        levels: EVALUATION_LEVELS.to_vec(),
        ..TrainOptions::default().network
    };
    let weights = size.initial_weights(1);
    Ok(Network::new(size, weights)?)
}

/// Series a second that a whole tick renews, state and all quantiles; the ticks are computed there.
pub(crate) fn rows(compute: &Compute) -> anyhow::Result<Vec<Row>> {
    let network = network()?;
    // Before anything is freed that could be taken again.
    let memory = memory(&network)?;
    let peers = peers(&network)?;
    let placed = network.clone().on(compute);
    let ours = [
        ("tick_1k", ticks(&placed, 1_000, RUNS)?),
        ("tick_100k", ticks(&placed, 100_000, 3)?),
        ("tick_1m", ticks(&placed, 1_000_000, 3)?),
        ("bare_network", bare(&network)),
    ];
    if !compute.is_cpu() {
        device::tell(&network, compute, &ours[..3])?;
    }
    let beside = |(name, value): (&'static str, f64)| {
        peers.iter().map(move |&(peer, peer_value)| Row {
            name,
            value,
            unit: "series/s",
            peer,
            peer_value,
        })
    };
    let memory = Row {
        name: "memory",
        value: memory,
        unit: "series/GiB",
        peer: "aim_4_kib",
        peer_value: 262_144.0,
    };
    let speed = ours.into_iter().flat_map(beside);
    Ok(std::iter::once(memory).chain(speed).collect())
}

/// How many series a gibibyte of resident memory holds: the state and the memory of each, and the two
/// days of bins that a server keeps of it.
fn memory(network: &Network) -> anyhow::Result<f64> {
    const SERIES: usize = 100_000;
    const KEPT: usize = 577;
    let resident = || memory_mb(std::process::id());
    let before = resident()?;
    let mut batch = LiveBatch::new(network.clone(), INTERVAL);
    for _ in 0..SERIES {
        batch.add();
    }
    // As a server keeps them: in the panel of the latest tick.
    let bins: Vec<f32> = (0..SERIES * KEPT)
        .map(|place| (place / KEPT) as f32)
        .collect();
    batch.advance(Timestamp::from_millis(0), |slot| {
        bins[slot.index() % SERIES * KEPT]
    });
    let took = resident()? - before;
    eprintln!(
        "memory: {:.0} bytes a series",
        took * 1_048_576.0 / SERIES as f64
    );
    drop(bins);
    Ok(SERIES as f64 / (took / 1_024.0))
}

/// The peers' rates in series a second; ours alone remain where they cannot be had.
fn peers(network: &Network) -> anyhow::Result<Vec<(&'static str, f64)>> {
    let window = ("window_96", window(network));
    let python = match Peers::find() {
        Ok(python) => python,
        Err(error) => {
            eprintln!("without PyTorch and ONNX Runtime: {error:#}");
            return Ok(vec![window]);
        }
    };
    let answer = Exported::tick(network, STEPS)?.ask(&python, "forecast")?;
    let number = |key: &str| answer[key].as_f64().unwrap_or(f64::NAN);
    for peer in ["pytorch_difference", "onnxruntime_difference"] {
        let difference = number(peer);
        anyhow::ensure!(difference < TOLERANCE, "{peer}: {difference}");
        eprintln!("{peer}: {difference:.1e}");
    }
    let products = network.size().multiplications(STEPS) as f64;
    Ok(vec![
        ("pytorch_step", number("pytorch_step")),
        ("onnxruntime_step", number("onnxruntime_step")),
        ("pytorch_window", number("pytorch_window")),
        ("sgemm", number("sgemm") / products),
        window,
    ])
}

/// Whole ticks: every series takes a bin, and every quantile of every step is computed.
fn ticks(network: &Network, series: usize, runs: usize) -> anyhow::Result<f64> {
    let mut batch = LiveBatch::new(network.clone(), INTERVAL);
    let slots: Vec<Slot> = (0..series).map(|_| batch.add()).collect();
    let mut at = Timestamp::from_millis(0);
    let mut rates = Vec::new();
    for run in 0..=runs {
        at = at + INTERVAL;
        let numbers = AtomicUsize::new(0);
        let mut outcome = Ok(());
        let spent = seconds(|| {
            batch.advance(at, |slot| ((slot.index() + run) % 97) as f32);
            outcome = batch.for_each(&slots, STEPS, |_, quantiles| {
                numbers.fetch_add(quantiles.len(), Ordering::Relaxed);
            });
        });
        outcome?;
        let expected = series * STEPS * network.size().levels.len();
        anyhow::ensure!(numbers.into_inner() == expected, "a quantile is missing");
        if run > 0 {
            rates.push(series as f64 / spent);
        }
    }
    Ok(median(rates))
}

/// What the peers compute, by our kernel: the network alone, its features given; on two threads.
fn bare(network: &Network) -> f64 {
    const CALLS: usize = 40;
    let features = Features::random(CHUNK, STEPS, 1);
    let work = || {
        let mut state = vec![0.0; state_floats(network) * CHUNK];
        for _ in 0..CALLS {
            network.tick(&features, &mut state);
        }
    };
    let run = |_| {
        let spent = seconds(|| {
            std::thread::scope(|scope| {
                scope.spawn(work);
                scope.spawn(work);
            });
        });
        (2 * CALLS * CHUNK) as f64 / spent
    };
    median((0..RUNS).map(run).collect::<Vec<f64>>())
}

/// A model without carried state encodes a window at each tick: the recurrence of 96 steps.
fn window(network: &Network) -> f64 {
    const WINDOW: u32 = 96;
    const SERIES: usize = 1_024;
    let mut batch = LiveBatch::new(network.clone(), INTERVAL);
    for _ in 0..SERIES {
        batch.add();
    }
    let mut at = Timestamp::from_millis(0);
    let mut run = |_| {
        let spent = seconds(|| {
            for _ in 0..WINDOW {
                at = at + INTERVAL;
                batch.advance(at, |slot| slot.index() as f32);
            }
        });
        SERIES as f64 / spent
    };
    median((0..3).map(&mut run).collect::<Vec<f64>>())
}

/// Floats of recurrent state a series.
pub(crate) fn state_floats(network: &Network) -> usize {
    2 * network.size().layers * network.size().hidden
}
