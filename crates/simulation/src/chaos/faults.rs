//! The faults, counted, so that a campaign can show that each was tried.

use std::fmt;

/// Something that goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// A start fails.
    StartFailed,
    /// A start takes longer than its deadline.
    StartTooLong,
    /// A running instance dies.
    InstanceDied,
    /// A report of the provider never arrives.
    ReportLost,
    /// A report of the provider arrives twice.
    ReportDuplicated,
    /// A report of the provider arrives late, after others that came later.
    ReportLate,
    /// The server dies before its decisions are durable, as on a write error.
    CrashBeforeWrite,
    /// The server dies when its decisions are durable and nobody was told.
    CrashAfterWrite,
    /// The clock jumps ahead.
    ClockForward,
    /// The clock jumps back.
    ClockBackward,
    /// A plan asks for more than there can be, or makes no sense.
    AbsurdPlan,
    /// A plan is older than the one in force.
    StalePlan,
    /// A holder presents a token that is not its own.
    StaleToken,
    /// A request is repeated with its key.
    RequestRepeated,
    /// A key is used again for another request.
    KeyMisused,
    /// The events are replaced by a snapshot.
    Snapshot,
}

/// How often each fault occurred.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct FaultCounts([u64; Fault::ALL.len()]);

impl Fault {
    /// All of them.
    pub const ALL: [Self; 16] = [
        Self::StartFailed,
        Self::StartTooLong,
        Self::InstanceDied,
        Self::ReportLost,
        Self::ReportDuplicated,
        Self::ReportLate,
        Self::CrashBeforeWrite,
        Self::CrashAfterWrite,
        Self::ClockForward,
        Self::ClockBackward,
        Self::AbsurdPlan,
        Self::StalePlan,
        Self::StaleToken,
        Self::RequestRepeated,
        Self::KeyMisused,
        Self::Snapshot,
    ];
}

impl FaultCounts {
    pub(super) fn count(&mut self, fault: Fault) {
        self.0[fault as usize] += 1;
    }

    /// How often this one occurred.
    pub fn of(&self, fault: Fault) -> u64 {
        self.0[fault as usize]
    }

    /// Adds those of another run.
    pub fn add(&mut self, other: &Self) {
        for (sum, more) in self.0.iter_mut().zip(other.0) {
            *sum += more;
        }
    }
}

impl fmt::Display for FaultCounts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for fault in Fault::ALL {
            writeln!(f, "{fault:?}: {}", self.of(fault))?;
        }
        Ok(())
    }
}
