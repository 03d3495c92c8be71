//! A real Chromium, spoken to over two pipes in its own protocol: it goes to pages, clicks, types, and
//! tells what it shows.

use std::{
    fs::{File, OpenOptions},
    io::{BufRead, BufReader, Write},
    path::Path,
    process::{Child, Command, Stdio},
    sync::mpsc::{self, Receiver},
    thread,
    time::Duration,
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use foreshadow_tests::until;
use serde_json::{Value, json};

const NAMES: [&str; 3] = ["chromium", "chromium-browser", "google-chrome"];

/// How long a browser may take over one command.
const ANSWER: Duration = Duration::from_mins(1);

/// A browser with one page; it ends when dropped.
pub(crate) struct Browser {
    child: Child,
    to: File,
    from: Receiver<Value>,
    session: Option<String>,
    asked: u64,
    complaints: Vec<String>,
}

impl Browser {
    /// Opens one whose files are in a folder; `None` where there is no browser.
    pub(crate) fn open(folder: &Path) -> Option<Self> {
        let name = NAMES.into_iter().find(|name| {
            Command::new(name)
                .arg("--version")
                .output()
                .is_ok_and(|done| done.status.success())
        })?;
        let pipes = ["to", "from"].map(|name| folder.join(name));
        let made = Command::new("mkfifo").args(&pipes).status();
        assert!(made.is_ok_and(|status| status.success()), "no pipes");
        let [to, from] = &pipes;
        let child = Command::new("sh")
            .args([
                "-c",
                "to=$1; from=$2; shift 2; exec \"$@\" 3<\"$to\" 4>\"$from\"",
                "sh",
            ])
            .args([to, from])
            .args([name, "--headless", "--no-sandbox", "--disable-gpu"])
            .arg("--remote-debugging-pipe")
            .arg(format!(
                "--user-data-dir={}",
                folder.join("profile").display()
            ))
            .arg("about:blank")
            .stdin(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("a browser that tells its version can be run");
        let to = OpenOptions::new().write(true).open(to);
        let from = File::open(from).expect("a pipe that was made can be read");
        let mut browser = Self {
            child,
            to: to.expect("a pipe that was made can be written"),
            from: messages(from),
            session: None,
            asked: 0,
            complaints: Vec::new(),
        };
        browser.attach();
        Some(browser)
    }

    fn attach(&mut self) {
        let targets = self.command("Target.getTargets", &json!({}));
        let targets = targets["targetInfos"].as_array().cloned();
        let page = targets
            .into_iter()
            .flatten()
            .find(|one| one["type"] == "page");
        let page = page.expect("a browser has a page")["targetId"].clone();
        let wanted = json!({"targetId": page, "flatten": true});
        let attached = self.command("Target.attachToTarget", &wanted);
        self.session = attached["sessionId"].as_str().map(str::to_owned);
        for domain in ["Page", "Runtime", "Log", "Performance"] {
            self.command(&format!("{domain}.enable"), &json!({}));
        }
    }

    /// Gives a command, and what it answers.
    pub(crate) fn command(&mut self, method: &str, params: &Value) -> Value {
        self.asked += 1;
        let mut message = json!({"id": self.asked, "method": method, "params": params});
        if let Some(session) = &self.session {
            message["sessionId"] = session.as_str().into();
        }
        write!(self.to, "{message}\0").expect("the browser reads");
        loop {
            let answer = self.from.recv_timeout(ANSWER);
            let mut answer = answer.unwrap_or_else(|error| panic!("{method}: {error}"));
            if answer["id"] == self.asked {
                assert!(answer["error"].is_null(), "{method}: {answer}");
                return answer["result"].take();
            }
            self.note(&answer);
        }
    }

    /// Keeps what a script or a page is blamed for. That something is refused or not found is told by
    /// the page itself.
    fn note(&mut self, event: &Value) {
        let entry = &event["params"]["entry"];
        let blamed = event["method"] == "Runtime.exceptionThrown"
            || (entry["level"] == "error" && entry["source"] != "network");
        if blamed {
            self.complaints.push(event["params"].to_string());
        }
    }

    /// What an expression of the page gives, once it is there.
    pub(crate) fn value(&mut self, expression: &str) -> Value {
        let asked = json!({
            "expression": expression, "awaitPromise": true, "returnByValue": true,
        });
        let mut answer = self.command("Runtime.evaluate", &asked);
        let thrown = &answer["exceptionDetails"];
        assert!(thrown.is_null(), "{expression}: {thrown}");
        answer["result"]["value"].take()
    }

    /// Waits until an expression of the page is true.
    pub(crate) fn until(&mut self, expression: &str) {
        until(expression, || {
            (self.value(expression) == true).then_some(())
        });
    }

    /// Waits until the page shows a text.
    pub(crate) fn until_shown(&mut self, text: &str) {
        let text = json!(text);
        // Titles of blocks are shown in capitals.
        self.until(&format!(
            "document.body.innerText.toLowerCase().includes({text}.toLowerCase())"
        ));
    }

    /// Goes to an address.
    pub(crate) fn go(&mut self, address: &str) {
        self.command("Page.navigate", &json!({"url": address}));
        self.until("document.readyState === 'complete'");
    }

    /// Goes to a view of the console that is open.
    pub(crate) fn view(&mut self, view: &str) {
        self.value(&format!("void (location.hash = {})", json!(view)));
    }

    /// Clicks, as a pointer does, on the first element that a selector finds.
    pub(crate) fn click(&mut self, selector: &str) {
        let place = self.value(&format!(
            "(() => {{ const one = document.querySelector({}); one.scrollIntoView({{ block: 'center' }}); \
             const box = one.getBoundingClientRect(); \
             return [box.left + box.width / 2, box.top + box.height / 2]; }})()",
            json!(selector)
        ));
        for kind in ["mousePressed", "mouseReleased"] {
            let event = json!({
                "type": kind, "x": place[0], "y": place[1], "button": "left", "clickCount": 1,
            });
            self.command("Input.dispatchMouseEvent", &event);
        }
    }

    /// Types into a field, in the place of what stands in it.
    pub(crate) fn type_into(&mut self, selector: &str, text: &str) {
        let selector = json!(selector);
        self.value(&format!(
            "(() => {{ const one = document.querySelector({selector}); one.focus(); one.select(); }})()"
        ));
        self.command("Input.insertText", &json!({"text": text}));
    }

    /// Presses a key.
    pub(crate) fn press(&mut self, key: &str) {
        for kind in ["keyDown", "keyUp"] {
            self.command("Input.dispatchKeyEvent", &json!({"type": kind, "key": key}));
        }
    }

    /// How large the page is, and whether it is dark.
    pub(crate) fn appear(&mut self, width: u32, dark: bool) {
        let size = json!({
            "width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 600,
        });
        self.command("Emulation.setDeviceMetricsOverride", &size);
        let scheme = if dark { "dark" } else { "light" };
        let scheme = json!([{"name": "prefers-color-scheme", "value": scheme}]);
        self.command("Emulation.setEmulatedMedia", &json!({"features": scheme}));
    }

    /// Bytes that scripts hold once what is not needed has been thrown away.
    pub(crate) fn heap(&mut self) -> f64 {
        self.command("HeapProfiler.collectGarbage", &json!({}));
        let metrics = self.command("Performance.getMetrics", &json!({}));
        let metrics = metrics["metrics"].as_array().cloned();
        let used = metrics
            .into_iter()
            .flatten()
            .find(|one| one["name"] == "JSHeapUsedSize");
        used.and_then(|one| one["value"].as_f64())
            .expect("it is measured")
    }

    /// Takes a picture of the whole page.
    pub(crate) fn picture(&mut self, path: &Path) {
        let asked = json!({"format": "png", "captureBeyondViewport": true});
        let taken = self.command("Page.captureScreenshot", &asked);
        let text = taken["data"].as_str().unwrap_or_default();
        let bytes = STANDARD.decode(text).expect("pictures are in base64");
        std::fs::write(path, bytes).expect("pictures can be written");
    }

    /// Fails if a script has failed or the page was refused something by its own policy.
    pub(crate) fn assert_quiet(&mut self) {
        self.value("1");
        assert!(self.complaints.is_empty(), "{:?}", self.complaints);
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        let _killed = self.child.kill();
        let _status = self.child.wait();
    }
}

/// What the browser says, message by message.
fn messages(from: File) -> Receiver<Value> {
    let (told, heard) = mpsc::channel();
    thread::spawn(move || {
        for message in BufReader::new(from).split(0).map_while(Result::ok) {
            let Ok(message) = serde_json::from_slice(&message) else {
                return;
            };
            if told.send(message).is_err() {
                return;
            }
        }
    });
    heard
}
