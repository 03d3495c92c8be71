//! The hand-written kernel held to the burn graph.

use std::time::Duration;

use burn::tensor::Device;
use foreshadow_forecast::{Panel, SeriesId};
use foreshadow_types::{EntityId, Timestamp};

#[cfg(feature = "gpu")]
use crate::DeviceChoice;
use crate::{
    ChunkSize, Compute, Fit, FitData, FitOptions, Variety,
    arch::tests::on_every_arch,
    chunk::{Chunk, ChunkGradient},
    device::Adapter,
    gradient::gradient,
    graph::Graph,
    network::NetworkSize,
    random::Random,
};

fn size() -> NetworkSize {
    NetworkSize {
        hidden: 8,
        layers: 2,
        head: 10,
        head_inner: 6,
        levels: vec![0.1, 0.5, 0.9],
    }
}

fn random_chunk(size: &NetworkSize) -> Chunk {
    let mut random = Random::new(3, 3);
    let mut chunk = Chunk::zeros(5, 7, size.state(), vec![1, 4, 6], 3);
    let Chunk {
        inputs,
        state,
        ahead,
        anchors,
        targets,
        weights,
        ..
    } = &mut chunk;
    for values in [inputs, state, ahead, anchors, targets] {
        values.fill_with(|| 2.0 * random.unit() - 1.0);
    }
    weights.fill_with(|| random.unit());
    chunk.keep = vec![1.0; size.hidden * chunk.origins.len() * chunk.rows];
    chunk
        .keep
        .fill_with(|| if random.unit() < 0.4 { 0.0 } else { 1.5 });
    chunk
}

/// Holds what another way of computing gives for a chunk to the hand-written kernel.
fn assert_equal(size: &NetworkSize, other: impl FnOnce(&[f32], &Chunk) -> ChunkGradient) {
    let weights = size.initial_weights(1);
    let chunk = random_chunk(size);
    let by_hand = gradient(size, &weights, &chunk);
    let by_other = other(&weights, &chunk);
    assert!((by_hand.loss - by_other.loss).abs() < 1e-4 * by_other.loss);
    let worst = |left: &[f32], right: &[f32]| {
        left.iter()
            .zip(right)
            .map(|(a, b)| (a - b).abs())
            .fold(0.0, f32::max)
    };
    assert!(worst(&by_hand.state, &by_other.state) < 1e-5);
    let largest = by_other
        .gradient
        .iter()
        .fold(0.0_f32, |most, g| most.max(g.abs()));
    assert!(worst(&by_hand.gradient, &by_other.gradient) < 1e-4 * largest);
}

#[test]
fn the_hand_written_gradient_equals_the_graphs() {
    let size = size();
    on_every_arch(|| {
        assert_equal(&size, |weights, chunk| {
            Graph::new(&size, weights, &Device::flex().autodiff()).gradient(chunk)
        });
    });
}

/// The graphics adapter that tests run on; a software one will do, with `FORESHADOW_SOFTWARE_GPU`. Without
/// any a test says so and goes without, unless `FORESHADOW_NO_SKIP` is set.
#[cfg(feature = "gpu")]
pub(crate) fn adapter() -> Option<Adapter> {
    let found = Adapter::find(DeviceChoice::Gpu);
    match found {
        Ok(found) => Some(found),
        Err(error) => {
            assert!(std::env::var_os("FORESHADOW_NO_SKIP").is_none(), "{error}");
            eprintln!("skipped: {error}");
            None
        }
    }
}

/// None in a build without graphics support.
#[cfg(not(feature = "gpu"))]
pub(crate) fn adapter() -> Option<Adapter> {
    None
}

/// burn's own CPU device, and a graphics adapter where there is one.
fn devices() -> impl Iterator<Item = Compute> {
    let found = [Some(Adapter::stand_in()), adapter()];
    found.into_iter().flatten().map(Compute::on)
}

#[test]
fn a_device_gives_the_same_loss_gradient_and_state() {
    let size = size();
    for compute in devices() {
        eprintln!("on {}", compute.name());
        assert_equal(&size, |weights, chunk| {
            compute.gradient(&size, weights, chunk)
        });
    }
}

/// Steps of the optimiser follow one another, so what is a rounding error at first may grow.
#[test]
fn a_fit_on_a_device_takes_the_steps_of_the_cpu() {
    let mut cpu = fit(Compute::cpu());
    let cpu: Vec<f64> = (0..STEPS).map(|_| cpu.step(0.0)).collect();
    assert!(cpu[STEPS - 1] < cpu[0], "{cpu:?}");
    for compute in devices() {
        let name = compute.name().to_owned();
        let mut fit = fit(compute);
        for (step, expected) in cpu.iter().enumerate() {
            let loss = fit.step(0.0);
            let apart = (loss - expected).abs() / expected;
            assert!(apart < 1e-4, "{name}, step {step}: {loss} {expected}");
        }
    }
}

const STEPS: usize = 8;

/// Of two days of a few series.
fn fit(compute: Compute) -> Fit {
    let mut random = Random::new(7, 0);
    let (series, bins) = (6, 576);
    let entity = |row: usize| EntityId::new(&format!("e{row}")).unwrap();
    let ids = (0..series).map(|row| SeriesId::of_entity(entity(row), "m".to_owned()));
    let value = |bin: usize| 5.0 + (bin as f32 / 40.0).sin() + random.unit();
    let values = (0..series * bins).map(value).collect();
    let (start, interval) = (Timestamp::from_millis(0), Duration::from_mins(5));
    let panel = Panel::new(start, interval, ids.collect(), bins, values);
    let options = FitOptions {
        network: size(),
        chunk: ChunkSize {
            lanes: 8,
            steps: 24,
            origins: 3,
            draws: 4,
            dropout: 0.1,
        },
        variety: Variety {
            mixed: 0.2,
            reversed: 0.2,
        },
        rate: 1e-2,
        decay: 1e-4,
        warm_up: 1,
        average_over: 10.0,
        seed: 3,
    };
    Fit::new(options, FitData::new(vec![(panel, bins, 1.0)]), compute).unwrap()
}
