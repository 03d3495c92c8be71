//! What the allocator does, told from outside.

mod bench;
mod lifecycle;
mod serving;
