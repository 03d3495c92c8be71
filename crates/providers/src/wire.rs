//! The contract of external providers, generated from `proto/foreshadow/provider/v1`: the client that
//! Foreshadow calls with, and the server for whoever writes a provider in Rust.

#[allow(
    missing_docs,
    unreachable_pub,
    clippy::all,
    clippy::pedantic,
    reason = "generated from the proto file, which carries the documentation"
)]
pub mod v1 {
    //! The messages and the service of package `foreshadow.provider.v1`.
    include!(concat!(env!("OUT_DIR"), "/foreshadow.provider.v1.rs"));
}
