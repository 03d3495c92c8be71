//! Calls to the allocator that a pool falls back on.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use foreshadow_types::{ApplicationId, UserId};
use serde::{Deserialize, Serialize};
use tokio::{sync::Semaphore, time::timeout};

use super::spec::FallbackSpec;
use crate::{clock, provider::Claim};

/// How many calls are under way at a time.
const CALLS_AT_A_TIME: usize = 16;

/// The largest answer that is read.
const MAX_ANSWER_BYTES: u64 = 64 * 1024;

/// The longest address or id that is taken.
const MAX_WORD: usize = 255;

/// How long it is left alone after it did not answer; doubling each time.
const FIRST_REST: Duration = Duration::from_millis(250);
const LONGEST_REST: Duration = Duration::from_secs(10);

/// What an allocator said to a claim.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Outcome {
    Granted(Granted),
    /// It has nothing, for sure.
    Nothing,
    /// It did not answer, or not as it must: it may have set something aside.
    Unknown,
}

/// What an allocator gave.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Granted {
    /// Where it is reached.
    pub(super) address: String,
    /// The allocator's own name for it, if it has one.
    #[serde(default)]
    pub(super) id: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct AllocateBody<'a> {
    request_id: &'a str,
    pool: &'a str,
    allocation_id: String,
    tenant_id: &'a str,
    user_id: Option<&'a str>,
    application_id: Option<&'a str>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ReleaseBody<'a> {
    request_id: &'a str,
    id: &'a str,
}

/// One allocator.
#[derive(Debug, Clone)]
pub(super) struct Webhook {
    agent: ureq::Agent,
    url: Arc<str>,
    timeout: Duration,
    permits: Arc<Semaphore>,
    rest: Arc<Mutex<Rest>>,
}

/// Until when an allocator that did not answer is left alone.
#[derive(Debug, Default)]
struct Rest {
    failures: u32,
    until: Option<Instant>,
}

impl Webhook {
    pub(super) fn new(spec: &FallbackSpec) -> Self {
        let agent = ureq::Agent::config_builder()
            .timeout_global(Some(spec.timeout))
            .http_status_as_error(false)
            .max_redirects(0)
            .proxy(None)
            .build()
            .into();
        Self {
            agent,
            url: spec.url.trim_end_matches('/').into(),
            timeout: spec.timeout,
            permits: Arc::new(Semaphore::new(CALLS_AT_A_TIME)),
            rest: Arc::default(),
        }
    }

    /// Whether it may be asked now: not for a while after it did not answer.
    pub(super) fn is_asked(&self) -> bool {
        let rest = self.rest.lock().unwrap_or_else(PoisonError::into_inner);
        rest.until.is_none_or(|until| until <= clock::now())
    }

    /// Passes a claim on; never takes longer than the timeout.
    pub(super) async fn allocate(&self, request_id: &str, pool: &str, claim: &Claim) -> Outcome {
        let body = AllocateBody {
            request_id,
            pool,
            allocation_id: claim.allocation.to_string(),
            tenant_id: claim.tenant.as_str(),
            user_id: claim.user.as_ref().map(UserId::as_str),
            application_id: claim.application.as_ref().map(ApplicationId::as_str),
        };
        let answered = self.call("allocate", &body).await;
        let outcome = match &answered {
            Ok((status, body)) => outcome_of(*status, body),
            Err(reason) => Err(reason.clone()),
        };
        self.note(outcome.as_ref().err());
        outcome.unwrap_or(Outcome::Unknown)
    }

    /// Gives back what a claim was given; false if that is to be tried again.
    pub(super) async fn release(&self, request_id: &str, id: &str) -> bool {
        let body = ReleaseBody { request_id, id };
        let answered = self.call("release", &body).await;
        matches!(answered, Ok((200..=299 | 404 | 410, _)))
    }

    async fn call(&self, verb: &str, body: &impl Serialize) -> Result<(u16, Vec<u8>), String> {
        let body = serde_json::to_vec(body).map_err(|error| error.to_string())?;
        let url = format!("{}/{verb}", self.url);
        let agent = self.agent.clone();
        let called = async {
            let _permit = self.permits.acquire().await;
            tokio::task::spawn_blocking(move || post(&agent, &url, &body)).await
        };
        match timeout(self.timeout, called).await {
            Ok(Ok(answered)) => answered,
            Ok(Err(error)) => Err(error.to_string()),
            Err(_) => Err(format!("no answer within {:?}", self.timeout)),
        }
    }

    fn note(&self, failure: Option<&String>) {
        let mut rest = self.rest.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(reason) = failure else {
            if rest.failures > 0 {
                tracing::info!(url = %self.url, "the fallback answers again");
            }
            *rest = Rest::default();
            return;
        };
        if rest.failures == 0 {
            tracing::warn!(url = %self.url, reason, "a fallback fails; starts go on without it");
        }
        let doublings = rest.failures.min(6);
        rest.failures = rest.failures.saturating_add(1);
        rest.until = Some(clock::now() + (FIRST_REST * (1 << doublings)).min(LONGEST_REST));
    }
}

fn post(agent: &ureq::Agent, url: &str, body: &[u8]) -> Result<(u16, Vec<u8>), String> {
    let request = agent.post(url).header("Content-Type", "application/json");
    let mut answer = request.send(body).map_err(|error| error.to_string())?;
    let read = answer.body_mut().with_config().limit(MAX_ANSWER_BYTES);
    let body = read.read_to_vec().map_err(|error| error.to_string())?;
    Ok((answer.status().as_u16(), body))
}

/// What an answer means; an error is one that an allocator that works does not give.
fn outcome_of(status: u16, body: &[u8]) -> Result<Outcome, String> {
    match status {
        200 | 201 => {
            let granted: Granted = serde_json::from_slice(body)
                .map_err(|error| format!("its answer is not as it must be: {error}"))?;
            let word = |text: &str| {
                text.len() <= MAX_WORD && text.bytes().all(|byte| byte.is_ascii_graphic())
            };
            if granted.address.is_empty() || !word(&granted.address) || !word(&granted.id) {
                let reason = "its `address` or `id` is not 1 to 255 printable ASCII characters";
                return Err(reason.to_owned());
            }
            Ok(Outcome::Granted(granted))
        }
        204 | 404 | 409 | 429 => Ok(Outcome::Nothing),
        other => Err(format!("it answered with status {other}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_grants_has_nothing_or_is_a_failure() {
        let granted = outcome_of(
            200,
            br#"{"address": "10.0.0.1:80", "id": "vm-1", "more": 1}"#,
        );
        let expected = Granted {
            address: "10.0.0.1:80".to_owned(),
            id: "vm-1".to_owned(),
        };
        assert_eq!(granted, Ok(Outcome::Granted(expected)));
        assert_eq!(outcome_of(204, b""), Ok(Outcome::Nothing));
        assert_eq!(outcome_of(409, b"full"), Ok(Outcome::Nothing));
        for (status, body) in [
            (200, &b"granted"[..]),
            (200, br#"{"address": ""}"#),
            (200, br#"{"address": "a b"}"#),
            (302, b""),
            (500, b"oops"),
        ] {
            assert!(outcome_of(status, body).is_err(), "{status}");
        }
    }

    #[test]
    fn an_allocator_that_fails_is_left_alone_for_a_while() {
        let webhook = Webhook::new(&FallbackSpec::new("http://127.0.0.1:1"));
        assert!(webhook.is_asked());
        webhook.note(Some(&"no answer".to_owned()));
        assert!(!webhook.is_asked());
        webhook.note(None);
        assert!(webhook.is_asked());
    }
}
