//! Sending batches, and saying when it fails.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use foreshadow_types::Timestamp;
use opentelemetry_otlp::SpanExporter as Otlp;
use opentelemetry_sdk::{
    Resource,
    error::OTelSdkResult,
    trace::{SpanData, SpanExporter},
};

use crate::clock;

/// How often it is said that traces are lost.
const SAID_EVERY: Duration = Duration::from_mins(1);

/// Sends batches on, and says now and then that it fails: a collector that is away harms nobody else.
#[derive(Debug)]
pub(super) struct Reported {
    inner: Otlp,
    endpoint: String,
    lost: Mutex<Lost>,
}

impl Reported {
    pub(super) fn new(inner: Otlp, endpoint: &str) -> Self {
        Self {
            inner,
            endpoint: endpoint.to_owned(),
            lost: Mutex::default(),
        }
    }
}

impl SpanExporter for Reported {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let spans = batch.len() as u64;
        let sent = self.inner.export(batch).await;
        if let Err(error) = &sent {
            let mut lost = self.lost.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(lost) = lost.due(spans, clock::now()) {
                tracing::warn!(endpoint = self.endpoint, lost, %error, "traces are not taken");
            }
        }
        sent
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.inner.shutdown_with_timeout(timeout)
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.inner.set_resource(resource);
    }
}

/// Spans that were lost and not spoken of, and when it was last said.
#[derive(Debug, Default)]
struct Lost {
    spans: u64,
    said: Option<Timestamp>,
}

impl Lost {
    /// So many more are lost; how many there are to be told of, if it is time to.
    fn due(&mut self, more: u64, now: Timestamp) -> Option<u64> {
        self.spans += more;
        if self.said.is_some_and(|said| now.since(said) < SAID_EVERY) {
            return None;
        }
        self.said = Some(now);
        Some(std::mem::take(&mut self.spans))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_lost_is_said_at_once_and_then_once_a_minute() {
        let mut lost = Lost::default();
        let mut said = |second: i64| lost.due(5, Timestamp::from_millis(1_000 * second));
        assert_eq!(said(0), Some(5));
        assert_eq!(said(1), None);
        assert_eq!(said(59), None);
        assert_eq!(said(60), Some(15));
        assert_eq!(said(61), None);
    }
}
