//! A network on a graphics card: batches go there, answers come back, and what fails is told of once.

mod buckets;

use std::{
    any::Any,
    panic::{AssertUnwindSafe, catch_unwind},
};

use burn::tensor::Tensor;

use crate::{
    block::{BLOCK_ROWS, STEPS_AT_ONCE},
    device::Adapter,
    features::INPUTS,
    graph::{Graph, HeadParts, ReadState},
    network::NetworkSize,
    outlook::{DISTANCES, Horizon, SHOWN},
    packed::PANEL,
};
pub(crate) use buckets::Buckets;

/// Blocks that advance together. The greatest is a megabyte of state a thousand series, times eight.
const BLOCKS: Buckets = Buckets::new(8, 64);
/// Series that are forecast together. Of the usual network the greatest sends 6 MB, and every result in
/// between has 40 MB at the most.
const SERIES: Buckets = Buckets::new(512, 4_096);
/// What a result in between, or the answers of a batch, may take.
const MOST_BYTES: usize = 64 << 20;

/// A card with a network's weights on it.
#[derive(Debug)]
pub(crate) struct Card {
    adapter: Adapter,
    size: NetworkSize,
    graph: Graph,
    parts: HeadParts,
    blocks: Buckets,
    series: Buckets,
}

/// The card has failed, and was not asked or did not answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Lost;

/// An answer that is under way.
#[derive(Debug)]
pub(crate) struct Pending(Tensor<3>);

/// Numbers of so many blocks on their way, each `[rows of its own, BLOCK_ROWS]`; those that fill the batch
/// up are zero.
#[derive(Debug)]
pub(crate) struct StepBatch {
    pub(crate) state: Vec<f32>,
    pub(crate) inputs: Vec<f32>,
}

impl Card {
    /// Uploads the weights; `None` if that fails.
    pub(crate) fn new(adapter: &Adapter, size: &NetworkSize, weights: &[f32]) -> Option<Self> {
        let upload = || {
            let graph = Graph::new(size, weights, &adapter.device);
            let parts = graph.head_parts(weights);
            Ok((graph, parts))
        };
        let (graph, parts) = guarded(adapter, upload).ok()?;
        let (blocks, series) = adapter.batches().unwrap_or_else(|| batches(size));
        Some(Self {
            adapter: adapter.clone(),
            size: size.clone(),
            graph,
            parts,
            blocks,
            series,
        })
    }

    /// Blocks that advance together at most.
    pub(crate) fn blocks(&self) -> usize {
        self.blocks.greatest()
    }

    /// Series that are forecast together at most, with answers of so many numbers each.
    pub(crate) fn series(&self, numbers: usize) -> Buckets {
        let bytes = size_of::<f32>() * numbers.max(1);
        self.series.within(MOST_BYTES / bytes)
    }

    /// Steps ahead that are computed together, the last of which may fill up.
    pub(crate) fn steps(wanted: usize) -> usize {
        wanted.min(STEPS_AT_ONCE).next_multiple_of(PANEL)
    }

    /// Room for a step of so many blocks, all zero.
    pub(crate) fn step_batch(&self, blocks: usize) -> StepBatch {
        let rows = self.blocks.holding(blocks) * BLOCK_ROWS;
        StepBatch {
            state: vec![0.0; self.size.state() * rows],
            inputs: vec![0.0; INPUTS * rows],
        }
    }

    /// Begins a step; the answer is the state after it, laid out as before.
    pub(crate) fn advance(&self, batch: StepBatch) -> Result<Pending, Lost> {
        self.begun(|| self.graph.advanced(batch.state, batch.inputs, BLOCK_ROWS))
    }

    /// Sends what the steps ahead of some series have in common, [`ReadState::width`] numbers each.
    pub(crate) fn read_state(&self, own: Vec<f32>) -> Result<ReadState, Lost> {
        guarded(&self.adapter, || {
            Ok(self.graph.read_state(&self.parts, own))
        })
    }

    /// Begins forecasts of these steps ahead, [`SHOWN`] numbers of each step of each series; the answer
    /// is `[series, levels, steps]`, in units of each series' scale.
    pub(crate) fn quantiles(
        &self,
        read: &ReadState,
        steps: &Horizon,
        shown: Vec<f32>,
    ) -> Result<Pending, Lost> {
        let distances = steps.distances.clone();
        debug_assert_eq!(distances.len(), DISTANCES * steps.len());
        debug_assert_eq!(shown.len() % (SHOWN * steps.len()), 0);
        self.begun(|| {
            self.graph
                .quantiles_ahead(&self.parts, read, distances, shown)
        })
    }

    /// Does without the adapter from now on.
    pub(crate) fn lose(&self, reason: &str) {
        self.adapter.lose(reason);
    }

    /// Waits for an answer.
    pub(crate) fn read(&self, pending: Pending) -> Result<Vec<f32>, Lost> {
        guarded(&self.adapter, || {
            let data = pending.0.try_into_data().map_err(|e| e.to_string())?;
            data.try_into_vec::<f32>().map_err(|e| format!("{e:?}"))
        })
    }

    fn begun(&self, work: impl FnOnce() -> Tensor<3>) -> Result<Pending, Lost> {
        guarded(&self.adapter, || {
            let answer = work();
            self.adapter.device.flush().map_err(|e| e.to_string())?;
            Ok(Pending(answer))
        })
    }
}

/// Numbers that went to a device and came back.
pub(crate) fn there_and_back(adapter: &Adapter, numbers: &[f32]) -> Option<Vec<f32>> {
    let copied = || {
        let sent = Tensor::<1>::from_data(numbers, &adapter.device);
        let back = sent.try_into_data().map_err(|e| e.to_string())?;
        back.try_into_vec().map_err(|e| format!("{e:?}"))
    };
    guarded(adapter, copied).ok()
}

/// How many blocks of a network of this size advance together, and how many series are forecast together.
fn batches(size: &NetworkSize) -> (Buckets, Buckets) {
    let block = size_of::<f32>() * 4 * size.hidden * BLOCK_ROWS;
    let widest = size.head.max(size.head_inner).max(size.outputs());
    let series = size_of::<f32>() * widest * STEPS_AT_ONCE;
    let within = |sizes: Buckets, bytes: usize| sizes.within(MOST_BYTES / bytes);
    (within(BLOCKS, block), within(SERIES, series))
}

/// Runs what may fail on a card, by an error or by a panic in its driver; afterwards nothing is run there
/// any more.
fn guarded<T>(adapter: &Adapter, work: impl FnOnce() -> Result<T, String>) -> Result<T, Lost> {
    if adapter.is_lost() {
        return Err(Lost);
    }
    let done = catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|cause| Err(said(&*cause)));
    done.map_err(|reason| {
        adapter.lose(&reason);
        Lost
    })
}

/// What a panic said.
pub(crate) fn said(cause: &(dyn Any + Send)) -> String {
    let text = cause.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| cause.downcast_ref::<&str>().copied());
    text.unwrap_or("its driver panicked").to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn size() -> NetworkSize {
        NetworkSize {
            layers: 1,
            ..NetworkSize::small()
        }
    }

    #[test]
    fn what_panics_on_the_device_is_an_error_and_nothing_is_run_there_afterwards() {
        let (adapter, size) = (Adapter::stand_in(), size());
        let card = Card::new(&adapter, &size, &size.initial_weights(1)).unwrap();
        let good = || card.step_batch(3);
        assert!(card.advance(good()).is_ok());
        let mut short = good();
        short.inputs.pop();
        assert_eq!(card.advance(short).unwrap_err(), Lost);
        assert!(adapter.is_lost());
        assert_eq!(card.advance(good()).unwrap_err(), Lost);
        assert!(Card::new(&adapter, &size, &size.initial_weights(1)).is_none());
    }

    #[test]
    fn weights_that_cannot_be_uploaded_leave_the_network_to_the_cpu() {
        let adapter = Adapter::stand_in();
        assert!(Card::new(&adapter, &size(), &[]).is_none());
        assert!(adapter.is_lost());
    }

    #[test]
    fn large_networks_and_long_horizons_have_smaller_batches() {
        let large = NetworkSize {
            hidden: 4_096,
            head: 4_096,
            ..size()
        };
        let (blocks, series) = batches(&large);
        assert_eq!((blocks.greatest(), series.greatest()), (8, 64));
        let size = size();
        let card = Card::new(&Adapter::stand_in(), &size, &size.initial_weights(1)).unwrap();
        assert_eq!((card.blocks(), card.series(3 * 48).greatest()), (64, 4_096));
        assert_eq!(card.series(3 * 2_016).greatest(), 2_048);
    }
}
