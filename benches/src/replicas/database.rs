//! What a database tells of itself and of the shards in it.

use std::net::SocketAddr;

use anyhow::Context as _;
use tokio_postgres::Client;

use crate::postgres::Private;

const ACTIVITY: &str = "
    SELECT (xact_commit + xact_rollback)::float8,
        (tup_inserted + tup_updated + tup_deleted)::float8
    FROM pg_stat_database WHERE datname = $1";
const OWNERS: &str = "
    SELECT address FROM foreshadow.shards
    WHERE owner IS NOT NULL AND expires_at > clock_timestamp() ORDER BY shard";

/// Transactions, and rows that were inserted, changed or removed.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Activity {
    pub(super) transactions: f64,
    pub(super) rows: f64,
}

impl Activity {
    pub(super) fn since(self, before: Self) -> Self {
        Self {
            transactions: self.transactions - before.transactions,
            rows: self.rows - before.rows,
        }
    }

    pub(super) fn scaled(self, by: f64) -> Self {
        Self {
            transactions: self.transactions * by,
            rows: self.rows * by,
        }
    }
}

/// A database that replicas share.
pub(super) struct Database {
    name: String,
    pub(super) url: String,
    /// To another database, so that questions do not count.
    outside: Client,
    inside: Client,
}

impl Database {
    /// A new one for so many replicas.
    pub(super) async fn make(server: &Private, replicas: usize) -> anyhow::Result<Self> {
        let name = format!("replicas_{replicas}");
        let outside = server.connect().await?;
        let create = format!("CREATE DATABASE {name}");
        outside.batch_execute(&create).await?;
        Ok(Self {
            url: server.url(&name),
            inside: server.connect_to(&name).await?,
            outside,
            name,
        })
    }

    /// What was done in it so far, without what connections have yet to tell.
    pub(super) async fn activity(&self) -> anyhow::Result<Activity> {
        let row = self.outside.query_one(ACTIVITY, &[&self.name]).await?;
        Ok(Activity {
            transactions: row.try_get(0)?,
            rows: row.try_get(1)?,
        })
    }

    /// Who has each shard that somebody has, in their order.
    pub(super) async fn owners(&self) -> anyhow::Result<Vec<SocketAddr>> {
        let rows = self.inside.query(OWNERS, &[]).await?;
        let owner = |row: &tokio_postgres::Row| {
            let address: String = row.try_get(0)?;
            let plain = address.trim_start_matches("http://");
            plain
                .parse()
                .with_context(|| format!("no address: {address}"))
        };
        rows.iter().map(owner).collect()
    }
}
