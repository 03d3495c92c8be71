//! What a status carries beside its code.

use std::{error::Error as _, time::Duration};

use tonic::Status;
use tonic_types::StatusExt as _;

/// The delay that the server asks for, if it does.
pub(crate) fn retry_delay(status: &Status) -> Option<Duration> {
    status.get_details_retry_info()?.retry_delay
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
    use tonic_types::ErrorDetails;

    use super::*;

    #[test]
    fn the_delay_is_found_among_the_details() {
        let delay = Duration::from_millis(1_500);
        let mut details = ErrorDetails::with_help_link("the manual", "https://pools.example");
        details.set_retry_info(Some(delay));
        let full = Status::with_error_details(Code::ResourceExhausted, "full", details);
        assert_eq!(retry_delay(&full), Some(delay));
    }

    #[test]
    fn no_delay_is_found_where_there_is_none() {
        let broken = Status::with_details(Code::ResourceExhausted, "full", vec![255].into());
        let help = ErrorDetails::with_help_link("the manual", "https://pools.example");
        let other = Status::with_error_details(Code::ResourceExhausted, "full", help);
        for status in [broken, other, Status::unavailable("away")] {
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
