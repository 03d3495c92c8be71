//! Asking for instances and giving them back.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use foreshadow_allocator::{
    Allocation, AllocationRequest, Input, ListFilter, Page, Reply, TenantQuota,
};
use foreshadow_types::{AllocationId, FencingToken, InstanceId, PoolName, TenantId, UserId};
use tokio_stream::{Stream, wrappers::WatchStream};

use super::EngineHandle;
use crate::{clock::Stopwatch, error::EngineError, owner::OwnerCommand, trace};

impl EngineHandle {
    /// Asks for an instance: granted, joined, queued or booked.
    ///
    /// # Errors
    /// [`EngineError::Allocator`] if it is refused.
    pub async fn allocate(&self, request: AllocationRequest) -> Result<Allocation, EngineError> {
        self.allocation(Input::Allocate(Arc::new(request))).await
    }

    /// Gives many leases back and asks for many instances at once, in this order; the answers are in
    /// the order of what was asked and leave together.
    ///
    /// # Errors
    /// The call fails as a whole only if the engine has stopped; each release and each request is
    /// granted or refused by itself.
    pub async fn exchange(
        &self,
        releases: Vec<(AllocationId, FencingToken)>,
        requests: Vec<AllocationRequest>,
    ) -> Result<Exchanged, EngineError> {
        let count = releases.len();
        let releases = releases
            .into_iter()
            .map(|(id, token)| Input::Release { id, token });
        let requests = requests
            .into_iter()
            .map(|request| Input::Allocate(Arc::new(request)));
        let inputs = releases.chain(requests).collect();
        let asked = Stopwatch::start();
        let answers = self
            .ask_owner(|reply| OwnerCommand::Many {
                inputs,
                asked,
                span: trace::current(),
                reply,
            })
            .await?;
        let mut answers = answers.into_iter().map(into_allocation);
        Ok(Exchanged {
            released: answers.by_ref().take(count).collect(),
            granted: answers.collect(),
        })
    }

    /// Gives an instance back.
    ///
    /// # Errors
    /// [`EngineError::Allocator`] if there is no such allocation, the token is stale or nothing is
    /// held.
    pub async fn release(
        &self,
        id: AllocationId,
        token: FencingToken,
    ) -> Result<Allocation, EngineError> {
        self.allocation(Input::Release { id, token }).await
    }

    /// Keeps an instance for so long from now; `None` repeats the lease's duration.
    ///
    /// # Errors
    /// [`EngineError::Allocator`] as for [`release`](Self::release), or for a lease that is too long.
    pub async fn renew(
        &self,
        id: AllocationId,
        token: FencingToken,
        duration: Option<Duration>,
    ) -> Result<Allocation, EngineError> {
        let input = Input::Renew {
            id,
            token,
            duration,
        };
        self.allocation(input).await
    }

    /// Withdraws a request that holds nothing yet.
    ///
    /// # Errors
    /// [`EngineError::Allocator`] if there is no such allocation or it holds an instance.
    pub async fn cancel(&self, id: AllocationId) -> Result<Allocation, EngineError> {
        self.allocation(Input::Cancel { id }).await
    }

    /// An allocation as it stands.
    ///
    /// # Errors
    /// [`EngineError::Allocator`] if there is none.
    pub async fn get(&self, id: AllocationId) -> Result<Allocation, EngineError> {
        self.ask_owner(|reply| OwnerCommand::Get { id, reply })
            .await?
    }

    /// An allocation as it stands, and as it changes until it has ended.
    ///
    /// # Errors
    /// [`EngineError::Allocator`] if there is none.
    pub async fn watch(&self, id: AllocationId) -> Result<AllocationWatch, EngineError> {
        let receiver = self
            .ask_owner(|reply| OwnerCommand::Watch { id, reply })
            .await??;
        Ok(AllocationWatch(WatchStream::new(receiver)))
    }

    /// A page of allocations in order of their ids, at most `limit` after `after`.
    ///
    /// # Errors
    /// [`EngineError::Stopped`].
    pub async fn list(
        &self,
        filter: ListFilter,
        after: Option<AllocationId>,
        limit: usize,
    ) -> Result<Page, EngineError> {
        self.ask_owner(|reply| OwnerCommand::List {
            filter,
            after,
            limit,
            reply,
        })
        .await
    }

    /// Takes an instance out: at once if it is free, after use if it is held.
    ///
    /// # Errors
    /// [`EngineError::Allocator`] if there is no such instance.
    pub async fn drain(&self, instance: InstanceId) -> Result<(), EngineError> {
        self.input(Input::Drain { instance }).await.map(|_| ())
    }

    /// Takes out all instances that a pool has now, each as [`drain`](Self::drain) does; others are
    /// started in their place.
    ///
    /// # Errors
    /// [`EngineError::Allocator`] if there is no such pool.
    pub async fn drain_pool(&self, pool: PoolName) -> Result<(), EngineError> {
        self.input(Input::DrainPool(pool)).await.map(|_| ())
    }

    /// Whether this token is that of the present holders of an instance: what the resource's side asks
    /// before it serves a caller.
    ///
    /// # Errors
    /// [`EngineError::Allocator`] if nobody holds the instance or others hold it now.
    pub async fn check_token(
        &self,
        instance: InstanceId,
        token: FencingToken,
    ) -> Result<(), EngineError> {
        self.ask_owner(|reply| OwnerCommand::CheckToken {
            instance,
            token,
            reply,
        })
        .await?
    }

    /// Sets what a tenant may take; an empty quota takes the general limits again.
    ///
    /// # Errors
    /// [`EngineError::Allocator`] if the quota makes no sense.
    pub async fn set_quota(&self, tenant: TenantId, quota: TenantQuota) -> Result<(), EngineError> {
        let limit = Input::LimitTenant { tenant, quota };
        self.input(limit).await.map(|_| ())
    }

    /// The tenants with a quota of their own, in order of their names.
    ///
    /// # Errors
    /// [`EngineError::Stopped`].
    pub async fn quotas(&self) -> Result<Vec<(TenantId, TenantQuota)>, EngineError> {
        let mut quotas = self
            .ask_owner(|reply| OwnerCommand::Quotas { reply })
            .await?;
        quotas.sort_by(|(a, _), (b, _)| a.cmp(b));
        Ok(quotas)
    }

    pub(super) async fn live_allocations(
        &self,
        user: &UserId,
    ) -> Result<Vec<Allocation>, EngineError> {
        let user = user.clone();
        self.ask_owner(|reply| OwnerCommand::OfUser { user, reply })
            .await
    }

    async fn allocation(&self, input: Input) -> Result<Allocation, EngineError> {
        into_allocation(self.input(input).await)
    }

    async fn input(&self, input: Input) -> Result<Reply, EngineError> {
        let asked = Stopwatch::start();
        self.ask_owner(|reply| OwnerCommand::One {
            input,
            asked,
            span: trace::current(),
            reply,
        })
        .await?
    }
}

/// What became of an [`EngineHandle::exchange`].
#[derive(Debug)]
pub struct Exchanged {
    /// One for each release, in their order.
    pub released: Vec<Result<Allocation, EngineError>>,
    /// One for each request, in their order.
    pub granted: Vec<Result<Allocation, EngineError>>,
}

fn into_allocation(reply: Result<Reply, EngineError>) -> Result<Allocation, EngineError> {
    match reply? {
        Reply::Allocation(allocation) => Ok(*allocation),
        Reply::Done => Err(EngineError::Stopped),
    }
}

/// An allocation as it changes: the present state first, then each later one; states that follow
/// each other quickly may be left out, the last never is. Ends when the allocation has.
#[derive(Debug)]
pub struct AllocationWatch(WatchStream<Allocation>);

impl Stream for AllocationWatch {
    type Item = Allocation;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Allocation>> {
        Pin::new(&mut self.0).poll_next(context)
    }
}
