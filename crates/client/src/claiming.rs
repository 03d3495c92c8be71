//! A claim that is being made.

use std::{
    convert::Infallible,
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
};

use futures::FutureExt as _;
use tokio::{sync::oneshot, task::JoinHandle};

use crate::{Claim, Claimed, Client, Error};

/// A claim that a task makes, for the caller who polls this.
///
/// If it is dropped before, the task runs to its end all the same, for the server may have granted it;
/// what it gives is dropped, which gives it back, and [`Client::close`] waits for all of that. While it is
/// kept it is the caller's, polled or not, and is not waited for.
pub(crate) struct Claiming {
    client: Client,
    /// None once it has answered.
    task: Option<JoinHandle<Result<Claimed, Error>>>,
    /// What the task knows the caller by.
    _caller: oneshot::Sender<Infallible>,
}

impl Claiming {
    pub(crate) fn new(client: &Client, claim: Claim) -> Self {
        let (caller, gone) = oneshot::channel();
        let maker = client.clone();
        let making = async move { maker.claimed(claim, gone.map(drop)).await };
        Self {
            client: client.clone(),
            task: Some(client.inner().runtime.spawn(making)),
            _caller: caller,
        }
    }
}

impl Future for Claiming {
    type Output = Result<Claimed, Error>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let Some(task) = &mut self.task else {
            return Poll::Pending;
        };
        let made = ready!(task.poll_unpin(context));
        self.task = None;
        Poll::Ready(match made {
            Ok(outcome) => outcome,
            Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
            Err(_) => Err(self
                .client
                .unavailable("Allocate", "the client's runtime has ended")),
        })
    }
}

impl Drop for Claiming {
    fn drop(&mut self) {
        if let Some(task) = self.task.take() {
            self.client.in_background(async move { drop(task.await) });
        }
    }
}
