//! What to list.

use foreshadow_allocator::ListFilter;
use foreshadow_types::{AllocationId, PoolName, TenantId, UserId};

use crate::{FieldError, optional_name, state_from_proto, v1};

/// The largest page.
pub const MAX_PAGE: u32 = 1000;
const USUAL_PAGE: u32 = 100;

/// How many a page holds that was asked to hold so many.
pub fn page_size(asked: u32) -> usize {
    let size = if asked == 0 { USUAL_PAGE } else { asked };
    size.min(MAX_PAGE) as usize
}

/// A page of allocations that is asked for.
#[derive(Debug, Clone)]
pub struct ListQuery {
    /// Which allocations.
    pub filter: ListFilter,
    /// The last one of the page before.
    pub after: Option<AllocationId>,
    /// How many at most.
    pub limit: usize,
}

impl TryFrom<v1::ListRequest> for ListQuery {
    type Error = FieldError;

    fn try_from(wire: v1::ListRequest) -> Result<Self, FieldError> {
        let states = wire
            .states
            .iter()
            .map(|&state| state_from_proto("states", state));
        Ok(Self {
            filter: ListFilter {
                tenant: optional_name("tenant_id", &wire.tenant_id, TenantId::new)?,
                user: optional_name("user_id", &wire.user_id, UserId::new)?,
                pool: optional_name("pool", &wire.pool, PoolName::new)?,
                states: states.collect::<Result<_, _>>()?,
            },
            after: optional_name("page_token", &wire.page_token, str::parse)?,
            limit: page_size(wire.page_size),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_bounded_and_a_bad_token_is_named() {
        let page = |page_size| v1::ListRequest {
            page_size,
            ..v1::ListRequest::default()
        };
        assert_eq!(ListQuery::try_from(page(0)).unwrap().limit, 100);
        assert_eq!(ListQuery::try_from(page(9_999)).unwrap().limit, 1000);
        let token = v1::ListRequest {
            page_token: "nonsense".to_owned(),
            ..page(0)
        };
        assert_eq!(ListQuery::try_from(token).unwrap_err().field, "page_token");
    }
}
