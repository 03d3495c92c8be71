//! Transports on one port: gRPC with health and reflection, HTTP with JSON, metrics and the console.
//!
//! This crate translates and guards; whatever is decided is decided by the engine.

mod access;
mod arrival;
mod clock;
mod cluster;
mod console;
mod convert;
mod error;
mod grpc;
mod http;
mod listen;
mod options;
mod path;
mod replicas;
mod server;
mod traces;
mod turns;

pub use access::Access;
pub use cluster::{Cluster, PeerTls, Place};
pub use listen::{ClientCertificates, Tls, TlsError, TlsFiles};
pub use options::{OptionsError, ServerOptions};
pub use server::{ServeError, Server};
pub use traces::TraceContext;
