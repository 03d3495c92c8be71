//! Alternatives tried out on the side, on the same requests.

mod family;
mod preview;
mod shadow_pool;

pub(crate) use family::{Choice, Family};
pub use preview::{Preview, PreviewScore};
pub(crate) use shadow_pool::ShadowPool;
