//! A server that knows its callers, operated from the command line as its operators would.

#![expect(
    clippy::disallowed_methods,
    reason = "these tests wait for real processes"
)]

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    time::{Duration, Instant, SystemTime},
};

use foreshadow_tests::{Server, binary, notebook_pool, token};
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode, jwk::Jwk};
use rcgen::{CertificateParams, KeyPair};
use serde_json::{Value, json};

const PATIENCE: Duration = Duration::from_secs(30);

/// The command line of somebody who has a token for a server.
struct Operator {
    url: String,
    token: String,
    ca: Option<PathBuf>,
}

impl Operator {
    fn run(&self, args: &[&str]) -> Output {
        let mut command = Command::new(binary());
        command
            .args(args)
            .env("FORESHADOW_SERVER", &self.url)
            .env("FORESHADOW_TOKEN", &self.token)
            .stdin(Stdio::null());
        if let Some(ca) = &self.ca {
            command.env("FORESHADOW_CA", ca);
        }
        command.output().expect("the binary starts")
    }

    /// What a command prints that must succeed.
    #[track_caller]
    fn says(&self, args: &[&str]) -> String {
        let output = self.run(args);
        let (stdout, stderr) = texts(&output);
        assert!(output.status.success(), "{args:?}: {stderr}");
        stdout
    }

    #[track_caller]
    fn json(&self, args: &[&str]) -> Value {
        let args: Vec<&str> = args.iter().copied().chain(["--format", "json"]).collect();
        serde_json::from_str(&self.says(&args)).expect("it is one document")
    }

    /// The one line that a command says which must be refused.
    #[track_caller]
    fn refused(&self, args: &[&str]) -> String {
        let output = self.run(args);
        let (stdout, stderr) = texts(&output);
        assert_eq!(output.status.code(), Some(2), "{args:?}: {stdout}{stderr}");
        assert_eq!(stderr.lines().count(), 1, "{stderr}");
        stderr
    }
}

fn texts(output: &Output) -> (String, String) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (text(&output.stdout), text(&output.stderr))
}

/// TLS for this machine, signed by itself.
fn tls(folder: &Path) -> (PathBuf, String) {
    let key = KeyPair::generate().expect("there is randomness");
    let params = CertificateParams::new(["127.0.0.1".to_owned()]).expect("it is a name");
    let certificate = params.self_signed(&key).expect("it can be signed");
    let (pem, secret) = (folder.join("server.pem"), folder.join("server.key"));
    fs::write(&pem, certificate.pem()).expect("the file can be written");
    fs::write(&secret, key.serialize_pem()).expect("the file can be written");
    let table = format!(
        "\n[tls]\ncertificate = \"{}\"\nkey = \"{}\"\n",
        pem.display(),
        secret.display()
    );
    (pem, table)
}

#[test]
fn a_server_with_tls_and_tokens_is_operated_from_the_command_line() {
    let folder = tempfile::tempdir().expect("there is room");
    let (ca, tls) = tls(folder.path());
    let ((operator, operators), (admin, admins)) =
        (token("olga", "operator"), token("anna", "admin"));
    let config = notebook_pool(100, 1, 4) + &operators + &admins + &tls;
    let server = Server::start(&config, &folder.path().join("data"));
    let of = |token: &str| Operator {
        url: format!("https://{}", server.address()),
        token: token.to_owned(),
        ca: Some(ca.clone()),
    };
    let (olga, anna, nobody) = (of(&operator), of(&admin), of("a-token-of-nobody"));

    assert!(olga.says(&["pools"]).contains("notebook"));
    assert!(olga.says(&["top", "--once"]).contains("notebook"));
    let set = [
        "override",
        "set",
        "notebook",
        "2",
        "--reason",
        "exam week",
        "--lasts",
        "2h",
    ];
    assert!(olga.says(&set).contains("olga"), "who set it is known");
    let listed = olga.json(&["override"]);
    assert_eq!(listed["overrides"][0]["count"], 2);
    assert!(
        olga.says(&["override", "extend", "notebook", "--lasts", "4h"])
            .contains("exam")
    );
    assert!(
        olga.says(&["override", "clear", "notebook"])
            .contains("no override")
    );
    assert!(olga.says(&["models"]).contains("pretrained"));
    assert!(olga.says(&["queue"]).contains("0 waiting"));
    assert!(
        olga.says(&["drain", "pool", "notebook"])
            .contains("drained")
    );
    assert!(olga.refused(&["drain", "pool", "nope"]).contains("nope"));
    assert!(olga.refused(&["shadow", "ada"]).contains("ada"));

    let file = folder.path().join("config.json");
    let path = file.to_str().expect("the path is text");
    fs::write(&file, olga.says(&["config"])).expect("the file can be written");
    assert!(anna.says(&["config", "check", path]).contains("notebook: "));
    assert!(olga.refused(&["config", "apply", path]).contains("admin"));
    assert!(anna.says(&["config", "apply", path]).contains("accepted"));
    fs::write(&file, "{\"speed\": 9}").expect("the file can be written");
    assert!(anna.refused(&["config", "apply", path]).contains("speed"));

    assert!(olga.refused(&["audit"]).contains("admin"));
    let audit = anna.says(&["audit"]);
    for call in [
        "SetOverride",
        "DrainPool",
        "SetShadowConfig",
        "olga",
        "anna",
    ] {
        assert!(audit.contains(call), "{call}: {audit}");
    }
    assert!(nobody.refused(&["pools"]).contains("not known"));
    let stranger = Operator {
        ca: None,
        ..of(&operator)
    };
    let output = stranger.run(&["pools"]);
    let (_, said) = texts(&output);
    assert_eq!(output.status.code(), Some(1), "it may be another's: {said}");
    assert!(said.contains("certificate"), "{said}");
    server.stop();
}

#[test]
fn leases_are_listed_and_released_from_the_command_line() {
    let folder = tempfile::tempdir().expect("there is room");
    let server = Server::start(&notebook_pool(100, 1, 1), &folder.path().join("data"));
    let local = Operator {
        url: format!("http://{}", server.address()),
        token: String::new(),
        ca: None,
    };
    let ask = json!({"pool": "notebook", "userId": "ada"}).to_string();
    let claim = || {
        let (status, body) = server.http("POST", "/api/v1/allocations", &ask);
        assert_eq!(status, 200, "{body}");
        let answer: Value = serde_json::from_str(&body).expect("it is JSON");
        answer["allocationId"]
            .as_str()
            .unwrap_or_default()
            .to_owned()
    };
    let (first, second) = (claim(), claim());
    let since = Instant::now();
    while !local.says(&["leases"]).contains("granted") {
        assert!(since.elapsed() < PATIENCE, "nothing was granted");
    }
    assert!(local.says(&["leases", "--user", "ada"]).contains(&first));
    assert!(local.says(&["leases", "--user", "bob"]).contains("0 held"));
    assert!(local.says(&["queue"]).contains(&second));
    assert!(
        local
            .says(&["queue", "cancel", &second])
            .contains("cancelled")
    );
    assert!(
        local
            .says(&["leases", "release", &first])
            .contains("released")
    );
    assert!(
        local
            .refused(&["leases", "release", &first])
            .contains(&first)
    );
    server.stop();
}

#[test]
fn tokens_are_exchanged_at_sighup_and_a_faulty_configuration_changes_nothing() {
    let folder = tempfile::tempdir().expect("there is room");
    let ((old, old_table), (new, new_table)) = (token("old", "operator"), token("new", "operator"));
    let (data, config) = (folder.path().join("data"), folder.path().join("data.toml"));
    let server = Server::start(&(notebook_pool(100, 0, 1) + &old_table), &data);
    let of = |token: &str| Operator {
        url: format!("http://{}", server.address()),
        token: token.to_owned(),
        ca: None,
    };
    let read_again = |text: &str| {
        fs::write(&config, text).expect("the configuration can be written");
        let hangup = Command::new("kill")
            .args(["-HUP", &server.pid().to_string()])
            .status();
        assert!(hangup.is_ok_and(|status| status.success()));
    };
    read_again("speed = 9");
    read_again(&notebook_pool(100, 0, 1));
    std::thread::sleep(Duration::from_millis(500));
    assert!(of(&old).says(&["pools"]).contains("notebook"));
    read_again(&(notebook_pool(100, 0, 1) + &new_table));
    let since = Instant::now();
    while !of(&new).run(&["pools"]).status.success() {
        assert!(since.elapsed() < PATIENCE, "the new token is not taken");
    }
    assert!(of(&old).refused(&["pools"]).contains("not known"));
    server.stop();
}

#[test]
fn signed_claims_are_taken_and_their_keys_rotate() {
    let folder = tempfile::tempdir().expect("there is room");
    let keys = folder.path().join("keys.json");
    let (first, second) = (Issuer::new("first"), Issuer::new("second"));
    fs::write(&keys, first.key_set()).expect("the file can be written");
    let jwt = format!(
        "\n[jwt]\nissuer = \"https://issuer.example\"\naudience = \"foreshadow\"\n\
         keys = \"{}\"\nrefresh = \"200ms\"\n",
        keys.display()
    );
    let config = notebook_pool(100, 0, 1) + &jwt;
    let server = Server::start(&config, &folder.path().join("data"));
    let of = |token: String| Operator {
        url: format!("http://{}", server.address()),
        token,
        ca: None,
    };
    assert!(
        of(first.token("operator"))
            .says(&["pools"])
            .contains("notebook")
    );
    assert!(
        of(first.token("telemetry"))
            .refused(&["pools"])
            .contains("operator")
    );
    assert!(
        of(second.token("operator"))
            .refused(&["pools"])
            .contains("second")
    );
    fs::write(&keys, second.key_set()).expect("the file can be written");
    let since = Instant::now();
    while !of(second.token("operator"))
        .run(&["pools"])
        .status
        .success()
    {
        assert!(since.elapsed() < PATIENCE, "the new key is not taken");
    }
    assert!(
        of(first.token("operator"))
            .refused(&["pools"])
            .contains("first")
    );
    server.stop();
}

/// Somebody who signs claims.
struct Issuer {
    name: &'static str,
    key: EncodingKey,
}

impl Issuer {
    fn new(name: &'static str) -> Self {
        let pair = KeyPair::generate().expect("there is randomness");
        let key = EncodingKey::from_ec_der(&pair.serialize_der());
        Self { name, key }
    }

    fn key_set(&self) -> String {
        let key = Jwk::from_encoding_key(&self.key, Algorithm::ES256);
        let mut key = key.expect("the key has a public half");
        key.common.key_id = Some(self.name.to_owned());
        json!({"keys": [key]}).to_string()
    }

    fn token(&self, role: &str) -> String {
        let mut header = Header::new(Algorithm::ES256);
        header.kid = Some(self.name.to_owned());
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        let expires = now.expect("it is after 1970").as_secs() + 600;
        let claims = json!({
            "iss": "https://issuer.example", "aud": "foreshadow", "sub": "olga", "exp": expires,
            "role": role,
        });
        encode(&header, &claims, &self.key).expect("the claims can be signed")
    }
}
