//! The promises, each with an id. The simulation and the property tests check them over whole
//! histories, production checks them where they are cheap.

use std::{
    fmt,
    sync::atomic::{AtomicU64, Ordering},
};

/// A promise.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Invariant {
    /// An instance is held by one allocation, or by several of one tenant that share it.
    OneOwnerPerInstance,
    /// A lease that was acknowledged stays until it is released, expires or its instance fails,
    /// also through a crash.
    AcknowledgedLeaseSurvives,
    /// A token that is not the newest of its instance is refused, and tokens rise.
    StaleTokenRefused,
    /// A repeated idempotency key gives the allocation of its first use or an error.
    OneAllocationPerKey,
    /// A queue does not grow past its limit.
    QueueBounded,
    /// In one pool without reservations, nobody is served from the queue before somebody more
    /// urgent.
    QueueInOrder,
    /// Nothing that has a deadline outlives it.
    DeadlinesKept,
    /// The counts of a pool add up to its instances and allocations.
    CountsConserved,
    /// Allocations share an instance only with the same merge key or within its capacity.
    MergeOnlyWhenAllowed,
    /// A pool has no more instances than its maximum.
    MaximumRespected,
    /// A tenant holds no more of a pool than its cap, and nobody holds what a floor keeps for
    /// another.
    WarmQuotasKept,
    /// A request is said to wait for its shape where an instance is ready that it could have if it
    /// asked for less, and only there.
    ShapesToldApart,
    /// Every decision fits the state that it was made on.
    EventsFit,
    /// The state rebuilt from the events is the state.
    RecoveryIsExact,
}

impl Invariant {
    /// All of them.
    pub const ALL: [Self; 14] = [
        Self::OneOwnerPerInstance,
        Self::AcknowledgedLeaseSurvives,
        Self::StaleTokenRefused,
        Self::OneAllocationPerKey,
        Self::QueueBounded,
        Self::QueueInOrder,
        Self::DeadlinesKept,
        Self::CountsConserved,
        Self::MergeOnlyWhenAllowed,
        Self::MaximumRespected,
        Self::WarmQuotasKept,
        Self::ShapesToldApart,
        Self::EventsFit,
        Self::RecoveryIsExact,
    ];

    /// Its id in metrics and reports.
    pub fn id(self) -> &'static str {
        match self {
            Self::OneOwnerPerInstance => "one_owner_per_instance",
            Self::AcknowledgedLeaseSurvives => "acknowledged_lease_survives",
            Self::StaleTokenRefused => "stale_token_refused",
            Self::OneAllocationPerKey => "one_allocation_per_key",
            Self::QueueBounded => "queue_bounded",
            Self::QueueInOrder => "queue_in_order",
            Self::DeadlinesKept => "deadlines_kept",
            Self::CountsConserved => "counts_conserved",
            Self::MergeOnlyWhenAllowed => "merge_only_when_allowed",
            Self::MaximumRespected => "maximum_respected",
            Self::WarmQuotasKept => "warm_quotas_kept",
            Self::ShapesToldApart => "shapes_told_apart",
            Self::EventsFit => "events_fit",
            Self::RecoveryIsExact => "recovery_is_exact",
        }
    }

    /// How often production has seen it broken since the process started.
    pub fn breaches(self) -> u64 {
        BREACHES[self as usize].load(Ordering::Relaxed)
    }

    /// Counts a breach. Use [`check_invariant!`](crate::check_invariant).
    #[doc(hidden)]
    pub fn count_breach(self) {
        BREACHES[self as usize].fetch_add(1, Ordering::Relaxed);
    }
}

static BREACHES: [AtomicU64; Invariant::ALL.len()] =
    [const { AtomicU64::new(0) }; Invariant::ALL.len()];

impl fmt::Display for Invariant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.id())
    }
}

/// A promise that was broken, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// Which promise.
    pub invariant: Invariant,
    /// What was seen.
    pub what: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.invariant, self.what)
    }
}

/// Checks a promise: panics in a debug build, counts the breach in a release build.
#[macro_export]
macro_rules! check_invariant {
    ($invariant:ident, $holds:expr, $($what:tt)+) => {
        if !$holds {
            if cfg!(debug_assertions) {
                panic!("{}: {}", $crate::Invariant::$invariant, format_args!($($what)+));
            }
            $crate::Invariant::$invariant.count_breach();
        }
    };
}
