//! The hand-written kernel held to the burn graph.

use burn::tensor::Device;

#[cfg(feature = "gpu")]
use crate::{Compute, DeviceChoice};
use crate::{
    arch::tests::on_every_arch,
    chunk::{Chunk, ChunkGradient},
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

/// A software adapter will do, with `FORESHADOW_SOFTWARE_GPU`; without any the test says so and skips,
/// unless `FORESHADOW_NO_SKIP` is set.
#[cfg(feature = "gpu")]
#[test]
fn a_graphics_adapter_gives_the_same_loss_gradient_and_state() {
    let compute = match Compute::probe(DeviceChoice::Gpu) {
        Ok((compute, _)) => compute,
        Err(error) => {
            assert!(std::env::var_os("FORESHADOW_NO_SKIP").is_none(), "{error}");
            return eprintln!("skipped: {error}");
        }
    };
    eprintln!("on {}", compute.name());
    let size = size();
    assert_equal(&size, |weights, chunk| {
        compute.gradient(&size, weights, chunk)
    });
}
