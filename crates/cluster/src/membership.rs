//! The rows that replicas agree by.

use std::{fmt, time::Duration};

use foreshadow_types::{ShardId, Shards};
use tokio::time::Instant;
use tokio_postgres::{
    Client, Row,
    types::{ToSql, Type},
};

use crate::{
    error::ClusterError,
    link::Link,
    ownership::{Owner, ShardRow},
};

/// What the database says of the cluster.
#[derive(Debug, Clone)]
pub struct Observed {
    /// When it was asked, by this machine's clock: what is owned is owned for the time of ownership
    /// from then on, at the least.
    pub asked: Instant,
    /// The replicas that were there lately, by name.
    pub replicas: Vec<String>,
    /// All that there ever were.
    pub names: Vec<String>,
    /// All shards, in order.
    pub shards: Vec<ShardRow>,
}

/// One replica's say in who owns what.
pub struct Membership {
    name: String,
    address: String,
    shards: Shards,
    /// How long a shard is owned without renewal.
    time: Duration,
    link: Link,
}

/// Without the database's URL, which may have a password.
impl fmt::Debug for Membership {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Membership");
        shown
            .field("name", &self.name)
            .field("address", &self.address);
        shown.finish_non_exhaustive()
    }
}

impl Membership {
    /// A replica of this name, which no other has, that is reached at this address.
    pub fn new(
        database: String,
        name: String,
        address: String,
        shards: Shards,
        time: Duration,
    ) -> Self {
        Self {
            name,
            address,
            shards,
            time,
            link: Link::new(database, time / 2),
        }
    }

    /// The same replica with a connection of its own, made when it is needed: what it asks for is not
    /// waited for here.
    #[must_use]
    pub fn beside(&self) -> Self {
        Self {
            name: self.name.clone(),
            address: self.address.clone(),
            shards: self.shards,
            time: self.time,
            link: self.link.another(),
        }
    }

    /// This replica's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// How long a shard is owned without renewal.
    pub fn time(&self) -> Duration {
        self.time
    }

    /// Renews the shards that this replica has under these epochs and tells how things stand. A replica
    /// that is not `present` has no share. It is asked several times a second for ever: no statement is
    /// prepared first, which would be as much again.
    ///
    /// # Errors
    /// [`ClusterError`] if the database could not be asked in half the time of ownership.
    pub async fn beat(
        &mut self,
        held: &[(ShardId, u64)],
        present: bool,
    ) -> Result<Observed, ClusterError> {
        let (name, address, time) = (self.name.clone(), self.address.clone(), self.seconds());
        self.within(async |client| {
            let asked = Instant::now();
            let (shards, epochs): (Vec<i32>, Vec<i64>) = columns(held);
            let (name, time) = (text(&name), (&time as Value<'_>, Type::FLOAT8));
            if present {
                client
                    .query_typed(PRESENT, &[name.clone(), text(&address)])
                    .await?;
            }
            let shards = (&shards as Value<'_>, Type::INT4_ARRAY);
            let epochs = (&epochs as Value<'_>, Type::INT8_ARRAY);
            client
                .query_typed(RENEW, &[name, shards, epochs, time.clone()])
                .await?;
            let rows = client.query_typed(SHARDS, &[]).await?;
            let replicas = client.query_typed(REPLICAS, &[time]).await?;
            let there = replicas.iter().filter(|row| row.get(1));
            Ok(Observed {
                asked,
                replicas: there.map(|row| row.get(0)).collect(),
                names: replicas.iter().map(|row| row.get(0)).collect(),
                shards: rows.iter().map(shard_row).collect(),
            })
        })
        .await
    }

    /// Takes those of these shards that nobody has and whose epoch is still the one seen; which, and
    /// under which epoch they are owned now.
    ///
    /// # Errors
    /// As [`beat`](Self::beat).
    pub async fn claim(
        &mut self,
        seen: &[(ShardId, u64)],
    ) -> Result<Vec<(ShardId, u64)>, ClusterError> {
        let (name, address, time) = (self.name.clone(), self.address.clone(), self.seconds());
        self.within(async |client| {
            let (shards, epochs) = columns(seen);
            let rows = client
                .query(CLAIM, &[&shards, &epochs, &name, &address, &time])
                .await?;
            Ok(rows.iter().map(shard_and_epoch).collect())
        })
        .await
    }

    /// Gives shards back that were owned under these epochs, once nothing is decided about them here
    /// any more.
    ///
    /// # Errors
    /// As [`beat`](Self::beat).
    pub async fn release(&mut self, free: &[(ShardId, u64)]) -> Result<(), ClusterError> {
        let name = self.name.clone();
        self.within(async |client| {
            let (shards, epochs) = columns(free);
            client.execute(RELEASE, &[&shards, &epochs, &name]).await?;
            Ok(())
        })
        .await
    }

    /// Says that this replica is not there any more, so that the others share what it had.
    ///
    /// # Errors
    /// As [`beat`](Self::beat).
    pub async fn leave(&mut self) -> Result<(), ClusterError> {
        let name = self.name.clone();
        self.within(async |client| {
            client.execute(LEAVE, &[&name]).await?;
            Ok(())
        })
        .await
    }

    fn seconds(&self) -> f64 {
        self.time.as_secs_f64()
    }

    /// Asks within half the time of ownership.
    async fn within<T>(
        &mut self,
        ask: impl AsyncFnOnce(&Client) -> Result<T, ClusterError>,
    ) -> Result<T, ClusterError> {
        let shards = self.shards;
        let prepare = async |client: &Client| make_shards(client, shards).await;
        self.link.within(prepare, ask).await
    }
}

/// The rows of all shards, if they are not there yet.
async fn make_shards(client: &Client, shards: Shards) -> Result<(), ClusterError> {
    let asked = shards.count();
    let last = i32::from(asked) - 1;
    client.execute(MAKE_SHARDS, &[&last]).await?;
    let found: i64 = client.query_one(COUNT_SHARDS, &[]).await?.get(0);
    if found != i64::from(asked) {
        return Err(ClusterError::OtherShards { found, asked });
    }
    Ok(())
}

const PRESENT: &str = "INSERT INTO foreshadow.replicas (name, address, seen_at)
    VALUES ($1, $2, clock_timestamp())
    ON CONFLICT (name) DO UPDATE SET address = $2, seen_at = clock_timestamp()";

/// Its name stays: its history is where it says.
const LEAVE: &str = "UPDATE foreshadow.replicas SET seen_at = 'epoch' WHERE name = $1";

const REPLICAS: &str = "SELECT name, seen_at > clock_timestamp() - make_interval(secs => $1)
    FROM foreshadow.replicas ORDER BY name";

/// Rows are locked in order, here, in [`CLAIM`] and in [`RELEASE`], so that nobody waits in a circle.
const RENEW: &str = "WITH own AS (
        SELECT s.shard FROM foreshadow.shards AS s
        JOIN unnest($2::int[], $3::bigint[]) AS held (shard, epoch) USING (shard, epoch)
        WHERE s.owner = $1 ORDER BY s.shard FOR UPDATE OF s)
    UPDATE foreshadow.shards AS s
    SET expires_at = clock_timestamp() + make_interval(secs => $4)
    FROM own WHERE s.shard = own.shard";

const SHARDS: &str = "SELECT shard, epoch, owner, address,
    owner IS NOT NULL AND expires_at > clock_timestamp() FROM foreshadow.shards ORDER BY shard";

const CLAIM: &str = "WITH free AS (
        SELECT s.shard FROM foreshadow.shards AS s
        JOIN unnest($1::int[], $2::bigint[]) AS seen (shard, epoch) USING (shard, epoch)
        WHERE s.owner IS NULL OR s.expires_at <= clock_timestamp()
        ORDER BY s.shard FOR UPDATE OF s)
    UPDATE foreshadow.shards AS s
    SET epoch = s.epoch + 1, owner = $3, address = $4,
        expires_at = clock_timestamp() + make_interval(secs => $5)
    FROM free WHERE s.shard = free.shard
    RETURNING s.shard, s.epoch";

const RELEASE: &str = "WITH own AS (
        SELECT s.shard FROM foreshadow.shards AS s
        JOIN unnest($1::int[], $2::bigint[]) AS free (shard, epoch) USING (shard, epoch)
        WHERE s.owner = $3 ORDER BY s.shard FOR UPDATE OF s)
    UPDATE foreshadow.shards AS s SET owner = NULL, address = NULL
    FROM own WHERE s.shard = own.shard";

/// Only in an empty table: how many there are never changes.
const MAKE_SHARDS: &str = "INSERT INTO foreshadow.shards (shard)
    SELECT number FROM generate_series(0, $1) AS number
    WHERE NOT EXISTS (SELECT 1 FROM foreshadow.shards)
    ON CONFLICT (shard) DO NOTHING";

const COUNT_SHARDS: &str = "SELECT count(*) FROM foreshadow.shards";

/// A parameter, without its type.
type Value<'a> = &'a (dyn ToSql + Sync);

fn text(value: &String) -> (Value<'_>, Type) {
    (value, Type::TEXT)
}

fn columns(held: &[(ShardId, u64)]) -> (Vec<i32>, Vec<i64>) {
    held.iter()
        .map(|(shard, epoch)| (i32::from(shard.0), *epoch as i64))
        .unzip()
}

fn shard_and_epoch(row: &Row) -> (ShardId, u64) {
    let (shard, epoch): (i32, i64) = (row.get(0), row.get(1));
    (ShardId(shard as u16), epoch as u64)
}

fn shard_row(row: &Row) -> ShardRow {
    let (shard, epoch) = shard_and_epoch(row);
    let (replica, address): (Option<String>, Option<String>) = (row.get(2), row.get(3));
    let valid: bool = row.get(4);
    ShardRow {
        shard,
        epoch,
        owner: replica.filter(|_| valid).map(|replica| Owner {
            replica,
            address: address.unwrap_or_default(),
        }),
    }
}
