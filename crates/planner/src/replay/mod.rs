//! Alternatives tried out on the side, on the same requests.

mod family;
mod shadow_pool;

#[cfg(test)]
pub(crate) use shadow_pool::ShadowPool;

pub(crate) use family::{Choice, Family};
