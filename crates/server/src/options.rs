//! What a server is started with.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use foreshadow_telemetry::{IntakeLimits, Mapping};
use thiserror::Error;

use crate::{
    access::{Access, Refusals},
    listen::Tls,
    traces::TraceContext,
};

/// Where and how to serve.
#[derive(Debug, Clone)]
pub struct ServerOptions {
    /// The address of the one port.
    pub listen: SocketAddr,
    /// Who may call; without it everybody on this machine may do everything, and the address must not
    /// be reachable from others. Callers show a token as `authorization: Bearer TOKEN`, or as the
    /// password of HTTP basic authentication, which browsers ask for.
    pub access: Option<Access>,
    /// Encrypts the port.
    pub tls: Option<Tls>,
    /// Connections at a time; further ones wait.
    pub max_connections: usize,
    /// The largest body of an HTTP request, in bytes.
    pub max_http_body_bytes: usize,
    /// The largest gRPC message, in bytes.
    pub max_message_bytes: usize,
    /// How long an HTTP request may take; those of passive senders are bounded by `arrival` alone.
    pub http_timeout: Duration,
    /// How long a request that is no stream may take to arrive.
    pub arrival: Duration,
    /// Calls that ask for an allocation at once; further ones are refused with a retry delay.
    pub max_in_flight: usize,
    /// How long calls under way may take to end at a shutdown.
    pub drain: Duration,
    /// What telemetry is taken.
    pub intake: IntakeLimits,
    /// Which metrics of passive senders are of which entities.
    pub mappings: Vec<Mapping>,
    /// Carries traces on, where they are collected.
    pub traces: Option<Arc<dyn TraceContext>>,
    /// What the gate refuses.
    pub(crate) refusals: Arc<Refusals>,
}

/// Why the options were refused.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum OptionsError {
    /// The address can be reached from elsewhere, and nothing guards it.
    #[error("{0} can be reached from other machines; set a token, or listen on 127.0.0.1 or [::1]")]
    Unguarded(SocketAddr),
}

impl ServerOptions {
    /// This address, no token, everything else at its default.
    pub fn new(listen: SocketAddr) -> Self {
        Self {
            listen,
            access: None,
            tls: None,
            max_connections: 10_000,
            max_http_body_bytes: 1 << 20,
            max_message_bytes: 16 << 20,
            http_timeout: Duration::from_secs(10),
            arrival: Duration::from_secs(30),
            max_in_flight: 4_096,
            drain: Duration::from_secs(10),
            intake: IntakeLimits::default(),
            mappings: Vec::new(),
            traces: None,
            refusals: Arc::default(),
        }
    }

    /// Checks the options before anything is opened.
    ///
    /// # Errors
    /// [`OptionsError`] if the port would be open to others with nobody to guard it.
    pub fn check(&self) -> Result<(), OptionsError> {
        let open = self.access.is_none() && !self.listen.ip().is_loopback();
        if open {
            Err(OptionsError::Unguarded(self.listen))
        } else {
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    use foreshadow_access::Directory;

    use super::*;

    fn options(listen: &str, access: Option<Access>) -> Result<(), OptionsError> {
        let mut options = ServerOptions::new(listen.parse().unwrap());
        options.access = access;
        options.check()
    }

    #[test]
    fn an_open_port_needs_a_token() {
        assert_eq!(options("127.0.0.1:0", None), Ok(()));
        assert_eq!(options("[::1]:7070", None), Ok(()));
        assert!(matches!(
            options("0.0.0.0:7070", None),
            Err(OptionsError::Unguarded(_))
        ));
        let guarded = Access::new(Directory::default());
        assert_eq!(options("0.0.0.0:7070", Some(guarded)), Ok(()));
    }
}
