//! What an external provider is reached by, and how its instances are treated.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    time::Duration,
};

use tonic::transport::Endpoint;

use crate::spec::{Hold, SpecError};

/// The largest file of a token.
const MAX_TOKEN_BYTES: u64 = 16 * 1024;

/// The most parameters, and the most bytes in all of them together.
const MAX_PARAMETERS: usize = 1_024;
const MAX_PARAMETER_BYTES: usize = 256 * 1024;

/// A provider somewhere else that speaks `foreshadow.provider.v1`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExternalSpec {
    /// Where it listens: `http://HOST:PORT` or `unix:///PATH`.
    pub endpoint: String,
    /// A file with the bearer token of every call; read anew for each, so that it can be exchanged.
    pub token_file: Option<PathBuf>,
    /// Told to it at each start.
    pub parameters: BTreeMap<String, String>,
    /// What an instance does while it is warm.
    pub hold: Hold,
    /// How long an instance may take until it is ready.
    pub start_timeout: Duration,
    /// How long an instance may take to end in order.
    pub stop_grace: Duration,
    /// The deadline of each call.
    pub call_timeout: Duration,
    /// The time between two checks of a living instance.
    pub probe_interval: Duration,
}

impl ExternalSpec {
    /// A provider at this endpoint, everything else at its default: no token, kept running, 60 s to
    /// start, 30 s to end, 5 s a call, checked every 30 s.
    pub fn new(endpoint: impl Into<String>) -> Self {
        Self {
            endpoint: endpoint.into(),
            token_file: None,
            parameters: BTreeMap::new(),
            hold: Hold::Run,
            start_timeout: Duration::from_mins(1),
            stop_grace: Duration::from_secs(30),
            call_timeout: Duration::from_secs(5),
            probe_interval: Duration::from_secs(30),
        }
    }

    /// Checks everything that can be known before the provider is called; the file of the token is
    /// read.
    ///
    /// # Errors
    /// [`SpecError`] names the first field at fault.
    pub fn validate(&self) -> Result<(), SpecError> {
        endpoint(&self.endpoint)?;
        if let Some(path) = &self.token_file {
            token(path).map_err(|reason| SpecError::Token {
                path: path.clone(),
                reason,
            })?;
        }
        let texts = self.parameters.iter();
        let bytes: usize = texts.map(|(key, value)| key.len() + value.len()).sum();
        if self.parameters.len() > MAX_PARAMETERS || bytes > MAX_PARAMETER_BYTES {
            return Err(SpecError::Parameters(self.parameters.len(), bytes));
        }
        for (name, duration) in [
            ("start_timeout", self.start_timeout),
            ("call_timeout", self.call_timeout),
            ("probe.interval", self.probe_interval),
        ] {
            if duration.is_zero() {
                return Err(SpecError::Zero(name));
            }
        }
        Ok(())
    }
}

/// An endpoint as it is connected to.
pub(super) fn endpoint(text: &str) -> Result<Endpoint, SpecError> {
    let refused = || SpecError::Endpoint(text.to_owned());
    let unix = text.strip_prefix("unix://");
    if unix.is_some_and(|path| !path.starts_with('/') || path.len() < 2) {
        return Err(refused());
    }
    let endpoint = Endpoint::from_shared(text.to_owned()).map_err(|_| refused())?;
    let uri = endpoint.uri();
    let http = uri.scheme_str() == Some("http")
        && uri.host().is_some_and(|host| !host.is_empty())
        && uri.port().is_some()
        && uri.path() == "/"
        && uri.query().is_none();
    if unix.is_some() || http {
        return Ok(endpoint);
    }
    Err(refused())
}

/// The token in a file, or why there is none.
pub(super) fn token(path: &Path) -> Result<String, String> {
    let size = std::fs::metadata(path)
        .map_err(|error| error.to_string())?
        .len();
    if size > MAX_TOKEN_BYTES {
        return Err(format!("it has {size} bytes, more than {MAX_TOKEN_BYTES}"));
    }
    let text = std::fs::read_to_string(path).map_err(|error| error.to_string())?;
    let token = text.trim();
    if token.is_empty() || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err("it does not hold one word of printable ASCII characters".to_owned());
    }
    Ok(token.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_is_an_address_that_can_be_called() {
        for good in [
            "http://127.0.0.1:9000",
            "http://provider.games.svc:9000/",
            "http://[::1]:9000",
            "unix:///run/provider.sock",
        ] {
            assert_eq!(ExternalSpec::new(good).validate(), Ok(()), "{good}");
        }
        for bad in [
            "",
            "127.0.0.1:9000",
            "http://127.0.0.1",
            "http://127.0.0.1:9000/path",
            "https://127.0.0.1:9000",
            "unix://run/provider.sock",
            "unix:///",
            "http://a b:1",
        ] {
            let refused = ExternalSpec::new(bad).validate();
            assert_eq!(refused, Err(SpecError::Endpoint(bad.to_owned())), "{bad}");
        }
    }

    #[test]
    fn a_token_is_one_word_in_a_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        let spec = ExternalSpec {
            token_file: Some(path.clone()),
            ..ExternalSpec::new("http://127.0.0.1:9000")
        };
        let refused = |spec: &ExternalSpec| spec.validate().unwrap_err().to_string();
        assert!(refused(&spec).contains("token_file"), "{}", refused(&spec));
        for bad in ["", " \n", "two words", "umläut"] {
            std::fs::write(&path, bad).unwrap();
            assert!(refused(&spec).contains("one word"), "{bad}");
        }
        std::fs::write(&path, "secret-word\n").unwrap();
        assert_eq!(spec.validate(), Ok(()));
        assert_eq!(token(&path).unwrap(), "secret-word");
    }

    #[test]
    fn limits_are_above_zero_and_parameters_are_few() {
        let mut spec = ExternalSpec::new("http://127.0.0.1:9000");
        spec.call_timeout = Duration::ZERO;
        assert_eq!(spec.validate(), Err(SpecError::Zero("call_timeout")));
        let mut spec = ExternalSpec::new("http://127.0.0.1:9000");
        let long = "x".repeat(MAX_PARAMETER_BYTES);
        spec.parameters.insert("image".to_owned(), long);
        assert!(matches!(spec.validate(), Err(SpecError::Parameters(1, _))));
    }
}
