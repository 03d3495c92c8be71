//! What became of received samples.

/// Samples of passive senders by what became of them, and the state kept for them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct IntakeCounts {
    /// Of a mapped metric and entity, and taken.
    pub mapped: u64,
    /// Of no mapped metric, or without a label that names the entity.
    pub unmapped: u64,
    /// Not finite.
    pub not_finite: u64,
    /// Of the same series and time as one before: sent again.
    pub duplicate: u64,
    /// Older than one of the same series before.
    pub out_of_order: u64,
    /// Further ahead than clocks may differ.
    pub future: u64,
    /// Further back than is of use.
    pub past: u64,
    /// Beyond a limit on the series of one entity, or naming an entity that cannot be one.
    pub refused: u64,
    /// Counters that began again.
    pub resets: u64,
    /// Series whose state was dropped for others.
    pub series_evicted: u64,
    /// Series with a state.
    pub series: u64,
}
