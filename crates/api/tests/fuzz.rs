//! The wire: whatever comes, messages are read or refused, and nothing panics. Runs a second of random
//! inputs by itself; `BOLERO_RANDOM_ITERATIONS` and `BOLERO_RANDOM_TEST_TIME_MS` ask for more, and
//! `cargo bolero test` lets a fuzzer steer.

#[path = "../../../tests/fuzz/edits.rs"]
mod edits;

use bolero::check;
use edits::{Edits, edited};
use foreshadow_allocator::AllocationRequest;
use foreshadow_api::{
    ListQuery, check_stream_batch, quota_from_proto, release_from_proto, trigger_from_proto,
    v1::{self, allocate_request::Target},
    well_known,
};
use prost::Message;

fn request() -> v1::AllocateRequest {
    let labels = [("zone".to_owned(), "a".to_owned())];
    v1::AllocateRequest {
        tenant_id: "acme".to_owned(),
        user_id: "ada".to_owned(),
        target: Some(Target::Requirements(v1::Requirements {
            vcpus: 1.5,
            memory_bytes: 1 << 30,
            dependencies: vec!["python3.12".to_owned()],
            labels: labels.clone().into(),
            preferences: vec![v1::requirements::Preference {
                labels: labels.into(),
            }],
            gpus: 1,
            ..v1::Requirements::default()
        })),
        priority: -3,
        availability_time: Some(well_known::Timestamp {
            seconds: 1_700_000_000,
            nanos: 5,
        }),
        max_wait: Some(well_known::Duration {
            seconds: 10,
            nanos: 1,
        }),
        merge_key: "m".to_owned(),
        idempotency_key: "k".to_owned(),
        ..v1::AllocateRequest::default()
    }
}

#[test]
fn requests_are_read_or_refused() {
    let valid = request().encode_to_vec();
    check!().with_type::<Edits>().for_each(|edits: &Edits| {
        if let Ok(wire) = v1::AllocateRequest::decode(&*edited(&valid, edits)) {
            let _outcome = AllocationRequest::try_from(wire);
        }
    });
}

#[test]
fn streams_are_read_or_refused() {
    let release = v1::ReleaseRequest {
        allocation_id: "a-42".to_owned(),
        fencing_token: 7,
    };
    let batch = v1::AllocateStreamRequest {
        requests: vec![request(); 2],
        releases: vec![release; 2],
    };
    let valid = batch.encode_to_vec();
    check!().with_type::<Edits>().for_each(|edits: &Edits| {
        let Ok(wire) = v1::AllocateStreamRequest::decode(&*edited(&valid, edits)) else {
            return;
        };
        if check_stream_batch(&wire).is_ok() {
            wire.releases.iter().for_each(|one| {
                let _outcome = release_from_proto(one);
            });
            wire.requests.into_iter().for_each(|one| {
                let _outcome = AllocationRequest::try_from(one);
            });
        }
    });
}

#[test]
fn anything_at_all_is_read_or_refused() {
    check!().for_each(|bytes: &[u8]| {
        if let Ok(wire) = v1::ListRequest::decode(bytes) {
            let _outcome = ListQuery::try_from(wire);
        }
        if let Ok(wire) = v1::TenantQuota::decode(bytes) {
            let _outcome = quota_from_proto(&wire);
        }
        if let Ok(wire) = v1::TriggerRule::decode(bytes) {
            let _outcome = trigger_from_proto(wire);
        }
    });
}

#[test]
fn json_is_read_or_refused() {
    let valid = serde_json::to_vec(&request()).expect("a message has a JSON form");
    check!().with_type::<Edits>().for_each(|edits: &Edits| {
        if let Ok(wire) = serde_json::from_slice::<v1::AllocateRequest>(&edited(&valid, edits)) {
            let _outcome = AllocationRequest::try_from(wire);
        }
    });
}
