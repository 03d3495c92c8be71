//! Leases in a table of `PostgreSQL`, claimed with `FOR UPDATE SKIP LOCKED`: one statement to claim,
//! one to give back, a connection for each client.

use anyhow::{bail, ensure};
use foreshadow_engine::config::Durability;
use tokio_postgres::{Client, Statement};

use super::load::Claims;
use crate::postgres::Private;

/// How often a claim is repeated that gave less than was asked for: rows that others changed while the
/// statement ran are passed over.
const CLAIM_ATTEMPTS: u32 = 100;

const TABLE: &str = "
    CREATE SEQUENCE tokens;
    CREATE TABLE instance (
        id bigint PRIMARY KEY, address text NOT NULL, leased boolean NOT NULL DEFAULT false,
        since timestamptz NOT NULL DEFAULT now(), tenant text, holder text,
        token bigint NOT NULL DEFAULT 0, expires_at timestamptz
    );
    CREATE INDEX ready ON instance (since) WHERE NOT leased;
    CREATE INDEX leases ON instance (expires_at) WHERE leased;";
const CLAIM: &str = "
    WITH free AS MATERIALIZED (
        SELECT id FROM instance WHERE NOT leased ORDER BY since LIMIT $1 FOR UPDATE SKIP LOCKED
    )
    UPDATE instance SET leased = true, tenant = 'bench', holder = 'user',
        token = nextval('tokens'), expires_at = now() + interval '5 minutes'
    FROM free WHERE instance.id = free.id
    RETURNING instance.id, instance.token, instance.address";
const RELEASE: &str = "
    UPDATE instance SET leased = false, since = now(), tenant = NULL, holder = NULL,
        expires_at = NULL
    FROM unnest($1::bigint[], $2::bigint[]) AS held (id, token)
    WHERE instance.id = held.id AND instance.token = held.token";

/// A private server with the table.
pub(crate) struct Postgres(Private);

impl Postgres {
    /// Starts a server whose commits are as durable as ours, with a table of free instances.
    pub(crate) async fn start(durability: Durability, instances: u32) -> anyhow::Result<Self> {
        let commit = match durability {
            Durability::Fsync => "synchronous_commit=on",
            Durability::Memory => "synchronous_commit=off",
        };
        let started = Self(Private::start(commit).await?);
        started.fill(instances).await?;
        Ok(started)
    }

    async fn fill(&self, instances: u32) -> anyhow::Result<()> {
        let client = self.0.connect().await?;
        client.batch_execute(TABLE).await?;
        let rows = "INSERT INTO instance (id, address)
             SELECT n, '127.0.0.1:1' FROM generate_series(1, $1::bigint) n";
        client.execute(rows, &[&i64::from(instances)]).await?;
        client.batch_execute("VACUUM ANALYZE instance").await?;
        Ok(())
    }

    /// Clients with a connection each.
    pub(crate) async fn clients(&self, count: usize) -> anyhow::Result<Vec<PostgresClient>> {
        let mut clients = Vec::with_capacity(count);
        for _ in 0..count {
            let client = self.0.connect().await?;
            let claim = client.prepare(CLAIM).await?;
            let release = client.prepare(RELEASE).await?;
            clients.push(PostgresClient {
                client,
                claim,
                release,
            });
        }
        Ok(clients)
    }
}

/// A caller with a connection and its two statements.
pub(crate) struct PostgresClient {
    client: Client,
    claim: Statement,
    release: Statement,
}

impl Claims for PostgresClient {
    type Lease = (i64, i64);

    async fn claim(&mut self, count: usize) -> anyhow::Result<Vec<(i64, i64)>> {
        let mut leases = Vec::with_capacity(count);
        for _ in 0..CLAIM_ATTEMPTS {
            let missing = (count - leases.len()) as i64;
            let rows = self.client.query(&self.claim, &[&missing]).await?;
            leases.extend(rows.iter().map(|row| (row.get(0), row.get(1))));
            if leases.len() == count {
                return Ok(leases);
            }
        }
        bail!("{} of {count} were free", leases.len());
    }

    async fn release(&mut self, leases: Vec<(i64, i64)>) -> anyhow::Result<()> {
        let (ids, tokens): (Vec<i64>, Vec<i64>) = leases.into_iter().unzip();
        let changed = self.client.execute(&self.release, &[&ids, &tokens]).await?;
        ensure!(changed as usize == ids.len(), "a lease was not given back");
        Ok(())
    }
}
