//! Callers that are known by tokens and certificates.

use std::{fs, path::Path};

use foreshadow_client::{Client, ClientBuilder, Error, Filter};
use foreshadow_tests::{Server, foreshadow, notebook_pool};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use tempfile::TempDir;
use tokio::{
    net::TcpListener,
    time::{Duration, timeout},
};

use crate::support::{PATIENCE, Site, listed};

/// A new token of a client, and the table that lets its holder in.
fn token(name: &str) -> (String, String) {
    let made = foreshadow(&["token", "--name", name, "--role", "client"]);
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
    let said = text(&made.stderr);
    let table = said.lines().skip_while(|line| *line != "[[token]]");
    let table: Vec<_> = table.take_while(|line| !line.is_empty()).collect();
    (text(&made.stdout), format!("\n{}\n", table.join("\n")))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_is_not_known_is_told_and_another_can_be_shown() {
    let (known, table) = token("app");
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

/// Who signs certificates, and the files that a server reads.
struct Authority<'a> {
    own: CertifiedIssuer<'static, KeyPair>,
    folder: &'a Path,
}

impl<'a> Authority<'a> {
    fn new(folder: &'a Path) -> Self {
        let mut own = CertificateParams::new(Vec::new()).expect("no names are fine");
        own.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("a key can be made");
        let own = CertifiedIssuer::self_signed(own, key).expect("it signs itself");
        Self { own, folder }
    }

    /// A certificate for this name, and its key, in PEM.
    fn signs(&self, name: &str) -> (String, String) {
        let own = CertificateParams::new(vec![name.to_owned()]).expect("it is a name");
        let key = KeyPair::generate().expect("a key can be made");
        let own = own.signed_by(&key, &self.own).expect("the authority signs");
        (own.pem(), key.serialize_pem())
    }

    fn file(&self, name: &str, text: &str) -> String {
        let path = self.folder.join(name);
        fs::write(&path, text).expect("the file can be written");
        path.display().to_string()
    }

    /// A server's certificate, and the callers' names that it takes.
    fn tables(&self) -> String {
        let (own, key) = self.signs("127.0.0.1");
        format!(
            r#"
[tls]
certificate = "{}"
key = "{}"
client_ca = "{}"
client_certificates = "optional"
[[certificate]]
name = "visitor"
subject = "visitor.example"
role = "client"
"#,
            self.file("own.pem", &own),
            self.file("own.key", &key),
            self.file("ca.pem", &self.own.pem()),
        )
    }
}

async fn known_to_the_server(builder: ClientBuilder) -> Result<(), Error> {
    let client = builder.retry_for(Duration::ZERO).connect_lazy()?;
    client.cancel("a-1").await.map(drop)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_encrypted_server_knows_its_callers_by_token_or_certificate() {
    let folder = TempDir::new().expect("a folder can be made");
    let authority = Authority::new(folder.path());
    let (known, table) = token("app");
    let config = notebook_pool(50, 0, 1) + &table + &authority.tables();
    let server = Server::start(&config, &folder.path().join("data"));
    let address = format!("https://{}", server.address());
    let trusting = || Client::builder(&address).ca_certificate(authority.own.pem());

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
    let distrusted = Client::builder(&address).ca_certificate(other.own.pem());
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
        .ca_certificate(authority.own.pem())
        .connect_timeout(Duration::from_millis(300));
    let given_up = timeout(PATIENCE, builder.connect()).await;
    let error = given_up.expect("it is given up").unwrap_err();
    assert!(
        matches!(error, Error::Unavailable(_) | Error::Timeout(_)),
        "{error}"
    );
}
