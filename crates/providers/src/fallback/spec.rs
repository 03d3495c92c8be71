//! Where the allocator listens that a pool falls back on.

use std::time::Duration;

use crate::spec::SpecError;

/// An allocator that was there before Foreshadow: a start that somebody waits for is asked of it
/// first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FallbackSpec {
    /// Its webhook, `http://HOST[:PORT][/PATH]`; `/allocate` and `/release` are added.
    pub url: String,
    /// How long it may take to answer; the start goes on without it after that.
    pub timeout: Duration,
}

impl FallbackSpec {
    /// An allocator at this URL that has half a second to answer.
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            timeout: Duration::from_millis(500),
        }
    }

    /// Checks everything that can be known before it is called.
    ///
    /// # Errors
    /// [`SpecError`] names the first field at fault.
    pub fn validate(&self) -> Result<(), SpecError> {
        let uri: Result<tonic::codegen::http::Uri, _> = self.url.parse();
        let usable = uri.is_ok_and(|uri| {
            uri.scheme_str() == Some("http")
                && uri.host().is_some_and(|host| !host.is_empty())
                && uri.query().is_none()
        });
        if !usable {
            return Err(SpecError::FallbackUrl(self.url.clone()));
        }
        if self.timeout.is_zero() {
            return Err(SpecError::Zero("fallback.timeout"));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_one_that_can_be_called() {
        for good in ["http://127.0.0.1:9100", "http://allocator/pools/game/"] {
            assert_eq!(FallbackSpec::new(good).validate(), Ok(()), "{good}");
        }
        for bad in ["", "allocator", "https://a", "http://a?b=c", "ftp://a"] {
            let refused = FallbackSpec::new(bad).validate();
            assert_eq!(
                refused,
                Err(SpecError::FallbackUrl(bad.to_owned())),
                "{bad}"
            );
        }
        let mut hasty = FallbackSpec::new("http://a");
        hasty.timeout = Duration::ZERO;
        assert_eq!(hasty.validate(), Err(SpecError::Zero("fallback.timeout")));
    }
}
