//! The policies with a free parameter, as [`Family`](super::curve::Family).

mod forecasting;
mod reused;
mod simple;

pub(crate) use forecasting::{HoltWintersFamily, SsaFamily};
pub(crate) use reused::HybridHistogramFamily;
pub(crate) use simple::{ClairvoyantFamily, KeepAliveFamily, ReactiveFamily, StaticFamily};
