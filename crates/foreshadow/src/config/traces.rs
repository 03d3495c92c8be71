//! The `[traces]` table: where traces go, and how many.

use std::{
    fmt,
    path::{Path, PathBuf},
};

use serde::Deserialize;
use toml::Spanned;

use super::Fault;

/// The name that traces are told under unless given.
const USUAL_NAME: &str = "foreshadow";

/// The environment's words where the configuration has none, by the specification of OpenTelemetry.
const ENDPOINT: &str = "OTEL_EXPORTER_OTLP_ENDPOINT";
const SERVICE: &str = "OTEL_SERVICE_NAME";
const SAMPLE: &str = "OTEL_TRACES_SAMPLER_ARG";

/// Headers are few.
const MOST_HEADERS: usize = 32;

/// The table as written.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawTraces {
    endpoint: Option<String>,
    sample: Option<f64>,
    service: Option<String>,
    headers: Option<PathBuf>,
}

/// Where traces go.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct TracesConfig {
    /// The collector, which takes OTLP over gRPC.
    pub(crate) endpoint: String,
    /// The share of the traces begun here that is kept, from 0 to 1.
    pub(crate) sample: f64,
    /// The name of this service.
    pub(crate) service: String,
    /// What is sent along with each batch.
    pub(crate) headers: Headers,
}

/// Names and values of headers; values are not shown.
#[derive(Clone, Default, PartialEq, Eq)]
pub(crate) struct Headers(pub(crate) Vec<(String, String)>);

impl fmt::Debug for Headers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list()
            .entries(self.0.iter().map(|(name, _)| name))
            .finish()
    }
}

impl TracesConfig {
    /// What the table and the environment say together; `None` if nobody says where traces go.
    pub(super) fn of(
        raw: Option<Spanned<RawTraces>>,
        base: &Path,
        variable: impl Fn(&str) -> Option<String>,
    ) -> Result<Option<Self>, Fault> {
        let start = raw.as_ref().map(|raw| raw.span().start);
        let raw = raw.map(Spanned::into_inner);
        checked(raw, base, variable).map_err(|reason| Fault {
            offset: start,
            reason,
        })
    }
}

fn checked(
    raw: Option<RawTraces>,
    base: &Path,
    variable: impl Fn(&str) -> Option<String>,
) -> Result<Option<TracesConfig>, String> {
    let told = raw.is_some();
    let raw = raw.unwrap_or_default();
    // What is empty counts as not set.
    let variable = |name| variable(name).filter(|value| !value.is_empty());
    let own = raw
        .endpoint
        .map(|endpoint| ("[traces] `endpoint`", endpoint));
    let Some((key, endpoint)) = own.or_else(|| Some((ENDPOINT, variable(ENDPOINT)?))) else {
        if told {
            return Err(format!(
                "[traces] says not where they go; give `endpoint = \"http://127.0.0.1:4317\"`, \
                 here or in {ENDPOINT}"
            ));
        }
        return Ok(None);
    };
    check_endpoint(key, &endpoint)?;
    let sample = match (raw.sample, variable(SAMPLE)) {
        (Some(share), _) => ratio("[traces] `sample`", &share.to_string())?,
        (None, Some(text)) => ratio(SAMPLE, &text)?,
        (None, None) => 1.0,
    };
    let service = raw.service.or_else(|| variable(SERVICE));
    let headers = raw.headers.map(|file| read_headers(&base.join(file)));
    Ok(Some(TracesConfig {
        endpoint,
        sample,
        service: service.unwrap_or_else(|| USUAL_NAME.to_owned()),
        headers: headers.transpose()?.unwrap_or_default(),
    }))
}

fn check_endpoint(key: &str, endpoint: &str) -> Result<(), String> {
    let host = ["http://", "https://"]
        .iter()
        .find_map(|scheme| endpoint.strip_prefix(scheme));
    match host {
        Some(host) if host.contains('@') => Err(format!(
            "{key} has a password in it; put secrets into the file of `headers`"
        )),
        Some(host) if !host.is_empty() => Ok(()),
        Some(_) | None => Err(format!(
            "{key} is {endpoint:?}; give `http://HOST:4317` or `https://…` of a \
             collector that takes OTLP over gRPC"
        )),
    }
}

fn ratio(key: &str, text: &str) -> Result<f64, String> {
    let share = text.trim().parse().ok();
    share
        .filter(|share| (0.0..=1.0).contains(share))
        .ok_or_else(|| format!("{key} is `{text}`; give 0 to 1"))
}

fn read_headers(file: &Path) -> Result<Headers, String> {
    let text = std::fs::read_to_string(file)
        .map_err(|error| format!("[traces] `headers`: {}: {error}", file.display()))?;
    headers_of(&text).map_err(|fault| format!("[traces] `headers`: {}: {fault}", file.display()))
}

/// One header a line, `name: value`; empty lines and those that begin with `#` are left out.
fn headers_of(text: &str) -> Result<Headers, String> {
    let mut headers = Vec::new();
    for (number, line) in (1..).zip(text.lines()) {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        // The line itself is not shown: it may be a secret.
        let (name, value) = line
            .split_once(':')
            .ok_or_else(|| format!("line {number} is no header; write `name: value`"))?;
        let header = (name.trim().to_ascii_lowercase(), value.trim().to_owned());
        check_header(&header.0, &header.1).map_err(|fault| format!("line {number}: {fault}"))?;
        headers.push(header);
    }
    if headers.len() > MOST_HEADERS {
        return Err(format!("there are more than {MOST_HEADERS} headers"));
    }
    Ok(Headers(headers))
}

fn check_header(name: &str, value: &str) -> Result<(), String> {
    let named = !name.is_empty()
        && !name.ends_with("-bin")
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'));
    if !named {
        return Err("the name has other than letters, digits, `-`, `_` and `.`".to_owned());
    }
    if !value.bytes().all(|byte| (b' '..=b'~').contains(&byte)) {
        return Err("the value has other than printable ASCII".to_owned());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str, variables: &[(&str, &str)]) -> Result<Option<TracesConfig>, String> {
        let raw = (!text.is_empty()).then(|| toml::from_str(text).expect("it is TOML"));
        checked(raw, Path::new(""), |name| {
            let found = variables.iter().find(|(key, _)| *key == name);
            found.map(|(_, value)| (*value).to_owned())
        })
    }

    #[test]
    fn nothing_leaves_unless_somebody_says_where_to() {
        assert_eq!(of("", &[]), Ok(None));
        assert_eq!(of("", &[(SAMPLE, "0.5"), (SERVICE, "x")]), Ok(None));
        assert_eq!(of("", &[(ENDPOINT, "")]), Ok(None));
        let refused = of("sample = 0.1", &[]).expect_err("it says not where");
        assert!(refused.contains("endpoint"), "{refused}");
    }

    #[test]
    fn the_environment_is_heard_where_the_configuration_is_silent() {
        let variables = [
            (ENDPOINT, "http://there:4317"),
            (SAMPLE, "0.25"),
            (SERVICE, "pools"),
        ];
        let read = of("", &variables).unwrap().unwrap();
        assert_eq!(read.endpoint, "http://there:4317");
        assert_eq!((read.sample, read.service.as_str()), (0.25, "pools"));
        let text = "endpoint = \"https://here\"\nsample = 1\nservice = \"own\"";
        let read = of(text, &variables).unwrap().unwrap();
        assert_eq!(read.endpoint, "https://here");
        assert_eq!((read.sample, read.service.as_str()), (1.0, "own"));
        let read = of("endpoint = \"http://here:1\"", &[]).unwrap().unwrap();
        assert_eq!((read.sample, read.service.as_str()), (1.0, USUAL_NAME));
    }

    #[test]
    fn what_is_at_fault_is_named() {
        let endpoint = "endpoint = \"http://here:4317\"\n";
        for (text, variables, expected) in [
            ("endpoint = \"here:4317\"", vec![], "OTLP over gRPC"),
            ("endpoint = \"https://\"", vec![], "OTLP over gRPC"),
            ("endpoint = \"http://a:b@here\"", vec![], "password"),
            (&*format!("{endpoint}sample = 1.5"), vec![], "0 to 1"),
            (&*format!("{endpoint}sample = nan"), vec![], "0 to 1"),
            (endpoint, vec![(SAMPLE, "often")], SAMPLE),
            ("", vec![(ENDPOINT, "here:4317")], ENDPOINT),
            (
                &*format!("{endpoint}headers = \"/no/file\""),
                vec![],
                "/no/file",
            ),
        ] {
            let refused = of(text, &variables).expect_err(text);
            assert!(refused.contains(expected), "{refused}");
        }
        assert!(toml::from_str::<RawTraces>("token = \"x\"").is_err());
    }

    #[test]
    fn headers_are_read_and_their_values_are_never_shown() {
        let read = headers_of("# the vendor's\n\nX-Team: hush-hush\nauthorization: Basic a:b=\n");
        let read = read.unwrap();
        let expected = [("x-team", "hush-hush"), ("authorization", "Basic a:b=")];
        let expected = expected.map(|(name, value)| (name.to_owned(), value.to_owned()));
        assert_eq!(read.0, expected);
        assert_eq!(format!("{read:?}"), r#"["x-team", "authorization"]"#);
        for secret in [
            "hush",
            "na me: hush",
            "name: hush\u{e9}",
            ": hush",
            "a-bin: hush",
        ] {
            let fault = headers_of(secret).expect_err(secret);
            assert!(
                fault.contains("line 1") && !fault.contains("hush"),
                "{fault}"
            );
        }
    }
}
