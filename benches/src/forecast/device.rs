//! What a graphics card adds to the figures: how far its answers are from the kernel's, and what of its
//! link and of arithmetic the ticks used.

use std::sync::{Mutex, PoisonError};

use foreshadow_lstm::{Compute, LiveBatch, Network, Slot};
use foreshadow_types::Timestamp;

use super::{INTERVAL, RUNS, STEPS};
use crate::{clock::seconds, report::median};

/// Numbers that are copied to the card and back at once: those of a batch of some thousand series.
const COPIED: usize = 4 << 20;

/// Prints it, beside ticks and the series a second that they renewed.
pub(super) fn tell(
    network: &Network,
    compute: &Compute,
    ticks: &[(&str, f64)],
) -> anyhow::Result<()> {
    let name = compute.name();
    if compute.is_software() {
        eprintln!("`{name}` is a software adapter: the CPU plays it, and its rates are no card's");
    } else {
        eprintln!("ticks ran on `{name}`");
    }
    anyhow::ensure!(
        !compute.is_lost(),
        "`{name}` failed; the CPU took its place"
    );
    let parity = parity(network, compute)?;
    eprintln!("largest difference from the CPU kernel: {parity:.1e} of max(1, |quantile|)");
    let link = link(compute)?;
    let size = network.size();
    let [there, back] = size.traffic(STEPS).map(|numbers| (4 * numbers) as f64);
    let flop = 2.0 * size.multiplications(STEPS) as f64;
    eprintln!(
        "copies to it and back: {:.2} GB/s, both ways counted; a series takes {there:.0} bytes there, \
         {back:.0} back, {:.2} MFLOP",
        link / 1e9,
        flop / 1e6
    );
    for (tick, rate) in ticks {
        eprintln!(
            "{tick}: {:.1} GFLOP/s, {:.2} GB/s, {:.0} % of what the copies reached",
            rate * flop / 1e9,
            rate * (there + back) / 1e9,
            rate * (there + back) / link * 100.0
        );
    }
    Ok(())
}

/// The largest difference of a quantile, relative to the larger of one and the kernel's.
fn parity(network: &Network, compute: &Compute) -> anyhow::Result<f32> {
    let expected = quantiles(network)?;
    let found = quantiles(&network.clone().on(compute))?;
    let apart =
        |(found, expected): (&f32, &f32)| (found - expected).abs() / expected.abs().max(1.0);
    let all = found.iter().zip(&expected).map(apart);
    Ok(all.fold(0.0, |most, one| {
        if one > most || one.is_nan() {
            one
        } else {
            most
        }
    }))
}

/// Those of some series after some bins.
fn quantiles(network: &Network) -> anyhow::Result<Vec<f32>> {
    const SERIES: usize = 5_000;
    const BINS: usize = 20;
    let mut batch = LiveBatch::new(network.clone(), INTERVAL);
    let slots: Vec<Slot> = (0..SERIES).map(|_| batch.add()).collect();
    let mut at = Timestamp::from_millis(0);
    for bin in 0..BINS {
        at = at + INTERVAL;
        batch.advance(at, |slot| ((slot.index() * 7 + bin * bin) % 97) as f32);
    }
    let numbers = STEPS * network.size().levels.len();
    let all = Mutex::new(vec![f32::NAN; SERIES * numbers]);
    batch.for_each(&slots, STEPS, |place, values| {
        let mut all = all.lock().unwrap_or_else(PoisonError::into_inner);
        all[place * numbers..][..numbers].copy_from_slice(values);
    })?;
    Ok(all.into_inner().unwrap_or_else(PoisonError::into_inner))
}

/// Bytes a second of plain copies to the card and back, both counted.
fn link(compute: &Compute) -> anyhow::Result<f64> {
    let numbers: Vec<f32> = (0..COPIED).map(|number| number as f32).collect();
    let mut rates = Vec::new();
    for run in 0..=RUNS {
        let mut back = None;
        let spent = seconds(|| back = compute.there_and_back(&numbers));
        anyhow::ensure!(back.as_ref() == Some(&numbers), "the copy failed");
        if run > 0 {
            rates.push(8.0 * COPIED as f64 / spent);
        }
    }
    Ok(median(rates))
}
