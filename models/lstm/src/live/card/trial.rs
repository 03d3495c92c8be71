//! A card is tried before it serves: drivers differ, and wrong numbers are worse than none.

use std::{sync::Mutex, sync::PoisonError, time::Duration};

use foreshadow_types::Timestamp;

use super::{LiveBatch, Slot};
use crate::{block::BLOCK_ROWS, card::Card, device::Compute, kernel::Network, random::Random};

/// How far a card's answers may be from the CPU's, relative to the larger of one and the answer: what is
/// wrong is further off, what is rounded otherwise is not.
const TOLERANCE: f32 = 1e-2;
/// Bins that the trial's series have.
const BINS: usize = 4;
/// Steps ahead that are compared.
const STEPS: usize = 20;

/// The card, if it answers for a block of series what the CPU does; else nothing is asked of it any more.
pub(crate) fn tried(card: Card, network: &Network) -> Option<Card> {
    let here = network.clone().on(&Compute::cpu());
    let interval = Duration::from_mins(5);
    let mut batches = [(); 2].map(|()| LiveBatch::new(here.clone(), interval));
    let slots: Vec<Slot> = (0..BLOCK_ROWS).map(|_| batches[1].add()).collect();
    for _ in 0..BLOCK_ROWS {
        batches[0].add();
    }
    let mut random = Random::new(1, 0);
    let mut at = Timestamp::from_millis(0);
    for _ in 0..BINS {
        at = at + interval;
        let values: Vec<f32> = slots.iter().map(|_| 9.0 * random.unit() - 1.0).collect();
        let value = |slot: Slot| values[slot.index()];
        batches[0].advance(at, value);
        batches[1].advance_on(&card, at, value);
    }
    let expected = Answers::new(network);
    batches[0].for_each_here(at, &slots, STEPS, &|place, values| {
        expected.take(place, values);
    });
    let found = Answers::new(network);
    batches[1].for_each_on(&card, at, &slots, STEPS, &|place, values| {
        found.take(place, values);
    });
    let apart = apart(&found.all(), &expected.all());
    if apart < TOLERANCE {
        return Some(card);
    }
    card.lose(&format!("its answers are {apart:.1e} away from the cpu's"));
    None
}

/// The largest distance, relative to the larger of one and the second; what is no number is infinitely far.
pub(super) fn apart(found: &[f32], expected: &[f32]) -> f32 {
    let pairs = found.iter().zip(expected);
    let all = pairs.map(|(a, b)| (a - b).abs() / b.abs().max(1.0));
    let far = |one: f32| if one.is_nan() { f32::INFINITY } else { one };
    all.map(far).fold(0.0, f32::max)
}

/// Quantiles of all series of the trial, `[series, steps, levels]`.
struct Answers {
    numbers: usize,
    all: Mutex<Vec<f32>>,
}

impl Answers {
    fn new(network: &Network) -> Self {
        let numbers = STEPS * network.size().levels.len();
        Self {
            numbers,
            all: Mutex::new(vec![0.0; BLOCK_ROWS * numbers]),
        }
    }

    fn take(&self, place: usize, values: &[f32]) {
        let mut all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        all[place * self.numbers..][..self.numbers].copy_from_slice(values);
    }

    fn all(self) -> Vec<f32> {
        self.all
            .into_inner()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{device::Adapter, network::NetworkSize};

    #[test]
    fn a_card_that_answers_something_else_does_not_serve() {
        let size = NetworkSize::small();
        let network = Network::new(size.clone(), size.initial_weights(5)).unwrap();
        let adapter = Adapter::stand_in();
        let good = Card::new(&adapter, &size, network.weights()).unwrap();
        assert!(tried(good, &network).is_some());
        // As if its driver computed something else: it holds other weights.
        let wrong = Card::new(&adapter, &size, &size.initial_weights(6)).unwrap();
        assert!(tried(wrong, &network).is_none());
        assert!(adapter.is_lost());
    }

    #[test]
    fn what_is_no_number_is_infinitely_far() {
        assert_eq!(apart(&[f32::NAN, 1.0], &[0.0, 1.0]), f32::INFINITY);
        assert_eq!(apart(&[1.0, f32::NAN], &[0.0, 1.0]), f32::INFINITY);
        assert_eq!(apart(&[3.0, 1.0], &[2.0, 1.0]), 0.5);
    }
}
