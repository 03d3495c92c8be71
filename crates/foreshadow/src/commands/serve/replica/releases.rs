//! Shards that are given back: told to the database on a connection of their own, so that renewals do
//! not wait while it is slow.

use std::{future::Future, mem::take};

use foreshadow_cluster::{ClusterError, Membership};
use foreshadow_types::ShardId;
use tokio::task::AbortHandle;

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

    /// Tells all that waits, in the name of this member, unless something is being told;
    /// [`told_by`](Self::told_by) is to say who does it.
    pub(super) fn next(
        &mut self,
        member: &Membership,
    ) -> Option<impl Future<Output = Released> + Send + use<>> {
        if self.waiting.is_empty() || self.are_told() {
            return None;
        }
        let free = take(&mut self.waiting);
        let teller = self.teller.take();
        let mut teller = teller.unwrap_or_else(|| member.beside());
        Some(async move {
            let told = teller.release(&free).await;
            Released { told, teller }
        })
    }

    /// This task tells what [`next`](Self::next) gave.
    pub(super) fn told_by(&mut self, task: AbortHandle) {
        self.telling = Some(task);
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
    use tokio::task::JoinSet;

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
        assert!(releases.next(&member()).is_none());
        releases.add(ShardId(0), 1);
        let first = releases.next(&member()).expect("something is to be told");
        releases.told_by(work.spawn(first));
        releases.add(ShardId(1), 1);
        releases.add(ShardId(2), 1);
        assert!(
            releases.next(&member()).is_none(),
            "the first is being told"
        );
        let told = work.join_next().await.expect("one is told");
        releases.settle(told.expect("it does not panic"));
        assert!(!releases.are_done());
        let second = releases.next(&member()).expect("two are to be told");
        assert!(releases.waiting.is_empty());
        releases.told_by(work.spawn(second));
        assert!(!releases.are_done());
        work.join_next().await;
        assert!(releases.are_done());
    }

    #[tokio::test]
    async fn one_that_fails_while_it_tells_keeps_nothing_from_being_told() {
        let mut releases = Releases::default();
        releases.add(ShardId(0), 1);
        drop(releases.next(&member()).expect("something is to be told"));
        let task = tokio::spawn(async { panic!("a fault") });
        releases.told_by(task.abort_handle());
        assert!(task.await.is_err());
        assert!(releases.are_done());
        releases.add(ShardId(1), 1);
        assert!(releases.next(&member()).is_some());
    }
}
