//! What past arrivals say about the demand over the lead time.

mod batches;
mod blend;
mod fading;
mod features;
mod lead_time;
mod least_squares;
mod profile;
mod users;

pub(crate) use fading::FadingMean;
pub(crate) use features::{Extractor, MOMENTS, OTHERS, REFERENCES, Snapshot};
pub(crate) use lead_time::{LeadTime, Levels, MAX_LEVEL, StaticCurve};
