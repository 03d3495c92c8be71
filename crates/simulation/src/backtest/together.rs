//! Several replicas of one pool on the same requests, moved forward side by side.

use foreshadow_planner::{MissCounts, Outcome, TargetPolicies};
use foreshadow_types::Timestamp;

use super::{
    PoolTrace, Setting, Tally, TickRecord, Walk,
    fleet::{Claim, FixedFleet, Fleet, RandomFleet, StartReport},
    replica::Replica,
    strained::StrainedFleet,
};

/// What came of one replica in the scored window.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Planned {
    /// The counts, with waits and users summed up.
    pub tally: Tally,
    /// Why requests waited: as the policy says, but for what it cannot know, a pool that was full or a
    /// start that failed.
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
    if setting.is_strained() {
        let fleets = (0..count).map(|_| StrainedFleet::new(setting)).collect();
        run(pool, setting, fleets, policies, probe)
    } else if startup.is_fixed() {
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
    let replica = |fleet| Replica::new(pool, setting, fleet, Tally::summing_up(setting));
    let replicas: Vec<_> = fleets.into_iter().map(replica).collect();
    let mut side_by_side = SideBySide {
        pool,
        times: pool.times_ms().walk(),
        next: 0,
        corrections: vec![Correction::default(); replicas.len()],
        replicas,
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
    side_by_side.advance(end_ms, policies);
    side_by_side.close(end_ms, &policies.misses())
}

struct SideBySide<'a, F> {
    pool: &'a PoolTrace,
    /// The times of the requests to come, the first of which is `next`.
    times: Walk<'a>,
    next: usize,
    replicas: Vec<Replica<F>>,
    from_ms: i64,
    /// Misses before the scored window.
    misses_before: Option<Vec<MissCounts>>,
    /// What each policy took the causes for that are known better here.
    corrections: Vec<Correction>,
}

/// Causes that a policy named and those that they really had.
#[derive(Debug, Clone, Default)]
struct Correction {
    named: MissCounts,
    real: MissCounts,
}

impl Correction {
    fn of(&self, misses: &MissCounts) -> MissCounts {
        let mut corrected = misses.since(&self.named);
        corrected.merge(&self.real);
        corrected
    }
}

impl<F: Fleet> SideBySide<'_, F> {
    fn requests_before(&mut self, until_ms: i64, policies: &mut dyn TargetPolicies) {
        let mut claims = Vec::with_capacity(self.replicas.len());
        let mut outcomes = Vec::with_capacity(self.replicas.len());
        while let Some(now_ms) = self.times.peek().filter(|&at| at < until_ms) {
            if now_ms >= self.from_ms && self.misses_before.is_none() {
                self.misses_before = Some(policies.misses());
            }
            self.advance(now_ms, policies);
            claims.clear();
            let (pool, next) = (self.pool, self.next);
            claims.extend(
                self.replicas
                    .iter_mut()
                    .map(|one| one.claim(pool, next, now_ms)),
            );
            outcomes.clear();
            outcomes.extend(claims.iter().map(|claim: &Claim| claim.outcome));
            self.observe(now_ms, &claims, &outcomes, policies);
            self.times.next();
            self.next += 1;
        }
    }

    /// Shows the request to the policies, and notes where the cause they name is not the real one.
    ///
    /// What policies learn together is known once it is so in every replica: the use ends where it began
    /// last.
    fn observe(
        &mut self,
        now_ms: i64,
        claims: &[Claim],
        outcomes: &[Outcome],
        policies: &mut dyn TargetPolicies,
    ) {
        let waits = claims.iter().map(|claim| claim.wait(now_ms));
        let arrival = self.pool.arrival_at(self.next, now_ms);
        let arrival = arrival.served_after(waits.max().unwrap_or_default());
        let scored = self.misses_before.is_some();
        let observe = |policies: &mut dyn TargetPolicies| {
            if self.pool.is_merged(self.next) {
                policies.observe_merged(&arrival, outcomes);
            } else {
                policies.observe(&arrival, outcomes);
            }
        };
        if !scored || claims.iter().all(|claim| claim.trouble.is_none()) {
            observe(policies);
            return;
        }
        let before = policies.misses();
        observe(policies);
        let after = policies.misses();
        let counts = before.iter().zip(&after);
        for ((correction, claim), (before, after)) in
            self.corrections.iter_mut().zip(claims).zip(counts)
        {
            if let Some(trouble) = claim.trouble {
                correction.named.merge(&after.since(before));
                correction.real.add(trouble);
            }
        }
    }

    fn advance(&mut self, now_ms: i64, policies: &mut dyn TargetPolicies) {
        for (index, replica) in self.replicas.iter_mut().enumerate() {
            replica.advance(now_ms, |report| match report {
                StartReport::Succeeded { took } => policies.start_succeeded(index, took),
                StartReport::Failed { at_ms } => {
                    policies.start_failed(index, Timestamp::from_millis(at_ms));
                }
            });
        }
    }

    fn tick(&mut self, tick_ms: i64, policies: &mut dyn TargetPolicies) {
        self.advance(tick_ms, policies);
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

    fn close(self, end_ms: i64, misses: &[MissCounts]) -> Vec<Planned> {
        let before = self.misses_before.unwrap_or_else(|| misses.to_vec());
        let scored = misses
            .iter()
            .zip(&before)
            .map(|(all, earlier)| all.since(earlier));
        self.replicas
            .into_iter()
            .zip(scored)
            .zip(&self.corrections)
            .map(|((replica, misses), correction)| Planned {
                tally: replica.close(end_ms),
                misses: correction.of(&misses),
            })
            .collect()
    }
}
