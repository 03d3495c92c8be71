//! Calls, and when they are made again.

use std::{
    future::{Future, pending},
    pin::pin,
    sync::Arc,
    time::Duration,
};

use tokio::time::{sleep, timeout};
use tonic::{Response, Status, metadata::MetadataMap};

use crate::{
    Client, Error, chance, client::Transport, clock, error::Failure, retry, server_time::ServerTime,
};

/// What the server answered, and what its clock said.
pub(crate) struct Answer<T> {
    pub(crate) message: T,
    pub(crate) time: ServerTime,
}

impl Client {
    /// Makes a call, and again while its errors may pass. It must be one that may be done twice, for its
    /// answer may be lost.
    pub(crate) async fn ask<Q, R, F>(
        &self,
        call: &'static str,
        request: Q,
        attempt: impl Fn(Transport, Q) -> F,
    ) -> Result<Answer<R>, Error>
    where
        Q: Clone,
        F: Future<Output = Result<Response<R>, Status>>,
    {
        self.ask_until(pending(), call, request, attempt).await
    }

    /// The same; but once it is `given_up`, a server that is full is not asked again. One that did not
    /// answer may have done it, and is.
    pub(crate) async fn ask_until<Q, R, F>(
        &self,
        given_up: impl Future<Output = ()>,
        call: &'static str,
        request: Q,
        attempt: impl Fn(Transport, Q) -> F,
    ) -> Result<Answer<R>, Error>
    where
        Q: Clone,
        F: Future<Output = Result<Response<R>, Status>>,
    {
        let inner = self.inner();
        let began = clock::now();
        let mut given_up = pin!(given_up);
        let mut failures = 0;
        loop {
            let made = attempt(inner.calls.clone(), request.clone());
            let error = match self.attempt(call, inner.settings.call_timeout, made).await {
                Ok(answer) => return Ok(answer),
                Err(error) => error,
            };
            let left = inner.settings.retry_for.saturating_sub(began.elapsed());
            let pause = retry::next(failures, error.retry_after(), left, chance::share());
            let Some(pause) = pause.filter(|_| error.may_pass()) else {
                return Err(error);
            };
            tokio::select! {
                () = sleep(pause) => failures += 1,
                () = &mut given_up, if error.is_full() => return Err(error),
            }
        }
    }

    /// One attempt at a call, that is given up after so long.
    pub(crate) async fn attempt<R>(
        &self,
        call: &'static str,
        patience: Duration,
        made: impl Future<Output = Result<Response<R>, Status>>,
    ) -> Result<Answer<R>, Error> {
        let sent = clock::now();
        match timeout(patience, made).await {
            Ok(Ok(response)) => Ok(Answer {
                time: ServerTime::read(date(response.metadata()), sent, clock::wall()),
                message: response.into_inner(),
            }),
            Ok(Err(status)) => Err(self.refused(call, &status)),
            Err(_) => {
                let message = format!("no answer within {patience:?}");
                Err(Error::Timeout(self.failure(call, message)))
            }
        }
    }

    pub(crate) fn refused(&self, call: &'static str, status: &Status) -> Error {
        Error::of_status(call, &self.inner().server, status)
    }

    pub(crate) fn unavailable(&self, call: &'static str, why: &str) -> Error {
        Error::Unavailable(self.failure(call, why.to_owned()))
    }

    pub(crate) fn misunderstood(&self, call: &'static str, why: &str) -> Error {
        Error::Misunderstood(self.failure(call, why.to_owned()))
    }

    fn failure(&self, call: &'static str, message: String) -> Failure {
        let server = Arc::clone(&self.inner().server);
        Failure {
            call,
            server,
            message,
        }
    }
}

fn date(metadata: &MetadataMap) -> Option<&str> {
    metadata.get("date")?.to_str().ok()
}
