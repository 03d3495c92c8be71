//! What a status carries beside its code.

use std::{error::Error as _, time::Duration};

use prost::Message;
use tonic::Status;

/// `google.rpc.Status`, the form in which gRPC carries details.
#[derive(Clone, PartialEq, Message)]
struct RpcStatus {
    #[prost(message, repeated, tag = "3")]
    details: Vec<prost_types::Any>,
}

/// `google.rpc.RetryInfo`.
#[derive(Clone, PartialEq, Message)]
struct RetryInfo {
    #[prost(message, optional, tag = "1")]
    retry_delay: Option<prost_types::Duration>,
}

const RETRY_INFO: &str = "type.googleapis.com/google.rpc.RetryInfo";

/// The delay that the server asks for, if it does.
pub(crate) fn retry_delay(status: &Status) -> Option<Duration> {
    let details = RpcStatus::decode(status.details()).ok()?.details;
    let retry = details.iter().find(|any| any.type_url == RETRY_INFO)?;
    let retry = RetryInfo::decode(retry.value.as_slice()).ok()?;
    retry.retry_delay?.try_into().ok()
}

/// Whether the status was made here, because the connection failed, and not by the server.
pub(crate) fn is_local(status: &Status) -> bool {
    status.source().is_some()
}

/// What tonic says where only the cause says anything.
const EMPTY: &str = "transport error";

/// What a status says, with the causes of what failed here.
pub(crate) fn message(status: &Status) -> String {
    let mut message = match status.message() {
        "" => format!("{:?}", status.code()),
        said => said.to_owned(),
    };
    let mut cause = status.source();
    while let Some(error) = cause {
        let said = error.to_string();
        if said != EMPTY && !message.contains(&said) {
            message = format!("{message}: {said}");
        }
        cause = error.source();
    }
    message
}

#[cfg(test)]
mod tests {
    use tonic::Code;

    use super::*;

    fn refused(type_url: &str, seconds: i64) -> Status {
        let retry = RetryInfo {
            retry_delay: Some(prost_types::Duration {
                seconds,
                nanos: 500_000_000,
            }),
        };
        let details = RpcStatus {
            details: vec![prost_types::Any {
                type_url: type_url.to_owned(),
                value: retry.encode_to_vec(),
            }],
        };
        let details = details.encode_to_vec().into();
        Status::with_details(Code::ResourceExhausted, "full", details)
    }

    #[test]
    fn the_delay_is_found_among_the_details() {
        let delay = retry_delay(&refused(RETRY_INFO, 1));
        assert_eq!(delay, Some(Duration::from_millis(1_500)));
    }

    #[test]
    fn no_delay_is_found_where_there_is_none() {
        let broken = Status::with_details(Code::ResourceExhausted, "full", vec![255].into());
        let other = refused("type.googleapis.com/google.rpc.Help", 1);
        let negative = refused(RETRY_INFO, -9);
        for status in [broken, other, negative, Status::unavailable("away")] {
            assert_eq!(retry_delay(&status), None);
        }
    }

    #[test]
    fn what_failed_here_says_its_causes() {
        let status = Status::from_error(Box::new(std::io::Error::other("no route")));
        assert!(is_local(&status));
        assert!(message(&status).contains("no route"));
        assert_eq!(message(&Status::new(Code::Internal, "")), "Internal");
        assert!(!is_local(&Status::unavailable("away")));
    }
}
