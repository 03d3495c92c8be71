//! The console: one page without external parts.

use std::sync::LazyLock;

use axum::{
    http::{HeaderName, HeaderValue, header},
    response::{AppendHeaders, Html, IntoResponse},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use sha2::{Digest, Sha256};

const PAGE: &str = include_str!("console/page.html");
const STYLE: &str = include_str!("console/style.css");
const SCRIPT: &str = concat!(
    include_str!("console/dom.js"),
    include_str!("console/patch.js"),
    include_str!("console/charts.js"),
    include_str!("console/overview.js"),
    include_str!("console/leases.js"),
    include_str!("console/timeline.js"),
    include_str!("console/pool.js"),
    include_str!("console/user.js"),
    include_str!("console/config.js"),
    include_str!("console/models.js"),
    include_str!("console/audit.js"),
    include_str!("console/main.js"),
);

static WHOLE: LazyLock<String> = LazyLock::new(|| {
    PAGE.replace("/*style*/", STYLE)
        .replace("/*script*/", SCRIPT)
});

/// The page may run its own script and style and speak to its own server, nothing else.
static POLICY: LazyLock<String> = LazyLock::new(|| {
    format!(
        "default-src 'none'; script-src '{}'; style-src '{}'; connect-src 'self'; \
         base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
        hash(SCRIPT),
        hash(STYLE)
    )
});

fn hash(text: &str) -> String {
    format!("sha256-{}", STANDARD.encode(Sha256::digest(text)))
}

pub(crate) async fn page() -> impl IntoResponse {
    let policy = HeaderValue::from_str(&POLICY).ok();
    let fixed = [
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::CACHE_CONTROL, "no-cache"),
    ];
    let headers: Vec<(HeaderName, HeaderValue)> = fixed
        .into_iter()
        .map(|(name, value)| (name, HeaderValue::from_static(value)))
        .chain(policy.map(|policy| (header::CONTENT_SECURITY_POLICY, policy)))
        .collect();
    (AppendHeaders(headers), Html(WHOLE.as_str()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_is_whole_and_asks_for_nothing_from_elsewhere() {
        assert!(WHOLE.contains(STYLE) && WHOLE.contains(SCRIPT));
        for outside in ["http://", "https://", "src=", "@import", "url("] {
            let found = WHOLE
                .replace("http://www.w3.org/2000/svg", "")
                .contains(outside);
            assert!(!found, "{outside}");
        }
    }

    #[test]
    fn nothing_from_the_server_becomes_markup() {
        for risky in [
            "innerHTML",
            "outerHTML",
            "insertAdjacentHTML",
            "document.write",
        ] {
            assert!(!SCRIPT.contains(risky), "{risky}");
        }
    }
}
