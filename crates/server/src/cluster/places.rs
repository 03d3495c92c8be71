//! Where the shards are, as whoever starts the server tells it.

use std::{collections::BTreeMap, sync::Arc};

use foreshadow_engine::{EngineHandle, config::TriggerRule};
use foreshadow_types::{PoolName, ShardId, Shards};
use tokio::sync::watch;
use tonic::transport::{Certificate, ClientTlsConfig, Identity};

/// Where a shard is.
#[derive(Debug, Clone, Default)]
pub enum Place {
    /// This replica has it.
    Here {
        /// What serves it.
        engine: EngineHandle,
        /// Under which epoch it is owned.
        epoch: u64,
    },
    /// The replica at this address has it, `http://HOST:PORT`.
    There(String),
    /// Nobody has it.
    #[default]
    Nowhere,
    /// Nobody has it, and this replica cannot before its process is restarted: what served it here does
    /// not end.
    Stuck,
}

/// What a replica knows of the whole.
#[derive(Debug)]
pub struct Cluster {
    /// How many shards there are.
    pub shards: Shards,
    /// The shard of each pool.
    pub pools: BTreeMap<PoolName, ShardId>,
    /// The trigger rules to begin with.
    pub triggers: Vec<TriggerRule>,
    /// Whether ranks in queues depend on predicted usage, so that every shard follows all of it.
    pub ranks_by_usage: bool,
    /// Where each shard is, by number.
    pub places: watch::Receiver<Arc<Vec<Place>>>,
    /// How other replicas are reached over TLS; without it `https` addresses are not.
    pub tls: Option<PeerTls>,
}

/// How other replicas are reached over TLS.
#[derive(Debug, Clone)]
pub struct PeerTls(pub(super) ClientTlsConfig);

impl PeerTls {
    /// Trusts whom this authority has signed, in PEM.
    pub fn trusting(authority: &str) -> Self {
        Self(ClientTlsConfig::new().ca_certificate(Certificate::from_pem(authority)))
    }

    /// Shows a certificate of its own, in PEM with its key.
    #[must_use]
    pub fn showing(self, certificate: &str, key: &str) -> Self {
        Self(self.0.identity(Identity::from_pem(certificate, key)))
    }
}
