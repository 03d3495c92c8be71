//! What past arrivals say about the demand over the lead time.

mod lead_time;

pub(crate) use lead_time::{LeadTime, Levels, StaticCurve};
