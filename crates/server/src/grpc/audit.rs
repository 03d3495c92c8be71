//! Writing down who changed what.

use std::future::Future;

use foreshadow_api::{FieldError, page_size, timestamp_to_proto, v1};
use foreshadow_engine::{AuditQuery, AuditRecord, EngineError, EngineHandle};
use serde::Serialize;

use crate::{access::Caller, error::ApiError};

/// Makes a change and writes down who made it with which request, and what came of it. Both are done in
/// a task of their own, so that a caller that goes away leaves no change behind that nobody made. A
/// change that was made stands even if it cannot be written down; the log says so.
pub(crate) async fn audited<R, T, F>(
    engine: &EngineHandle,
    caller: &Caller,
    action: &str,
    request: R,
    change: impl FnOnce(EngineHandle, R) -> F,
) -> Result<T, ApiError>
where
    R: Serialize,
    T: Send + 'static,
    F: Future<Output = Result<T, ApiError>> + Send + 'static,
{
    let mut record = AuditRecord {
        request: serde_json::to_string(&request).unwrap_or_default(),
        ..caller.record(action)
    };
    let (engine, change) = (engine.clone(), change(engine.clone(), request));
    let made = tokio::spawn(async move {
        let outcome = change.await;
        if let Err(error) = &outcome {
            record.refusal.clone_from(&error.message);
        }
        write_down(&engine, record).await;
        outcome
    });
    made.await
        .unwrap_or_else(|_| Err(EngineError::Stopped.into()))
}

async fn write_down(engine: &EngineHandle, record: AuditRecord) {
    let (action, who) = (record.action.clone(), record.who.clone());
    if let Err(error) = engine.audit(record).await {
        tracing::error!(action, who, %error, "a change was not written down");
    }
}

/// A page of changes: for gRPC and HTTP alike.
pub(crate) async fn audit_events(
    engine: &EngineHandle,
    request: v1::ListAuditEventsRequest,
) -> Result<v1::ListAuditEventsResponse, ApiError> {
    let limit = page_size(request.page_size);
    let before = match request.page_token.as_str() {
        "" => None,
        text => Some(text.parse().map_err(|_| {
            let problem = format!("`{text}` is none; give the next_page_token of a response");
            FieldError::new("page_token", problem)
        })?),
    };
    let given = |text: String| (!text.is_empty()).then_some(text);
    let query = AuditQuery {
        before,
        who: given(request.who),
        action: given(request.action),
        limit,
    };
    let found = engine.audited(query).await?;
    let more = found.len() == limit;
    let last = found.last().filter(|_| more);
    Ok(v1::ListAuditEventsResponse {
        next_page_token: last.map(|record| record.id.to_string()).unwrap_or_default(),
        events: found.into_iter().map(event).collect(),
    })
}

fn event(record: AuditRecord) -> v1::AuditEvent {
    v1::AuditEvent {
        at: Some(timestamp_to_proto(record.at)),
        who: record.who,
        role: record.role,
        peer: record.peer,
        action: record.action,
        request: record.request,
        refusal: record.refusal,
    }
}
