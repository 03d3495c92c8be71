//! The console as a browser shows it: the real server, a real Chromium.

use std::{path::Path, process::Command};

use foreshadow_tests::{Server, notebook_pool, skip};
use tempfile::TempDir;

const BROWSERS: [&str; 3] = ["chromium", "chromium-browser", "google-chrome"];

/// What a view holds once its script has run, or `None` where there is no browser.
fn shown(server: &Server, view: &str, profile: &Path) -> Option<String> {
    let browser = BROWSERS.into_iter().find(|name| {
        Command::new(name)
            .arg("--version")
            .output()
            .is_ok_and(|done| done.status.success())
    })?;
    let done = Command::new(browser)
        .args([
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--enable-logging=stderr",
        ])
        .arg(format!("--user-data-dir={}", profile.display()))
        .args(["--virtual-time-budget=8000", "--dump-dom"])
        .arg(format!("http://{}/{view}", server.address()))
        .output()
        .expect("a browser that tells its version can be run");
    let log = String::from_utf8_lossy(&done.stderr);
    for complaint in ["Uncaught", "Refused to", "SyntaxError"] {
        assert!(!log.contains(complaint), "{view}: {log}");
    }
    Some(String::from_utf8_lossy(&done.stdout).into_owned())
}

#[test]
fn every_view_shows_what_the_server_knows() {
    let folder = TempDir::new().expect("a folder can be made");
    let server = Server::start(&notebook_pool(50, 1, 6), &folder.path().join("data"));
    let profile = folder.path().join("profile");
    let views = [
        ("", "found warm", "href=\"#/pool/notebook\""),
        ("#/pool/notebook", "Instances over time", "Ask the planner"),
        ("#/config", "Configuration v", "triggers"),
        ("#/models", "Train now", "Actual against predicted"),
        ("#/audit", "Changes", "Nothing has been changed yet"),
        ("#/user/nobody", "nobody", "Overview"),
        (
            "#/pool/nowhere",
            "There is no pool named nowhere",
            "Overview",
        ),
    ];
    for (view, first, second) in views {
        let Some(page) = shown(&server, view, &profile) else {
            return skip("no Chromium on the path");
        };
        assert!(page.contains(first), "{view}: no `{first}` in {page}");
        assert!(page.contains(second), "{view}: no `{second}` in {page}");
    }
    server.stop();
}
