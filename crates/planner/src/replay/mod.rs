//! Alternatives tried out on the side, on the same requests.

mod family;
mod shadow_pool;

pub(crate) use family::{Choice, Family};
