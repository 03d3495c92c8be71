//! Calls to an external provider: each with a deadline, a token and a check of its answer.

use std::{
    path::PathBuf,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    time::Duration,
};

use foreshadow_types::{InstanceId, PoolName};
use thiserror::Error;
use tokio::{sync::Semaphore, time::timeout};
use tonic::{
    Code, Request, Response, Status, Streaming,
    metadata::{Ascii, MetadataValue},
    transport::{Channel, Endpoint},
};
use tracing::Span;

use super::spec::{ExternalSpec, token};
use crate::{
    trace,
    wire::v1::{self, instance::State, provider_client::ProviderClient},
};

/// How many calls are under way at one provider at a time.
const CALLS_AT_A_TIME: usize = 64;

/// How many of them are checks of living instances, so that all others find a place.
const CHECKS_AT_A_TIME: usize = 16;

/// After so many calls in a row without any answer another connection is tried: that of a machine
/// which has gone says nothing.
const SILENT_CALLS: u32 = 3;

/// The longest address that is taken.
const MAX_ADDRESS: usize = 255;

/// How much is kept of what a provider says.
const MAX_WORDS: usize = 200;

/// Why a call came to nothing.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub(super) enum CallError {
    /// It may go well when it is tried again.
    #[error("{0}")]
    Passing(String),
    /// There is no such instance.
    #[error("the provider knows no such instance")]
    NotFound,
    /// The provider does not offer this.
    #[error("the provider does not offer this call")]
    Unimplemented,
    /// It was refused, or the answer makes no sense.
    #[error("{0}")]
    Refused(String),
}

/// One provider: the connection that all its pools share.
#[derive(Debug, Clone)]
pub(super) struct Line(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    endpoint: Endpoint,
    client: Mutex<ProviderClient<Channel>>,
    permits: Semaphore,
    checks: Semaphore,
    /// Whether it answered when it was called last, so that an outage is told once.
    answers: AtomicBool,
    /// Calls in a row that got no answer at all.
    silent: AtomicU32,
}

impl Line {
    /// A line to a provider; it is connected when it is called. To be made within a tokio runtime.
    pub(super) fn new(endpoint: Endpoint) -> Self {
        Self(Arc::new(Shared {
            client: Mutex::new(ProviderClient::new(endpoint.connect_lazy())),
            endpoint,
            permits: Semaphore::new(CALLS_AT_A_TIME),
            checks: Semaphore::new(CHECKS_AT_A_TIME),
            answers: AtomicBool::new(true),
            silent: AtomicU32::new(0),
        }))
    }

    /// Held for a few instructions at a time, never over an await.
    fn client(&self) -> ProviderClient<Channel> {
        let client = self.0.client.lock();
        client.unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The deadline of a call passed without a word.
    fn silent(&self) {
        if self.0.silent.fetch_add(1, Ordering::Relaxed) + 1 < SILENT_CALLS {
            return;
        }
        self.0.silent.store(0, Ordering::Relaxed);
        let another = ProviderClient::new(self.0.endpoint.connect_lazy());
        *self.0.client.lock().unwrap_or_else(PoisonError::into_inner) = another;
    }

    fn note(&self, error: Option<&CallError>) {
        match error {
            Some(CallError::Passing(reason)) => {
                if self.0.answers.swap(false, Ordering::Relaxed) {
                    tracing::warn!(
                        endpoint = %self.0.endpoint.uri(),
                        reason,
                        "an external provider does not answer; its instances stay as they are"
                    );
                }
            }
            Some(CallError::NotFound | CallError::Unimplemented | CallError::Refused(_)) | None => {
                if !self.0.answers.swap(true, Ordering::Relaxed) {
                    tracing::info!(endpoint = %self.0.endpoint.uri(), "the external provider answers again");
                }
            }
        }
    }
}

/// Everything that a call needs beside its message.
#[derive(Debug, Clone)]
pub(super) struct Caller {
    pub(super) line: Line,
    pub(super) owner: Arc<str>,
    pub(super) token_file: Option<PathBuf>,
    pub(super) deadline: Duration,
}

impl Caller {
    pub(super) async fn start(
        &self,
        pool: &PoolName,
        id: InstanceId,
        spec: &ExternalSpec,
    ) -> Result<Answer, CallError> {
        let message = v1::StartRequest {
            owner: self.owner.to_string(),
            instance_id: id.to_string(),
            pool: pool.to_string(),
            parameters: spec.parameters.clone(),
        };
        let request = self.request(message)?;
        let mut client = self.line.client();
        Answer::of(id, self.within(client.start(request)).await?)
    }

    pub(super) async fn get(&self, id: InstanceId) -> Result<Answer, CallError> {
        let message = v1::GetRequest {
            owner: self.owner.to_string(),
            instance_id: id.to_string(),
        };
        let request = self.request(message)?;
        let mut client = self.line.client();
        Answer::of(id, self.within(client.get(request)).await?)
    }

    /// The same as a regular check, of which only so many are made at a time.
    pub(super) async fn check(&self, id: InstanceId) -> Result<Answer, CallError> {
        let _permit = self.line.0.checks.acquire().await;
        self.get(id).await
    }

    pub(super) async fn reset(&self, id: InstanceId) -> Result<Answer, CallError> {
        let message = v1::ResetRequest {
            owner: self.owner.to_string(),
            instance_id: id.to_string(),
        };
        let request = self.request(message)?;
        let mut client = self.line.client();
        Answer::of(id, self.within(client.reset(request)).await?)
    }

    /// Puts an instance at rest, or wakes it.
    pub(super) async fn rest(&self, id: InstanceId, rest: bool) -> Result<(), CallError> {
        let (owner, instance_id) = (self.owner.to_string(), id.to_string());
        let mut client = self.line.client();
        if rest {
            let message = v1::HoldRequest { owner, instance_id };
            let request = self.request(message)?;
            self.within(client.hold(request)).await.map(|_| ())
        } else {
            let message = v1::ThawRequest { owner, instance_id };
            let request = self.request(message)?;
            self.within(client.thaw(request)).await.map(|_| ())
        }
    }

    pub(super) async fn stop(&self, id: InstanceId, grace: Duration) -> Result<Answer, CallError> {
        let message = v1::StopRequest {
            owner: self.owner.to_string(),
            instance_id: id.to_string(),
            grace_ms: u64::try_from(grace.as_millis()).unwrap_or(u64::MAX),
        };
        let request = self.request(message)?;
        let mut client = self.line.client();
        Answer::of(id, self.within(client.stop(request)).await?)
    }

    /// All instances of ours; the deadline is that of each message.
    pub(super) async fn list(&self) -> Result<Listing, CallError> {
        let message = v1::ListRequest {
            owner: self.owner.to_string(),
        };
        let mut request = self.request(message)?;
        // The deadline that travels is that of the whole call, which a long list may pass.
        request.metadata_mut().remove("grpc-timeout");
        let mut client = self.line.client();
        let stream = self.within(client.list(request)).await?;
        let deadline = self.deadline;
        Ok(Listing { stream, deadline })
    }

    fn request<M>(&self, message: M) -> Result<Request<M>, CallError> {
        let mut request = Request::new(message);
        // A little longer than our own, which tells silence from an answer.
        request.set_timeout(self.deadline + self.deadline / 4);
        trace::tell(&Span::current(), request.metadata_mut());
        if let Some(path) = &self.token_file {
            let header = bearer(path).map_err(CallError::Passing);
            let mut header = header.inspect_err(|error| self.line.note(Some(error)))?;
            header.set_sensitive(true);
            request.metadata_mut().insert("authorization", header);
        }
        Ok(request)
    }

    async fn within<T>(
        &self,
        call: impl Future<Output = Result<Response<T>, Status>>,
    ) -> Result<T, CallError> {
        // Who waits for a permit waits for calls that all have a deadline.
        let _permit = self.line.0.permits.acquire().await;
        let outcome = if let Ok(answer) = timeout(self.deadline, call).await {
            self.line.0.silent.store(0, Ordering::Relaxed);
            answer
                .map(Response::into_inner)
                .map_err(|status| refused(&status))
        } else {
            self.line.silent();
            let limit = self.deadline;
            let reason = format!("the provider did not answer within {limit:?}");
            Err(CallError::Passing(reason))
        };
        self.line.note(outcome.as_ref().err());
        outcome
    }
}

fn bearer(path: &std::path::Path) -> Result<MetadataValue<Ascii>, String> {
    let unusable = |reason: String| format!("`token_file` is `{}`: {reason}", path.display());
    let token = token(path).map_err(unusable)?;
    let header = format!("Bearer {token}").parse();
    header.map_err(|_| unusable("it cannot be sent in a header".to_owned()))
}

fn refused(status: &Status) -> CallError {
    let words: String = status.message().chars().take(MAX_WORDS).collect();
    let reason = format!("the provider answered {:?}: {words}", status.code());
    // One that the transport made of a broken connection: the provider has not refused anything.
    if std::error::Error::source(status).is_some() {
        return CallError::Passing(reason);
    }
    match status.code() {
        Code::NotFound => CallError::NotFound,
        Code::Unimplemented => CallError::Unimplemented,
        Code::Unavailable
        | Code::DeadlineExceeded
        | Code::ResourceExhausted
        | Code::Aborted
        | Code::Cancelled => CallError::Passing(reason),
        Code::Ok
        | Code::Unknown
        | Code::InvalidArgument
        | Code::AlreadyExists
        | Code::PermissionDenied
        | Code::FailedPrecondition
        | Code::OutOfRange
        | Code::Internal
        | Code::DataLoss
        | Code::Unauthenticated => CallError::Refused(reason),
    }
}

/// What a provider says of one instance, checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Answer {
    pub(super) state: State,
    pub(super) address: String,
    pub(super) reason: String,
}

impl Answer {
    fn of(asked: InstanceId, instance: v1::Instance) -> Result<Self, CallError> {
        if instance.instance_id != asked.to_string() {
            let about: String = instance.instance_id.chars().take(MAX_WORDS).collect();
            let reason = format!("asked about {asked}, the provider answered about {about:?}");
            return Err(CallError::Refused(reason));
        }
        let state = match State::try_from(instance.state) {
            Ok(State::Unspecified) | Err(_) => {
                let number = instance.state;
                let reason = format!("the provider answered with state {number}, which is none");
                return Err(CallError::Refused(reason));
            }
            Ok(state) => state,
        };
        let printable = instance.address.bytes().all(|byte| byte.is_ascii_graphic());
        if instance.address.len() > MAX_ADDRESS || !printable {
            let reason = "the provider gave an address that is not at most 255 printable ASCII \
                          characters";
            return Err(CallError::Refused(reason.to_owned()));
        }
        Ok(Self {
            state,
            address: instance.address,
            reason: instance.reason.chars().take(MAX_WORDS).collect(),
        })
    }

    /// The provider's reason, if it gives one.
    pub(super) fn because(&self) -> String {
        if self.reason.is_empty() {
            return "the provider gives no reason".to_owned();
        }
        self.reason.clone()
    }
}

/// The instances of an owner, one after the other.
#[derive(Debug)]
pub(super) struct Listing {
    stream: Streaming<v1::Instance>,
    deadline: Duration,
}

impl Listing {
    /// The next instance that may still be there; `None` at the end. What cannot be one of ours is
    /// passed over.
    pub(super) async fn next(&mut self) -> Result<Option<InstanceId>, CallError> {
        loop {
            let message = match timeout(self.deadline, self.stream.message()).await {
                Ok(Ok(message)) => message,
                Ok(Err(status)) => return Err(refused(&status)),
                Err(_) => {
                    let reason = "the provider's list came to a halt".to_owned();
                    return Err(CallError::Passing(reason));
                }
            };
            let Some(instance) = message else {
                return Ok(None);
            };
            let gone = instance.state == State::Gone as i32;
            if let (Ok(id), false) = (instance.instance_id.parse(), gone) {
                return Ok(Some(id));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn instance(state: i32) -> v1::Instance {
        v1::Instance {
            instance_id: "i-7".to_owned(),
            state,
            address: "10.0.0.7:8080".to_owned(),
            ..v1::Instance::default()
        }
    }

    #[test]
    fn an_answer_is_taken_only_if_it_makes_sense() {
        let id = InstanceId(7);
        let ready = Answer::of(id, instance(State::Ready as i32)).unwrap();
        assert_eq!(ready.state, State::Ready);
        assert_eq!(ready.because(), "the provider gives no reason");
        let refused = |asked, instance| match Answer::of(asked, instance) {
            Err(CallError::Refused(reason)) => reason,
            other => panic!("{other:?}"),
        };
        assert!(refused(InstanceId(8), instance(2)).contains("i-8"));
        assert!(refused(id, instance(0)).contains("state 0"));
        assert!(refused(id, instance(99)).contains("state 99"));
        let mut long = instance(2);
        long.address = "a".repeat(256);
        assert!(refused(id, long).contains("address"));
        let mut split = instance(2);
        split.address = "a:1\r\nb:2".to_owned();
        assert!(refused(id, split).contains("address"));
    }

    #[test]
    fn what_may_pass_is_told_from_what_will_not() {
        let of = |code| refused(&Status::new(code, "no"));
        assert!(matches!(of(Code::Unavailable), CallError::Passing(_)));
        assert!(matches!(of(Code::DeadlineExceeded), CallError::Passing(_)));
        assert!(matches!(of(Code::NotFound), CallError::NotFound));
        assert!(matches!(of(Code::Unimplemented), CallError::Unimplemented));
        assert!(matches!(of(Code::InvalidArgument), CallError::Refused(_)));
        assert!(matches!(of(Code::Unauthenticated), CallError::Refused(_)));
    }
}
