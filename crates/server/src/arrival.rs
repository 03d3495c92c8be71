//! A request has to arrive in time: who sends it byte by byte holds memory and a place as long.

use std::{
    error::Error,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use http_body::{Body, Frame, SizeHint};
use tokio::time::{Sleep, sleep};
use tonic::{Code, Status};

type Failure = Box<dyn Error + Send + Sync>;

/// A body that fails once it has been waited for too long. What is here at once, as most are, costs no
/// timer; what is done with it afterwards is not counted.
#[derive(Debug)]
pub(crate) struct Timely<B> {
    body: B,
    /// Nothing bounds a stream, which is open for as long as its caller likes.
    within: Option<Duration>,
    due: Option<Pin<Box<Sleep>>>,
}

impl<B> Timely<B> {
    pub(crate) fn new(body: B, within: Option<Duration>) -> Self {
        Self {
            body,
            within,
            due: None,
        }
    }
}

impl<B> Body for Timely<B>
where
    B: Body + Unpin,
    B::Error: Into<Failure>,
{
    type Data = B::Data;
    type Error = Failure;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, Failure>>> {
        let this = &mut *self;
        if let Poll::Ready(frame) = Pin::new(&mut this.body).poll_frame(cx) {
            return Poll::Ready(frame.map(|frame| frame.map_err(Into::into)));
        }
        let Some(within) = this.within else {
            return Poll::Pending;
        };
        let due = this.due.get_or_insert_with(|| Box::pin(sleep(within)));
        match due.as_mut().poll(cx) {
            Poll::Ready(()) => Poll::Ready(Some(Err(too_slow(within).into()))),
            Poll::Pending => Poll::Pending,
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// What gRPC answers with, and what HTTP finds again.
fn too_slow(within: Duration) -> Status {
    let seconds = within.as_secs_f64();
    Status::deadline_exceeded(format!(
        "the request did not arrive within {seconds} s; send it in one piece, or smaller"
    ))
}

/// Why a body was not read, if it came too slowly.
pub(crate) fn slowness<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a str> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(status) = error.downcast_ref::<Status>()
            && status.code() == Code::DeadlineExceeded
        {
            return Some(status.message());
        }
        next = error.source();
    }
    None
}
