//! The wire contract: generated stubs, proto3 JSON, descriptors, and the translation of messages to
//! and from the domain.
//!
//! Messages are parsed once, here: what comes out is checked, and each [`FieldError`] names the field
//! at fault and how to mend it.

mod allocation;
mod error;
mod forecast;
mod list;
mod quota;
mod request;
mod shadow;
mod time;
mod trigger;

#[allow(
    missing_docs,
    unreachable_pub,
    clippy::all,
    clippy::pedantic,
    reason = "generated from the proto files, which carry the documentation"
)]
pub mod v1 {
    //! The messages and services of package `foreshadow.v1`.
    include!(concat!(env!("OUT_DIR"), "/foreshadow.v1.rs"));
    include!(concat!(env!("OUT_DIR"), "/foreshadow.v1.serde.rs"));
}

#[allow(
    missing_docs,
    unreachable_pub,
    clippy::all,
    clippy::pedantic,
    reason = "generated from the proto file, which carries the documentation"
)]
pub mod externalscaler {
    //! KEDA's interface to external scalers.
    include!(concat!(env!("OUT_DIR"), "/externalscaler.rs"));
}

/// The file descriptor set of the contract, for reflection.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));

pub use pbjson_types as well_known;

pub use allocation::{allocation_to_proto, state_from_proto, state_to_proto};
pub use error::FieldError;
pub use forecast::{levels_from_proto, steps_to_proto};
pub use list::{ListQuery, MAX_PAGE, page_size};
pub use quota::{quota_from_proto, quota_to_proto};
pub use request::{
    MAX_STREAM_BATCH, allocation_id, check_stream_batch, optional_name, release_from_proto,
    required_name,
};
pub use shadow::shadow_to_proto;
pub use time::{
    duration_from_proto, duration_to_proto, positive_duration, timestamp_from_proto,
    timestamp_to_proto,
};
pub use trigger::{trigger_from_proto, trigger_to_proto};
