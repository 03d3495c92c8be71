//! What the allocator does, told from outside.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on stops")]

mod bench;
mod lifecycle;
mod quotas;
mod serving;
mod shapes;
mod waiting;
