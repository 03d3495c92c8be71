//! Shards that are given back: told to the database on a connection of their own, so that renewals do
//! not wait while it is slow.

use std::mem::take;

use foreshadow_cluster::{ClusterError, Membership};
use foreshadow_types::ShardId;
use tokio::task::{AbortHandle, JoinSet};

/// What is still to be told, and who tells it.
#[derive(Debug, Default)]
pub(super) struct Releases {
    /// Shards with the epochs under which they were owned; each shard that was held comes here once.
    waiting: Vec<(ShardId, u64)>,
    /// Who has told before, to tell again.
    teller: Option<Membership>,
    telling: Option<AbortHandle>,
}

/// What was told, and how that came out.
#[derive(Debug)]
pub(super) struct Released {
    told: Result<(), ClusterError>,
    teller: Membership,
}

impl Releases {
    /// A shard is free.
    pub(super) fn add(&mut self, shard: ShardId, epoch: u64) {
        self.waiting.push((shard, epoch));
    }

    /// Whether nothing is to be told any more.
    pub(super) fn are_done(&self) -> bool {
        self.waiting.is_empty() && !self.are_told()
    }

    fn are_told(&self) -> bool {
        let telling = self.telling.as_ref();
        telling.is_some_and(|telling| !telling.is_finished())
    }

    /// Tells all that waits, in the name of this member, unless something is being told.
    pub(super) fn tell<T: Send + 'static>(
        &mut self,
        member: &Membership,
        work: &mut JoinSet<T>,
        done: fn(Released) -> T,
    ) {
        if self.waiting.is_empty() || self.are_told() {
            return;
        }
        let free = take(&mut self.waiting);
        let teller = self.teller.take();
        let mut teller = teller.unwrap_or_else(|| member.beside());
        self.telling = Some(work.spawn(async move {
            let told = teller.release(&free).await;
            done(Released { told, teller })
        }));
    }

    /// What could not be told is not told again: it is free when its time is over.
    pub(super) fn settle(&mut self, released: Released) {
        if let Err(error) = released.told {
            tracing::warn!(%error, "the others learn by waiting that shards are free");
        }
        self.teller = Some(released.teller);
    }
}

#[cfg(test)]
mod tests {
    use std::{num::NonZeroU16, time::Duration};

    use foreshadow_types::Shards;

    use super::*;

    /// A member of a cluster whose database nobody runs.
    fn member() -> Membership {
        let database = "postgresql://nobody@127.0.0.1:1/none".to_owned();
        let address = "http://127.0.0.1:1".to_owned();
        let shards = Shards(NonZeroU16::MIN);
        Membership::new(
            database,
            "a".to_owned(),
            address,
            shards,
            Duration::from_secs(1),
        )
    }

    #[tokio::test]
    async fn what_is_given_back_while_some_is_told_waits_and_is_told_together() {
        let (mut releases, mut work) = (Releases::default(), JoinSet::new());
        releases.tell(&member(), &mut work, |released| released);
        assert!(work.is_empty(), "there is nothing to tell");
        releases.add(ShardId(0), 1);
        releases.tell(&member(), &mut work, |released| released);
        releases.add(ShardId(1), 1);
        releases.add(ShardId(2), 1);
        releases.tell(&member(), &mut work, |released| released);
        assert_eq!(work.len(), 1, "the first is being told");
        let told = work.join_next().await.expect("one is told");
        releases.settle(told.expect("it does not panic"));
        assert!(!releases.are_done());
        releases.tell(&member(), &mut work, |released| released);
        assert!(releases.waiting.is_empty());
        assert!(!releases.are_done());
        work.join_next().await;
        assert!(releases.are_done());
    }

    #[tokio::test]
    async fn one_that_fails_while_it_tells_keeps_nothing_from_being_told() {
        let (mut releases, mut work) = (Releases::default(), JoinSet::new());
        releases.add(ShardId(0), 1);
        releases.tell(&member(), &mut work, |_| panic!("a fault"));
        assert!(work.join_next().await.expect("one tells").is_err());
        assert!(releases.are_done());
        releases.add(ShardId(1), 1);
        releases.tell(&member(), &mut work, |released| released);
        assert_eq!(work.len(), 1);
    }
}
