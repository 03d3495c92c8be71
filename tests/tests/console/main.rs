//! The console as people use it: the real server, a real Chromium that clicks and types.

mod actions;
mod browser;
mod many;

use std::path::Path;

use browser::Browser;
use foreshadow_tests::{Server, notebook_pool, skip};
use serde_json::{Value, json};
use tempfile::TempDir;

/// A server with a pool, and a browser that shows its console.
struct Desk {
    server: Server,
    browser: Browser,
    _folder: TempDir,
}

impl Desk {
    /// `None` where there is no browser.
    fn open(config: &str) -> Option<Self> {
        let folder = TempDir::new().expect("a folder can be made");
        let Some(mut browser) = Browser::open(folder.path()) else {
            skip("no Chromium on the path");
            return None;
        };
        let server = Server::start(config, &folder.path().join("data"));
        browser.go(&format!("http://{}/", server.address()));
        browser.until_shown("ready");
        Some(Self {
            server,
            browser,
            _folder: folder,
        })
    }

    /// One pool of which a few instances are warm.
    fn with_notebooks() -> Option<Self> {
        Self::open(&notebook_pool(50, 2, 6))
    }

    /// Posts something to the server, as another client does.
    fn post(&self, path: &str, body: &Value) -> Value {
        let (status, answer) = self.server.http("POST", path, &body.to_string());
        assert_eq!(status, 200, "{path}: {answer}");
        serde_json::from_str(&answer).expect("answers are JSON")
    }

    fn read(&self, path: &str) -> Value {
        let (status, answer) = self.server.http("GET", path, "");
        assert_eq!(status, 200, "{path}: {answer}");
        serde_json::from_str(&answer).expect("answers are JSON")
    }

    /// A lease of a user.
    fn lease(&self, user: &str) -> Value {
        let wanted = json!({"pool": "notebook", "userId": user, "applicationId": "jupyter"});
        self.post("/api/v1/allocations", &wanted)
    }

    /// Ends both, if no script has failed.
    fn close(mut self) {
        self.browser.assert_quiet();
        self.server.stop();
    }
}

/// Where pictures go, if they are wanted.
fn picture(browser: &mut Browser, name: &str) {
    if let Some(folder) = std::env::var_os("FORESHADOW_PICTURES") {
        browser.picture(&Path::new(&folder).join(name).with_extension("png"));
    }
}

#[test]
fn every_view_shows_what_the_server_knows() {
    let Some(mut desk) = Desk::with_notebooks() else {
        return;
    };
    desk.lease("ada");
    let views = [
        ("#/", "found warm", "saved against static"),
        ("#/pool/notebook", "Pool notebook", "Ask the planner"),
        ("#/leases", "Leases and queue", "ada"),
        (
            "#/config",
            "Configuration",
            "What is absent takes its default",
        ),
        ("#/models", "Train now", "Actual against predicted"),
        ("#/audit", "Changes", "Nothing has been changed yet"),
        ("#/user/ada", "When it comes", "Accesses"),
        (
            "#/user/nobody",
            "nothing is known of `nobody`",
            "names are matched exactly",
        ),
        ("#/pool/nowhere", "there is no pool `nowhere`", "Try again"),
    ];
    for (view, first, second) in views {
        desk.browser.view(view);
        desk.browser.until_shown(first);
        desk.browser.until_shown(second);
    }
    desk.close();
}

#[test]
fn every_view_fits_a_narrow_screen_and_follows_the_scheme() {
    let Some(mut desk) = Desk::with_notebooks() else {
        return;
    };
    desk.lease("ada");
    let back = "getComputedStyle(document.body).backgroundColor";
    let views = [
        ("#/", "overview", "Forecasts and models"),
        ("#/pool/notebook", "pool", "Drain the pool"),
        ("#/leases", "leases", "jupyter"),
        ("#/user/ada", "user", "Set the override"),
        ("#/models", "models", "Train now"),
        ("#/config", "config", "apply it"),
        ("#/audit", "changes", "Who changed what"),
    ];
    for (view, name, text) in views {
        let mut backs = Vec::new();
        for dark in [false, true] {
            desk.browser.appear(360, dark);
            desk.browser.view(view);
            desk.browser.until_shown(text);
            let wide = desk.browser.value("document.documentElement.scrollWidth");
            assert_eq!(wide, 360, "{view} is wider than the screen");
            backs.push(desk.browser.value(back));
            let scheme = if dark { "dark" } else { "light" };
            picture(&mut desk.browser, &format!("narrow-{name}-{scheme}"));
        }
        assert_ne!(backs[0], backs[1], "{view}");
    }
    desk.close();
}

#[test]
fn a_late_answer_of_a_view_that_was_left_is_thrown_away() {
    let Some(mut desk) = Desk::with_notebooks() else {
        return;
    };
    desk.browser.value(
        "void (() => { const real = window.fetch; window.fetch = async (path, options) => { \
         if (path.startsWith('/admin/shadow_config')) await new Promise((go) => setTimeout(go, 1500)); \
         const answer = await real(path, options); if (path.startsWith('/admin/shadow_config')) window.late = true; \
         return answer; }; })()",
    );
    desk.browser.view("#/config");
    desk.browser.until_shown("loading");
    desk.browser.view("#/models");
    desk.browser.until_shown("Train now");
    desk.browser.until("window.late === true");
    let drawn = "new Promise((go) => setTimeout(() => go(document.querySelector('h2.title').textContent), 200))";
    assert_eq!(desk.browser.value(drawn), "Models");
    desk.close();
}
