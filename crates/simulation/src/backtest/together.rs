//! Several replicas of one pool on the same requests, moved forward side by side.

use foreshadow_planner::{MissCounts, TargetPolicies};
use foreshadow_types::Timestamp;

use super::{
    PoolTrace, Setting, Tally, TickRecord,
    fleet::{FixedFleet, Fleet, RandomFleet},
    replica::Replica,
};

/// What came of one replica in the scored window.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Planned {
    /// The counts, waits included.
    pub tally: Tally,
    /// Why requests waited, as the policy says.
    pub misses: MissCounts,
}

/// As [`simulate`](super::simulate), for `count` replicas whose policies share what they learn.
/// `probe` is told which replica a tick belongs to.
pub fn simulate_together(
    pool: &PoolTrace,
    setting: &Setting,
    count: usize,
    policies: &mut dyn TargetPolicies,
    probe: &mut dyn FnMut(usize, &TickRecord),
) -> Vec<Planned> {
    let startup = setting.startup();
    if startup.is_fixed() {
        let fleets = (0..count).map(|_| FixedFleet::new(startup)).collect();
        run(pool, setting, fleets, policies, probe)
    } else {
        let fleets = (0..count).map(|_| RandomFleet::new(startup)).collect();
        run(pool, setting, fleets, policies, probe)
    }
}

fn run<F: Fleet>(
    pool: &PoolTrace,
    setting: &Setting,
    fleets: Vec<F>,
    policies: &mut dyn TargetPolicies,
    probe: &mut dyn FnMut(usize, &TickRecord),
) -> Vec<Planned> {
    let replica = |fleet| Replica::new(fleet, Tally::keeping_waits(setting));
    let mut side_by_side = SideBySide {
        pool,
        next: 0,
        replicas: fleets.into_iter().map(replica).collect(),
        from_ms: setting.from().as_millis(),
        misses_before: None,
    };
    for tick_ms in setting.ticks_ms() {
        side_by_side.requests_before(tick_ms, policies);
        side_by_side.report(probe);
        side_by_side.tick(tick_ms, policies);
    }
    let end_ms = setting.to().as_millis();
    side_by_side.requests_before(end_ms.saturating_add(1), policies);
    side_by_side.report(probe);
    let misses = policies.misses();
    let before = side_by_side.misses_before.unwrap_or_else(|| misses.clone());
    let scored = misses
        .iter()
        .zip(&before)
        .map(|(all, earlier)| all.since(earlier));
    let planned = |(replica, misses): (Replica<F>, _)| Planned {
        tally: replica.close(end_ms),
        misses,
    };
    side_by_side
        .replicas
        .into_iter()
        .zip(scored)
        .map(planned)
        .collect()
}

struct SideBySide<'a, F> {
    pool: &'a PoolTrace,
    next: usize,
    replicas: Vec<Replica<F>>,
    from_ms: i64,
    /// Misses before the scored window.
    misses_before: Option<Vec<MissCounts>>,
}

impl<F: Fleet> SideBySide<'_, F> {
    fn requests_before(&mut self, until_ms: i64, policies: &mut dyn TargetPolicies) {
        let times = self.pool.times_ms();
        let mut outcomes = Vec::with_capacity(self.replicas.len());
        while let Some(&now_ms) = times.get(self.next).filter(|&&at| at < until_ms) {
            if now_ms >= self.from_ms && self.misses_before.is_none() {
                self.misses_before = Some(policies.misses());
            }
            outcomes.clear();
            outcomes.extend(self.replicas.iter_mut().map(|one| one.claim(now_ms)));
            policies.observe(&self.pool.arrival(self.next), &outcomes);
            self.next += 1;
        }
    }

    fn tick(&mut self, tick_ms: i64, policies: &mut dyn TargetPolicies) {
        let inventories: Vec<_> = self
            .replicas
            .iter_mut()
            .map(|replica| replica.inventory(tick_ms))
            .collect();
        let targets = policies.targets(Timestamp::from_millis(tick_ms), &inventories);
        for (replica, target) in self.replicas.iter_mut().zip(targets) {
            replica.resize(tick_ms, target);
        }
    }

    fn report(&mut self, probe: &mut dyn FnMut(usize, &TickRecord)) {
        for (index, replica) in self.replicas.iter_mut().enumerate() {
            replica.report(&mut |record: &TickRecord| probe(index, record));
        }
    }
}
