//! Rows as the journal keeps them: records of their own, so that a change of the domain does not
//! change what was written.

use std::{sync::Arc, time::Duration};

use foreshadow_history::RequestRecord;
use foreshadow_shadow::Observation;
use foreshadow_types::{ApplicationId, Bytes, EntityId, PoolName, Timestamp, UserId, Vcpus};
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize)]
struct UsageRow<'a> {
    entity: &'a str,
    metric: &'a str,
    at_ms: i64,
    value: f64,
}

#[derive(Serialize, Deserialize)]
struct RequestRow<'a> {
    at_ms: i64,
    user: Option<&'a str>,
    application: Option<&'a str>,
    pool: &'a str,
    hold_ms: Option<u64>,
    vcpus_thousandths: Option<u64>,
    memory_bytes: Option<u64>,
}

/// Writes samples into `bytes`, which is emptied first.
pub(super) fn encode_usage(samples: &[Observation], bytes: &mut Vec<u8>) {
    bytes.clear();
    for sample in samples {
        let row = UsageRow {
            entity: sample.entity.as_str(),
            metric: &sample.metric,
            at_ms: sample.at.as_millis(),
            value: sample.value,
        };
        append(&row, bytes);
    }
}

/// Reads what [`encode_usage`] has written; what is not understood ends it.
pub(super) fn decode_usage(mut bytes: &[u8], samples: &mut Vec<Observation>) {
    while let Ok((row, rest)) = postcard::take_from_bytes::<UsageRow<'_>>(bytes) {
        bytes = rest;
        let Ok(entity) = EntityId::new(row.entity) else {
            continue;
        };
        samples.push(Observation {
            entity,
            metric: Arc::from(row.metric),
            at: Timestamp::from_millis(row.at_ms),
            value: row.value,
        });
    }
}

/// Writes requests into `bytes`, which is emptied first.
pub(crate) fn encode_requests(requests: &[RequestRecord], bytes: &mut Vec<u8>) {
    bytes.clear();
    for request in requests {
        let row = RequestRow {
            at_ms: request.at.as_millis(),
            user: request.user.as_ref().map(UserId::as_str),
            application: request.application.as_ref().map(ApplicationId::as_str),
            pool: request.pool.as_str(),
            hold_ms: request.hold.map(|hold| hold.as_millis() as u64),
            vcpus_thousandths: request.vcpus.map(Vcpus::thousandths),
            memory_bytes: request.memory.map(|memory| memory.0),
        };
        append(&row, bytes);
    }
}

/// Reads what [`encode_requests`] has written; what is not understood ends it.
pub(super) fn decode_requests(mut bytes: &[u8], requests: &mut Vec<RequestRecord>) {
    while let Ok((row, rest)) = postcard::take_from_bytes::<RequestRow<'_>>(bytes) {
        bytes = rest;
        let Ok(pool) = PoolName::new(row.pool) else {
            continue;
        };
        requests.push(RequestRecord {
            at: Timestamp::from_millis(row.at_ms),
            user: row.user.and_then(|user| UserId::new(user).ok()),
            application: row
                .application
                .and_then(|name| ApplicationId::new(name).ok()),
            pool,
            hold: row.hold_ms.map(Duration::from_millis),
            vcpus: row.vcpus_thousandths.map(Vcpus::from_thousandths),
            memory: row.memory_bytes.map(Bytes),
            merge_key: None,
        });
    }
}

fn append(row: &impl Serialize, bytes: &mut Vec<u8>) {
    // Writing plain values to memory does not fail.
    let _ = postcard::to_io(row, bytes);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_read_back_as_they_were() {
        let samples = [1.5, -2.0].map(|value| Observation {
            entity: EntityId::new("ada").unwrap(),
            metric: "cpu".into(),
            at: Timestamp::from_millis(-5),
            value,
        });
        let mut bytes = vec![1, 2, 3];
        encode_usage(&samples, &mut bytes);
        let mut read = Vec::new();
        decode_usage(&bytes, &mut read);
        assert_eq!(read, samples);

        let requests = [None, Some(Duration::from_secs(9))].map(|hold| RequestRecord {
            at: Timestamp::from_millis(7),
            user: UserId::new("ada").ok(),
            application: None,
            pool: PoolName::new("web").unwrap(),
            hold,
            vcpus: Vcpus::new(0.5).ok(),
            memory: Some(Bytes(1 << 30)),
            merge_key: None,
        });
        encode_requests(&requests, &mut bytes);
        let mut read = Vec::new();
        decode_requests(&bytes, &mut read);
        assert_eq!(read, requests);
        decode_requests(&bytes[..bytes.len() - 1], &mut read);
        assert_eq!(read.len(), 3, "the cut row is left out");
    }
}
