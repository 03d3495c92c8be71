//! What a tenant may take.

use std::{collections::BTreeMap, time::Duration};

use foreshadow_types::{PoolName, TenantId, Timestamp};
use thiserror::Error;

use crate::MAX_POOL;

/// The highest rate that can be set, in requests a second.
pub const MAX_RATE: u32 = 1_000_000;
/// Most pools in which one tenant has a floor or a cap.
pub const MAX_WARM_QUOTAS: usize = 1_000;

/// What a tenant may take; what is `None` takes the general limit.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct TenantQuota {
    /// Live allocations at a time.
    pub live: Option<u32>,
    /// Requests a second.
    pub rate: Option<RequestRate>,
    /// What it is promised, and allowed, of the instances of each pool.
    pub warm: BTreeMap<PoolName, WarmQuota>,
}

/// What a tenant is promised, and allowed, of the instances of one pool.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct WarmQuota {
    /// As many instances are the tenant's: what it does not hold of them is kept warm for it, and
    /// nobody else may take it. Floors that add up to more than the pool's maximum are filled first
    /// come first served.
    pub floor: u32,
    /// Most instances that its allocations hold at a time, bookings with an instance set aside
    /// included; `None` is no limit.
    pub cap: Option<u32>,
}

impl TenantQuota {
    /// Whether it says nothing.
    pub fn is_empty(&self) -> bool {
        self.live.is_none() && self.rate.is_none() && self.warm.is_empty()
    }

    /// Checks what the types cannot.
    ///
    /// # Errors
    /// [`QuotaError`] names the field.
    pub fn check(&self) -> Result<(), QuotaError> {
        self.rate.map_or(Ok(()), RequestRate::check)?;
        if self.warm.len() > MAX_WARM_QUOTAS {
            return Err(QuotaError::TooManyPools);
        }
        self.warm
            .iter()
            .try_for_each(|(pool, quota)| quota.check(pool))
    }
}

impl WarmQuota {
    fn check(&self, pool: &PoolName) -> Result<(), QuotaError> {
        let floor = self.floor;
        let most = self.cap.unwrap_or(MAX_POOL).min(MAX_POOL);
        if floor > most {
            let pool = pool.clone();
            return Err(QuotaError::Floor { pool, floor, most });
        }
        Ok(())
    }
}

/// How often a tenant may ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct RequestRate {
    /// In the long run.
    pub per_second: u32,
    /// At once, after a pause.
    pub burst: u32,
}

impl RequestRate {
    fn check(self) -> Result<(), QuotaError> {
        for (field, value) in [
            ("rate.per_second", self.per_second),
            ("rate.burst", self.burst),
        ] {
            if !(1..=MAX_RATE).contains(&value) {
                return Err(QuotaError::Rate { field, value });
            }
        }
        Ok(())
    }
}

/// Why a quota was refused.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum QuotaError {
    /// A rate is zero or too high.
    #[error("quota: {field} is {value}; give 1 to {MAX_RATE}")]
    Rate {
        /// The field at fault.
        field: &'static str,
        /// What it is.
        value: u32,
    },
    /// A floor is above its cap, or above what a pool can hold.
    #[error("quota: the floor in pool {pool} is {floor}; give at most {most}")]
    Floor {
        /// In which pool.
        pool: PoolName,
        /// What it is.
        floor: u32,
        /// What it may be.
        most: u32,
    },
    /// Too many pools are named.
    #[error("quota: warm names more than {MAX_WARM_QUOTAS} pools")]
    TooManyPools,
}

impl QuotaError {
    /// The field at fault.
    pub fn field(&self) -> &'static str {
        match self {
            Self::Rate { field, .. } => field,
            Self::Floor { .. } | Self::TooManyPools => "warm",
        }
    }
}

/// Whose turn it is to ask, by the generic cell rate algorithm: one number a tenant says when its
/// requests so far would have been due at the steady rate. It is not durable: after a restart every
/// tenant may ask a burst.
#[derive(Debug, Clone, Default)]
pub(crate) struct Rates {
    due_ns: BTreeMap<TenantId, i64>,
}

impl Rates {
    /// Takes a request in, or says how long until the next is taken.
    pub(crate) fn take(
        &mut self,
        tenant: &TenantId,
        rate: RequestRate,
        now: Timestamp,
    ) -> Result<(), Duration> {
        let step_ns = (1_000_000_000 / i64::from(rate.per_second.clamp(1, MAX_RATE))).max(1);
        let ahead_ns = step_ns.saturating_mul(i64::from(rate.burst.max(1)) - 1);
        let now_ns = now.as_millis().saturating_mul(1_000_000);
        let due_ns = self
            .due_ns
            .get(tenant)
            .copied()
            .unwrap_or(now_ns)
            .max(now_ns);
        let early_ns = due_ns.saturating_sub(now_ns).saturating_sub(ahead_ns);
        if early_ns > 0 {
            return Err(Duration::from_nanos(early_ns as u64));
        }
        let next_ns = due_ns.saturating_add(step_ns);
        match self.due_ns.get_mut(tenant) {
            Some(due) => *due = next_ns,
            None => {
                self.due_ns.insert(tenant.clone(), next_ns);
            }
        }
        Ok(())
    }

    /// Forgets a tenant whose quota has gone.
    pub(crate) fn forget(&mut self, tenant: &TenantId) {
        self.due_ns.remove(tenant);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_is_taken_at_once_and_then_the_rate_is_kept() {
        let tenant = TenantId::new("a").unwrap();
        let rate = RequestRate {
            per_second: 10,
            burst: 3,
        };
        let mut rates = Rates::default();
        let mut taken = Vec::new();
        for ms in 0..1_000 {
            if rates
                .take(&tenant, rate, Timestamp::from_millis(ms))
                .is_ok()
            {
                taken.push(ms);
            }
        }
        assert_eq!(taken[..5], [0, 1, 2, 100, 200]);
        assert_eq!(taken.len(), 12);
    }

    #[test]
    fn a_rate_that_does_not_divide_a_second_is_kept() {
        let tenant = TenantId::new("a").unwrap();
        let rate = RequestRate {
            per_second: 600_000,
            burst: 1,
        };
        let mut rates = Rates::default();
        for _ in 0..6_000 {
            rates
                .take(
                    &tenant,
                    RequestRate {
                        burst: MAX_RATE,
                        ..rate
                    },
                    Timestamp::from_millis(0),
                )
                .unwrap();
        }
        let delay = rates
            .take(&tenant, rate, Timestamp::from_millis(0))
            .unwrap_err();
        assert!(
            delay.abs_diff(Duration::from_millis(10)) < Duration::from_micros(10),
            "{delay:?}"
        );
    }

    #[test]
    fn the_delay_is_as_long_as_it_says() {
        let tenant = TenantId::new("a").unwrap();
        let rate = RequestRate {
            per_second: 4,
            burst: 1,
        };
        let mut rates = Rates::default();
        let at = Timestamp::from_millis;
        assert_eq!(rates.take(&tenant, rate, at(0)), Ok(()));
        let delay = rates.take(&tenant, rate, at(10)).unwrap_err();
        assert_eq!(delay, Duration::from_millis(240));
        assert!(rates.take(&tenant, rate, at(249)).is_err());
        assert_eq!(rates.take(&tenant, rate, at(250)), Ok(()));
    }
}
