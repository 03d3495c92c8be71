//! Claims while the server keeps up with them, and refusals while it does not: made before anything looks at
//! the call, so that they cost little when there is too much to do anyway.

use std::{
    convert::Infallible,
    pin::Pin,
    task::{Context, Poll, ready},
};

use axum::response::Response;
use http_body::Body;
use pin_project_lite::pin_project;

use crate::turns::Turn;

/// Parts that are read of a call that is refused: a claim has one or two.
const MOST_PARTS: usize = 8;

pin_project! {
    /// A call, with its turn until it is answered if it needs one.
    #[derive(Debug)]
    pub(crate) struct InTurn<F> {
        #[pin]
        call: F,
        turn: Option<Turn>,
    }
}

impl<F> InTurn<F> {
    pub(super) fn new(call: F, turn: Option<Turn>) -> Self {
        Self { call, turn }
    }
}

impl<F: Future> Future for InTurn<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let this = self.project();
        let answer = ready!(this.call.poll(cx));
        *this.turn = None;
        Poll::Ready(answer)
    }
}

/// A refusal, once the call has arrived. Answered before, the rest of its frames would be of a stream that
/// is closed already, and h2 ends a connection that has too many of those.
#[derive(Debug)]
pub(crate) struct Refusing<B> {
    body: B,
    parts: usize,
    answer: Option<Response>,
}

impl<B> Refusing<B> {
    pub(super) fn new(body: B, answer: Response) -> Self {
        Self {
            body,
            parts: 0,
            answer: Some(answer),
        }
    }
}

impl<B: Body + Unpin> Future for Refusing<B> {
    type Output = Result<Response, Infallible>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        while this.parts < MOST_PARTS
            && let Some(Ok(_)) = ready!(Pin::new(&mut this.body).poll_frame(cx))
        {
            this.parts += 1;
        }
        Poll::Ready(Ok(this.answer.take().unwrap_or_default()))
    }
}
