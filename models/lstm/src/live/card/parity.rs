//! Serving on a device held to serving on the CPU: on burn's own CPU device always, and on a graphics
//! adapter in builds that have the feature.

use std::{
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use foreshadow_forecast::{Forecaster, Panel, SeriesId};
use foreshadow_types::{EntityId, Timestamp};

use super::{trial::apart, *};
use crate::{
    card::Buckets, device::Adapter, device::Compute, forecaster::LstmForecaster,
    network::NetworkSize, parity::adapter, random::Random,
};

/// How far answers may be apart, relative to the larger of one and the answer.
const TOLERANCE: f32 = 1e-4;

/// The devices there are, with batches of these sizes.
fn devices(blocks: Buckets, series: Buckets) -> Vec<Compute> {
    let stand_in = Some(Adapter::stand_in());
    let found = stand_in.into_iter().chain(adapter());
    let sized = found.map(|found| Compute::on(found.sized(blocks, series)));
    sized.collect()
}

/// A device of a test's own, so that it may fail.
fn small_batches() -> Compute {
    Compute::on(Adapter::stand_in().sized(Buckets::new(1, 1), Buckets::new(64, 64)))
}

/// The shape of the network that is trained, with its eleven levels.
fn network() -> Network {
    let size = NetworkSize {
        hidden: 64,
        layers: 2,
        head: 48,
        head_inner: 32,
        levels: vec![0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.99],
    };
    let weights = size.initial_weights(5);
    Network::new(size, weights).unwrap()
}

/// Series of a few magnitudes with gaps, late starts, values below zero, zeros alone and no sample.
fn panel(series: usize, bins: usize) -> Panel {
    let mut random = Random::new(11, 0);
    let value = |index: usize| {
        let (row, bin) = (index / bins, index % bins);
        let value = 10_f32.powi((row % 3) as i32) * (random.unit() + (bin as f32 / 9.0).sin());
        match row % 7 {
            1 if bin < bins / 2 => f32::NAN,
            2 if random.unit() < 0.3 => f32::NAN,
            3 => 0.0,
            4 if row % 3 == 0 => f32::NAN,
            5 => value.abs().floor(),
            _ => value,
        }
    };
    let entity = |row: usize| EntityId::new(&format!("e{row}")).unwrap();
    let ids = (0..series).map(|row| SeriesId::of_entity(entity(row), "m".to_owned()));
    let values = (0..series * bins).map(value).collect();
    let start = Timestamp::from_millis(1_372_629_600_000);
    let interval = Duration::from_mins(5);
    Panel::new(start, interval, ids.collect(), bins, values)
}

/// All quantiles of all series, `[series, horizon, levels]`.
fn quantiles(batch: &LiveBatch, slots: &[Slot], horizon: usize) -> Vec<f32> {
    let numbers = horizon * batch.levels();
    let all: Vec<std::sync::OnceLock<Vec<f32>>> = vec![std::sync::OnceLock::new(); slots.len()];
    let shown = batch.for_each(slots, horizon, |place, values| {
        assert!(
            all[place].set(values.to_vec()).is_ok(),
            "{place} came twice"
        );
    });
    shown.unwrap();
    let all = all.into_iter().flat_map(|one| one.into_inner().unwrap());
    let all: Vec<f32> = all.collect();
    assert_eq!(all.len(), slots.len() * numbers);
    all
}

fn served_by(network: Network, panel: &Panel) -> (LiveBatch, Vec<Slot>) {
    let blocks = panel.ids().len().div_ceil(BLOCK_ROWS);
    let (batch, slots) = LiveBatch::replayed(network, panel);
    assert_eq!(batch.blocks.len(), blocks);
    (batch, slots)
}

fn states(batch: &LiveBatch) -> Vec<f32> {
    let states = batch.blocks.iter().flat_map(Block::state);
    states.copied().collect()
}

#[test]
fn the_state_after_many_steps_is_the_cpus() {
    let panel = panel(5 * BLOCK_ROWS - 17, 300);
    let (cpu, _) = served_by(network(), &panel);
    for blocks in [Buckets::new(1, 2), Buckets::new(4, 8)] {
        for device in devices(blocks, Buckets::new(64, 64)) {
            let (card, _) = served_by(network().on(&device), &panel);
            let apart = apart(&states(&card), &states(&cpu));
            eprintln!("{}, {blocks:?}: {apart:.1e}", device.name());
            assert!(apart < TOLERANCE, "{} {apart}", device.name());
            assert!(!device.is_lost());
        }
    }
}

#[test]
fn quantiles_of_every_step_and_level_are_the_cpus() {
    let panel = panel(3 * BLOCK_ROWS + 41, 60);
    let (cpu, slots) = served_by(network(), &panel);
    // Not every series of a block, as when some of them are no longer forecast.
    let slots: Vec<Slot> = slots.into_iter().filter(|slot| slot.0 % 11 != 3).collect();
    for (horizon, series) in [
        (48, Buckets::new(512, 512)),
        (48, Buckets::new(16, 128)),
        (1, Buckets::new(64, 256)),
        (100, Buckets::new(32, 64)),
    ] {
        let expected = quantiles(&cpu, &slots, horizon);
        for device in devices(Buckets::new(4, 4), series) {
            let (card, _) = served_by(network().on(&device), &panel);
            let apart = apart(&quantiles(&card, &slots, horizon), &expected);
            let name = device.name();
            eprintln!("{name}, {horizon} steps, {series:?}: {apart:.1e}");
            assert!(apart < TOLERANCE, "{name} {apart}");
            assert!(!device.is_lost());
        }
    }
}

#[test]
fn evaluation_on_a_device_is_the_cpus() {
    let panel = panel(130, 30);
    let levels = network().size().levels.clone();
    let of = |network: Network| {
        let mut model = LstmForecaster::new(network, panel.interval());
        let answers = model.forecast(&panel, &[12, 29, 30], 5, &levels).unwrap();
        let all = answers.iter().flatten();
        let all = all.flat_map(|one| (0..5).flat_map(|step| one.step(step).to_vec()));
        all.collect::<Vec<f32>>()
    };
    let expected = of(network());
    for device in devices(Buckets::new(2, 2), Buckets::new(64, 128)) {
        let apart = apart(&of(network().on(&device)), &expected);
        assert!(apart < TOLERANCE, "{} {apart}", device.name());
        assert!(!device.is_lost());
    }
}

#[test]
fn a_device_that_fails_in_the_middle_of_a_tick_loses_nothing_of_it() {
    let panel = panel(4 * BLOCK_ROWS, 20);
    let (cpu, slots) = served_by(network(), &panel);
    let expected = quantiles(&cpu, &slots, 7);
    let device = small_batches();
    let (mut card, slots) = served_by(network().on(&device), &panel);
    let seen = AtomicUsize::new(0);
    let shown = card.for_each(&slots, 7, |place, values| {
        let numbers = 7 * card.levels();
        let apart = apart(values, &expected[place * numbers..][..numbers]);
        assert!(apart < TOLERANCE, "{place} {apart}");
        if seen.fetch_add(1, Ordering::Relaxed) == 100 {
            device.lose("as asked");
        }
    });
    shown.unwrap();
    assert_eq!(seen.into_inner(), slots.len());
    assert!(device.is_lost());
    // From then on it is the CPU's work, to the last digit.
    let mut here = cpu;
    let blocks = here.blocks.iter_mut().zip(&card.blocks);
    blocks.for_each(|(here, card)| here.take_step(card.state()));
    for batch in [&mut here, &mut card] {
        batch.advance(panel.bin_start(20), |slot| slot.0 as f32);
    }
    assert_eq!(states(&card), states(&here));
    assert_eq!(quantiles(&card, &slots, 7), quantiles(&here, &slots, 7));
}

#[test]
fn a_device_that_fails_in_the_middle_of_a_step_leaves_the_rest_to_the_cpu() {
    let panel = panel(4 * BLOCK_ROWS, 20);
    let (mut cpu, slots) = served_by(network(), &panel);
    let device = small_batches();
    let (mut card, _) = served_by(network().on(&device), &panel);
    let last = slots[slots.len() - BLOCK_ROWS];
    card.advance(panel.bin_start(20), |slot| {
        if slot == last {
            device.lose("as asked");
        }
        slot.0 as f32
    });
    cpu.advance(panel.bin_start(20), |slot| slot.0 as f32);
    assert!(device.is_lost());
    let apart = apart(&states(&card), &states(&cpu));
    assert!(apart < TOLERANCE, "{apart}");
}

/// In a process of its own, for no other test can use the adapter afterwards.
#[cfg(feature = "gpu")]
#[test]
fn a_graphics_adapter_that_is_lost_leaves_its_work_to_the_cpu() {
    const CHILD: &str = "FORESHADOW_TEST_LOST_ADAPTER";
    let Some(found) = adapter() else { return };
    if std::env::var_os(CHILD).is_some() {
        return lost_between_two_ticks(found);
    }
    let name = "live::card::parity::a_graphics_adapter_that_is_lost_leaves_its_work_to_the_cpu";
    let this = std::env::current_exe().unwrap();
    let child = std::process::Command::new(this)
        .args(["--exact", name, "--nocapture"])
        .env(CHILD, "1")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&child.stderr);
    assert!(child.status.success(), "{said}");
}

#[cfg(feature = "gpu")]
fn lost_between_two_ticks(found: Adapter) {
    let device = Compute::on(found);
    let panel = panel(2 * BLOCK_ROWS, 20);
    let (mut cpu, slots) = served_by(network(), &panel);
    let (mut card, _) = served_by(network().on(&device), &panel);
    assert!(!device.is_lost());
    Adapter::destroy_device();
    for batch in [&mut cpu, &mut card] {
        batch.advance(panel.bin_start(20), |slot| slot.0 as f32);
    }
    assert!(device.is_lost());
    let states = apart(&states(&card), &states(&cpu));
    let quantiles = apart(&quantiles(&card, &slots, 48), &quantiles(&cpu, &slots, 48));
    assert!(
        states < TOLERANCE && quantiles < TOLERANCE,
        "{states} {quantiles}"
    );
}
