//! Callers that are known by tokens and certificates.

use std::process::Command;

use foreshadow_client::{Client, ClientBuilder, Error, Filter};
use foreshadow_tests::{Authority, PATIENCE, Server, notebook_pool, token};
use tempfile::TempDir;
use tokio::{
    net::TcpListener,
    time::{Duration, timeout},
};

use crate::support::{Site, listed};

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_is_not_known_is_told_and_another_can_be_shown() {
    let (known, table) = token("app", "client");
    let site = Site::start(&(notebook_pool(50, 1, 2) + &table));
    let builder = || Client::builder(site.server.address());
    let nobody = builder().connect().await.unwrap();
    let refused = nobody.lease("notebook").await.unwrap_err();
    assert!(matches!(refused, Error::Unauthenticated(_)), "{refused}");
    let client = builder()
        .token("a-token-of-nobody")
        .connect()
        .await
        .unwrap();
    let refused = client.lease("notebook").await.unwrap_err();
    assert!(matches!(refused, Error::Unauthenticated(_)), "{refused}");
    assert!(refused.to_string().contains("`token`"), "{refused}");
    let refused = client.report([]).await.unwrap_err();
    assert!(matches!(refused, Error::Unauthenticated(_)), "{refused}");
    client.set_token(&known).unwrap();
    client
        .lease("notebook")
        .await
        .unwrap()
        .release()
        .await
        .unwrap();
    let known = builder().token(known).connect().await.unwrap();
    assert_eq!(listed(&known, Filter::all()).await.len(), 1);
    site.server.stop();
}

/// A server's certificate, and the callers' names that it takes.
fn tables(authority: &Authority) -> String {
    format!(
        r#"
[tls]
{}
client_ca = "{}"
client_certificates = "optional"
[[certificate]]
name = "visitor"
subject = "visitor.example"
role = "client"
"#,
        authority.certificate("127.0.0.1"),
        authority.file(),
    )
}

async fn known_to_the_server(builder: ClientBuilder) -> Result<(), Error> {
    let client = builder.retry_for(Duration::ZERO).connect_lazy()?;
    client.cancel("a-1").await.map(drop)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_encrypted_server_knows_its_callers_by_token_or_certificate() {
    let folder = TempDir::new().expect("a folder can be made");
    let authority = Authority::new(folder.path());
    let (known, table) = token("app", "client");
    let config = notebook_pool(50, 0, 1) + &table + &tables(&authority);
    let server = Server::start(&config, &folder.path().join("data"));
    let address = format!("https://{}", server.address());
    let trusting = || Client::builder(&address).ca_certificate(authority.pem());

    // Known callers get as far as to be told that there is no such allocation.
    let by_token = known_to_the_server(trusting().token(&known))
        .await
        .unwrap_err();
    assert!(matches!(by_token, Error::NotFound(_)), "{by_token}");
    let (visitor, key) = authority.signs("visitor.example");
    let by_certificate = known_to_the_server(trusting().client_certificate(visitor, key))
        .await
        .unwrap_err();
    assert!(
        matches!(by_certificate, Error::NotFound(_)),
        "{by_certificate}"
    );
    let (stranger, key) = authority.signs("stranger.example");
    let strangers = known_to_the_server(trusting().client_certificate(stranger, key))
        .await
        .unwrap_err();
    assert!(
        matches!(strangers, Error::Unauthenticated(_)),
        "{strangers}"
    );
    let other = Authority::new(folder.path());
    let distrusted = Client::builder(&address).ca_certificate(other.pem());
    let distrusted = known_to_the_server(distrusted.token(&known))
        .await
        .unwrap_err();
    assert!(matches!(distrusted, Error::Unavailable(_)), "{distrusted}");
    assert!(
        distrusted.to_string().contains("certificate"),
        "{distrusted}"
    );
    server.stop();
}

/// Says to a process of its own which server it is to trust.
const TRUSTING: &str = "FORESHADOW_TEST_TRUSTING";

#[tokio::test(flavor = "multi_thread")]
async fn an_encrypted_server_is_trusted_that_this_machine_trusts() {
    if let Ok(address) = std::env::var(TRUSTING) {
        let unknown = known_to_the_server(Client::builder(&address)).await;
        let unknown = unknown.unwrap_err();
        return assert!(matches!(unknown, Error::Unauthenticated(_)), "{unknown}");
    }
    let folder = TempDir::new().expect("a folder can be made");
    let authority = Authority::new(folder.path());
    let config = notebook_pool(50, 0, 1) + &tables(&authority);
    let server = Server::start(&config, &folder.path().join("data"));
    let address = format!("https://{}", server.address());
    // Whom a machine trusts is said by a variable, so this test runs again where it is set.
    let said_by_a_machine_that_trusts = |authorities: &str| {
        let test = std::env::current_exe().expect("a test knows its own path");
        let name = "guarded::an_encrypted_server_is_trusted_that_this_machine_trusts";
        let again = Command::new(test)
            .args(["--exact", name, "--nocapture"])
            .env(TRUSTING, &address)
            .env("SSL_CERT_FILE", authorities)
            .env_remove("SSL_CERT_DIR")
            .output()
            .expect("a test starts");
        let said = [again.stdout, again.stderr].concat();
        String::from_utf8_lossy(&said).into_owned()
    };
    let trusted = said_by_a_machine_that_trusts(&authority.file());
    assert!(trusted.contains("1 passed"), "{trusted}");
    let other = folder.path().join("other");
    std::fs::create_dir(&other).expect("a folder can be made");
    let distrusted = said_by_a_machine_that_trusts(&Authority::new(&other).file());
    assert!(
        distrusted.contains("invalid peer certificate"),
        "{distrusted}"
    );
    let nobody = said_by_a_machine_that_trusts("/nowhere");
    assert!(nobody.contains("no native certs found"), "{nobody}");
    server.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_silent_when_greeted_is_not_waited_for() {
    let folder = TempDir::new().expect("a folder can be made");
    let authority = Authority::new(folder.path());
    // It takes connections, and nobody speaks on them.
    let silent = TcpListener::bind("127.0.0.1:0")
        .await
        .expect("a port is free");
    let port = silent.local_addr().expect("it is bound").port();
    let builder = Client::builder(&format!("https://127.0.0.1:{port}"))
        .ca_certificate(authority.pem())
        .connect_timeout(Duration::from_millis(300));
    let given_up = timeout(PATIENCE, builder.connect()).await;
    let error = given_up.expect("it is given up").unwrap_err();
    assert!(
        matches!(error, Error::Unavailable(_) | Error::Timeout(_)),
        "{error}"
    );
}
