//! Quotas of tenants.

use std::collections::BTreeMap;

use foreshadow_allocator::{RequestRate, TenantQuota, WarmQuota};
use foreshadow_types::{PoolName, TenantId};

use crate::{FieldError, required_name, v1};

/// A tenant and its quota from the wire.
///
/// # Errors
/// [`FieldError`] if there is no tenant, or the rate, a floor or a cap makes no sense.
pub fn quota_from_proto(wire: &v1::TenantQuota) -> Result<(TenantId, TenantQuota), FieldError> {
    let tenant = required_name("tenant_id", &wire.tenant_id, TenantId::new)?;
    let rate = wire.rate.as_ref().map(|rate| RequestRate {
        per_second: rate.per_second,
        burst: if rate.burst == 0 {
            rate.per_second
        } else {
            rate.burst
        },
    });
    let quota = TenantQuota {
        live: wire.live,
        rate,
        warm: warm_from_proto(wire)?,
    };
    match quota.check() {
        Ok(()) => Ok((tenant, quota)),
        Err(error) => Err(FieldError::new(error.field(), error)),
    }
}

fn warm_from_proto(wire: &v1::TenantQuota) -> Result<BTreeMap<PoolName, WarmQuota>, FieldError> {
    let warm = wire.warm.iter().map(|(pool, warm)| {
        let pool = required_name("warm", pool, PoolName::new)?;
        let (floor, cap) = (warm.floor, warm.cap);
        Ok((pool, WarmQuota { floor, cap }))
    });
    warm.collect()
}

fn warm_to_proto((pool, warm): (&PoolName, &WarmQuota)) -> (String, v1::tenant_quota::Warm) {
    let (floor, cap) = (warm.floor, warm.cap);
    (pool.to_string(), v1::tenant_quota::Warm { floor, cap })
}

/// A tenant and its quota for the wire.
pub fn quota_to_proto(tenant: &TenantId, quota: &TenantQuota) -> v1::TenantQuota {
    v1::TenantQuota {
        tenant_id: tenant.to_string(),
        live: quota.live,
        rate: quota.rate.map(|rate| v1::tenant_quota::Rate {
            per_second: rate.per_second,
            burst: rate.burst,
        }),
        warm: quota.warm.iter().map(warm_to_proto).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quota_reads_back_and_a_senseless_one_is_named() {
        let wire = |per_second| v1::TenantQuota {
            tenant_id: "acme".to_owned(),
            live: Some(3),
            rate: Some(v1::tenant_quota::Rate {
                per_second,
                burst: 9,
            }),
            warm: [(
                "notebook".to_owned(),
                v1::tenant_quota::Warm {
                    floor: 2,
                    cap: Some(7),
                },
            )]
            .into(),
        };
        let (tenant, quota) = quota_from_proto(&wire(5)).unwrap();
        assert_eq!(quota_to_proto(&tenant, &quota), wire(5));
        let refused = quota_from_proto(&wire(0)).unwrap_err();
        assert_eq!(refused.field, "rate.per_second");
        let mut above = wire(5);
        for warm in above.warm.values_mut() {
            warm.floor = 8;
        }
        assert_eq!(quota_from_proto(&above).unwrap_err().field, "warm");
        let nobody = quota_from_proto(&v1::TenantQuota::default()).unwrap_err();
        assert_eq!(nobody.field, "tenant_id");
    }
}
