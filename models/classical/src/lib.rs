//! Classical statistical models through `augurs`, as [`Forecaster`](foreshadow_forecast::Forecaster)s.
//!
//! They are fitted anew for every series and origin, in parallel over the series, and look at a
//! bounded context, so that a forecast costs the same however long the history is.

mod ets;
mod fit;
mod mode;
mod mstl;
mod normal;
mod prophet;

pub use ets::Ets;
pub use mstl::Mstl;
pub use prophet::Prophet;
