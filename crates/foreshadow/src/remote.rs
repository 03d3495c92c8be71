//! A running server, as the commands that ask it see it.

use std::{path::PathBuf, time::Duration};

use anyhow::{Context, anyhow, bail};
use foreshadow_api::{timestamp_from_proto, v1::Allocation, well_known};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use ureq::{
    Agent,
    http::{Response, StatusCode},
    tls::{Certificate, PemItem, RootCerts, TlsConfig, parse_pem},
};

use crate::failure::Failure;

const PATIENCE: Duration = Duration::from_secs(10);

/// Which server is asked, and what it is shown.
#[derive(Debug, clap::Args)]
pub(crate) struct Remote {
    /// The server to ask.
    #[arg(
        long,
        global = true,
        env = "FORESHADOW_SERVER",
        value_name = "URL",
        default_value = "http://127.0.0.1:7070"
    )]
    server: String,
    /// Shown to the server as a bearer token.
    #[arg(
        long,
        global = true,
        env = "FORESHADOW_TOKEN",
        hide_env_values = true,
        value_name = "TOKEN"
    )]
    token: Option<String>,
    /// Certificates in PEM that the server's is signed by, in the place of the usual ones.
    #[arg(long, global = true, env = "FORESHADOW_CA", value_name = "FILE")]
    ca: Option<PathBuf>,
}

/// What a server says when it refuses.
#[derive(Debug, Deserialize)]
struct Refusal {
    message: String,
}

impl Remote {
    /// Asks for what is at a path.
    pub(crate) fn get<T: DeserializeOwned>(
        &self,
        path: &str,
        query: &[(&str, String)],
    ) -> Result<T, Failure> {
        let mut request = self.agent()?.get(self.url(path));
        for (name, value) in query.iter().filter(|(_, value)| !value.is_empty()) {
            request = request.query(name, value);
        }
        if let Some(shown) = self.shown() {
            request = request.header("Authorization", shown);
        }
        self.understood(request.call())
    }

    /// Walks the pages of a list, of which each tells the `next`, until there are no more or `more` says
    /// that it is enough.
    pub(crate) fn each_page<T: DeserializeOwned>(
        &self,
        path: &str,
        query: &[(&str, String)],
        next: impl Fn(&T) -> String,
        mut more: impl FnMut(T) -> bool,
    ) -> Result<(), Failure> {
        let mut token = String::new();
        loop {
            let mut query = query.to_vec();
            query.extend([("pageSize", "1000".to_owned()), ("pageToken", token)]);
            let page: T = self.get(path, &query)?;
            token = next(&page);
            if !more(page) || token.is_empty() {
                return Ok(());
            }
        }
    }

    /// Sends a message to a path.
    pub(crate) fn post<T: DeserializeOwned>(
        &self,
        path: &str,
        headers: &[(&str, String)],
        message: &impl Serialize,
    ) -> Result<T, Failure> {
        let mut request = self.agent()?.post(self.url(path));
        for (name, value) in headers {
            request = request.header(*name, value);
        }
        if let Some(shown) = self.shown() {
            request = request.header("Authorization", shown);
        }
        self.understood(request.send(serde_json::to_string(message)?))
    }

    fn url(&self, path: &str) -> String {
        format!("{}{path}", self.server.trim_end_matches('/'))
    }

    fn shown(&self) -> Option<String> {
        self.token.as_ref().map(|token| format!("Bearer {token}"))
    }

    /// What it takes to ask. What is wrong with it is to be mended by whoever gave it.
    fn agent(&self) -> Result<Agent, Failure> {
        self.prepared()
            .map_err(|error| Failure::bad_input(format!("{error:#}")))
    }

    fn prepared(&self) -> anyhow::Result<Agent> {
        let builder = Agent::config_builder()
            .http_status_as_error(false)
            .timeout_global(Some(PATIENCE));
        let Some(path) = &self.ca else {
            return Ok(builder.build().into());
        };
        let pem = std::fs::read(path).with_context(|| format!("--ca {}", path.display()))?;
        let items = parse_pem(&pem).filter_map(|item| match item {
            Ok(PemItem::Certificate(certificate)) => Some(certificate),
            Ok(_) | Err(_) => None,
        });
        let roots: Vec<Certificate<'static>> = items.collect();
        if roots.is_empty() {
            bail!("--ca {}: there is no certificate in it", path.display());
        }
        let tls = TlsConfig::builder().root_certs(RootCerts::from(roots));
        Ok(builder.tls_config(tls.build()).build().into())
    }

    /// The answer; what was asked is at fault where the server says so, and all else has failed.
    fn understood<T: DeserializeOwned>(
        &self,
        answer: Result<Response<ureq::Body>, ureq::Error>,
    ) -> Result<T, Failure> {
        let failed = |error: anyhow::Error| Failure::Failed(error.context(self.server.clone()));
        let mut answer = answer.map_err(|error| match error {
            ureq::Error::BadUri(_) | ureq::Error::Http(_) => {
                Failure::bad_input(format!("--server {}: {error}", self.server))
            }
            error => failed(
                anyhow!(error).context("no server answers there; start one or give --server"),
            ),
        })?;
        let status = answer.status();
        let body = answer.body_mut().read_to_string();
        let body = body.map_err(|error| failed(error.into()))?;
        if status.is_success() {
            let read = serde_json::from_str(&body)
                .context("the answer is not understood; are the versions the same?");
            return read.map_err(failed);
        }
        let refusal = serde_json::from_str(&body).map(|refusal: Refusal| refusal.message);
        let refusal = refusal.unwrap_or_else(|_| format!("status {status}"));
        if is_the_askers(status) {
            return Err(Failure::bad_input(format!("{}: {refusal}", self.server)));
        }
        Err(failed(anyhow!(refusal)))
    }
}

/// Whether asking otherwise would help; a server that is busy or slow is not asked wrongly.
fn is_the_askers(status: StatusCode) -> bool {
    let passing = [StatusCode::TOO_MANY_REQUESTS, StatusCode::REQUEST_TIMEOUT];
    status.is_client_error() && !passing.contains(&status)
}

/// A word as one segment of a path.
pub(crate) fn segment(word: &str) -> String {
    let kept = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    let written = word.bytes().map(|byte| match byte {
        byte if kept(byte) => char::from(byte).to_string(),
        byte => format!("%{byte:02X}"),
    });
    written.collect()
}

/// A time for people; a dash if there is none.
pub(crate) fn time(at: Option<well_known::Timestamp>) -> String {
    let at = timestamp_from_proto("time", at).ok().flatten();
    at.map_or_else(|| "-".to_owned(), |at| at.to_string())
}

/// A length of time for people; a dash if there is none.
pub(crate) fn span(length: Option<&well_known::Duration>) -> String {
    length.map_or_else(
        || "-".to_owned(),
        |length| {
            let seconds = length.seconds as f64 + f64::from(length.nanos) / 1e9;
            format!("{seconds:.3}s")
        },
    )
}

/// The state of an allocation in one word.
pub(crate) fn state(allocation: &Allocation) -> String {
    allocation.state().as_str_name().to_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_asked_is_at_fault_where_asking_otherwise_helps() {
        for (status, asked) in [(400, true), (401, true), (404, true), (409, true)]
            .into_iter()
            .chain([(408, false), (429, false), (500, false), (503, false)])
        {
            let status = StatusCode::from_u16(status).unwrap();
            assert_eq!(is_the_askers(status), asked, "{status}");
        }
    }

    #[test]
    fn a_name_stays_one_segment_of_a_path() {
        assert_eq!(segment("ada-1.x_y~z"), "ada-1.x_y~z");
        assert_eq!(segment("a/b ü?"), "a%2Fb%20%C3%BC%3F");
    }
}
