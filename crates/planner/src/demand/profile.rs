//! What is usual at this time of day and week.

/// Slots of five minutes in a day.
const SLOT_MS: i64 = 300_000;
const SLOTS_A_DAY: i64 = 288;
const SLOTS_AN_HOUR: i64 = 12;
/// Eight days of slots, so that the same time a week ago is still there.
const KEPT: i64 = 8 * SLOTS_A_DAY;
/// How much of a slot's usual rate a new day replaces.
const RENEWAL: f32 = 0.2;
/// Slots on each side that are looked at together.
const SPREAD: i64 = 2;

/// Request rates by time of day, and of the last eight days in slots.
#[derive(Debug, Clone)]
pub(crate) struct Profile {
    slot: Option<i64>,
    count: u32,
    recent: Vec<f32>,
    usual: Vec<f32>,
    days_seen: Vec<u16>,
}

impl Profile {
    pub(crate) fn new() -> Self {
        Self {
            slot: None,
            count: 0,
            recent: vec![0.0; KEPT as usize],
            usual: vec![0.0; SLOTS_A_DAY as usize],
            days_seen: vec![0; SLOTS_A_DAY as usize],
        }
    }

    /// A request at `at_ms`, no earlier than what was seen before.
    pub(crate) fn arrive(&mut self, at_ms: i64) {
        self.advance(at_ms);
        self.count = self.count.saturating_add(1);
    }

    /// Moves time forward, closing the slots that have passed.
    pub(crate) fn advance(&mut self, now_ms: i64) {
        let slot = now_ms.div_euclid(SLOT_MS);
        let Some(open) = self.slot else {
            self.slot = Some(slot);
            return;
        };
        if slot <= open {
            return;
        }
        self.close(open);
        for passed in (open + 1).max(slot - KEPT)..slot {
            self.close(passed);
        }
        self.slot = Some(slot);
    }

    /// Requests a second usual around `at_ms`, averaged over past days.
    pub(crate) fn usual(&self, at_ms: i64) -> f64 {
        let slot = at_ms.div_euclid(SLOT_MS);
        around(slot, SPREAD, |slot| {
            self.usual[slot.rem_euclid(SLOTS_A_DAY) as usize]
        })
    }

    /// Requests a second around the same time `hours` hours (at most seven days) before `at_ms`,
    /// over `spread` slots of five minutes on each side.
    pub(crate) fn hours_ago(&self, at_ms: i64, hours: i64, spread: i64) -> f64 {
        let slot = at_ms.div_euclid(SLOT_MS) - hours * SLOTS_AN_HOUR;
        around(slot, spread, |slot| {
            self.recent[slot.rem_euclid(KEPT) as usize]
        })
    }

    fn close(&mut self, slot: i64) {
        let rate = self.count as f32 * 1e3 / SLOT_MS as f32;
        self.count = 0;
        self.recent[slot.rem_euclid(KEPT) as usize] = rate;
        let of_day = slot.rem_euclid(SLOTS_A_DAY) as usize;
        self.days_seen[of_day] = self.days_seen[of_day].saturating_add(1);
        let renewal = RENEWAL.max(1.0 / f32::from(self.days_seen[of_day]));
        self.usual[of_day] += renewal * (rate - self.usual[of_day]);
    }
}

/// The mean over a slot and its neighbours.
fn around(slot: i64, spread: i64, rate: impl Fn(i64) -> f32) -> f64 {
    let total: f32 = (slot - spread..=slot + spread).map(rate).sum();
    f64::from(total) / (2 * spread + 1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR_MS: i64 = 3_600_000;

    #[test]
    fn yesterday_and_the_usual_day_are_remembered() {
        let mut profile = Profile::new();
        for day in 0..3 {
            for second in 0..3600 {
                profile.arrive((day * 24 + 9) * HOUR_MS + second * 1000);
            }
        }
        let tomorrow_half_past_nine = (3 * 24 + 9) * HOUR_MS + HOUR_MS / 2;
        profile.advance(3 * 24 * HOUR_MS);
        assert!((profile.usual(tomorrow_half_past_nine) - 1.0).abs() < 1e-6);
        assert!((profile.hours_ago(tomorrow_half_past_nine, 24, 2) - 1.0).abs() < 1e-6);
        assert_eq!(profile.usual(tomorrow_half_past_nine + 6 * HOUR_MS), 0.0);
    }

    #[test]
    fn a_gap_of_years_is_passed_at_once() {
        let mut profile = Profile::new();
        profile.arrive(0);
        profile.arrive(20 * 365 * 24 * HOUR_MS);
        profile.advance(i64::MAX);
    }
}
