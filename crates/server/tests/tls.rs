//! The encrypted port: certificates of the server and of its callers.

#![expect(clippy::unwrap_used, reason = "a test fails where it cannot go on")]

mod support;

use std::{io, path::Path, sync::Arc, time::Duration};

use foreshadow_access::{Directory, Role};
use foreshadow_server::{Access, ClientCertificates, Tls, TlsFiles};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, SanType};
use support::{Answer, Served, ask_over, grant};
use tempfile::TempDir;
use tokio::{net::TcpStream, time::timeout};
use tokio_rustls::{
    TlsConnector,
    client::TlsStream,
    rustls::{
        ClientConfig, RootCertStore,
        crypto::ring,
        pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject},
    },
};

/// An authority and what it signs.
struct Authority(CertifiedIssuer<'static, KeyPair>);

/// A certificate and its key, in PEM.
struct Identity {
    certificate: String,
    key: String,
}

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new([]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        Self(CertifiedIssuer::self_signed(params, key).unwrap())
    }

    fn pem(&self) -> String {
        self.0.pem()
    }

    fn signs(&self, host: &str, common_name: &str, uri: Option<&str>) -> Identity {
        let hosts: Vec<String> = [host]
            .iter()
            .filter(|host| !host.is_empty())
            .map(|host| (*host).to_owned())
            .collect();
        let mut params = CertificateParams::new(hosts).unwrap();
        params
            .distinguished_name
            .push(DnType::CommonName, common_name);
        let uri = uri.map(|uri| SanType::URI(uri.try_into().unwrap()));
        params.subject_alt_names.extend(uri);
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.0).unwrap();
        Identity {
            certificate: certificate.pem(),
            key: key.serialize_pem(),
        }
    }
}

fn write(folder: &Path, name: &str, text: &str) -> std::path::PathBuf {
    let path = folder.join(name);
    std::fs::write(&path, text).unwrap();
    path
}

fn files(folder: &TempDir, server: &Identity) -> TlsFiles {
    TlsFiles {
        certificate: write(folder.path(), "server.pem", &server.certificate),
        key: write(folder.path(), "server.key", &server.key),
        client_ca: None,
    }
}

async fn connected(
    served: &Served,
    trusted: &Authority,
    own: Option<&Identity>,
    protocol: &[u8],
) -> io::Result<TlsStream<TcpStream>> {
    let mut roots = RootCertStore::empty();
    let root = CertificateDer::from_pem_slice(trusted.pem().as_bytes()).unwrap();
    roots.add(root).unwrap();
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots);
    let mut config = match own {
        Some(own) => {
            let chain = CertificateDer::pem_slice_iter(own.certificate.as_bytes());
            let key = PrivateKeyDer::from_pem_slice(own.key.as_bytes()).unwrap();
            let chain = chain.collect::<Result<_, _>>().unwrap();
            config.with_client_auth_cert(chain, key).unwrap()
        }
        None => config.with_no_client_auth(),
    };
    config.alpn_protocols = vec![protocol.to_vec()];
    let stream = TcpStream::connect(served.address).await.unwrap();
    let name = ServerName::try_from("localhost").unwrap();
    TlsConnector::from(Arc::new(config))
        .connect(name, stream)
        .await
}

async fn asked(
    served: &Served,
    trusted: &Authority,
    own: Option<&Identity>,
    path: &str,
) -> io::Result<Answer> {
    let stream = connected(served, trusted, own, b"http/1.1").await?;
    ask_over(stream, "localhost", "GET", path, &[], "").await
}

#[tokio::test]
async fn the_port_is_encrypted_and_its_certificate_can_be_exchanged() {
    let (folder, first, second) = (
        tempfile::tempdir().unwrap(),
        Authority::new(),
        Authority::new(),
    );
    let files = files(&folder, &first.signs("localhost", "server", None));
    let tls = Tls::read(&files).unwrap();
    let served = Served::start_with(|options| options.tls = Some(tls.clone())).await;
    let answer = asked(&served, &first, None, "/healthz").await.unwrap();
    assert_eq!(answer.status, 200);
    let h2 = connected(&served, &first, None, b"h2").await.unwrap();
    assert_eq!(h2.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
    assert!(asked(&served, &second, None, "/healthz").await.is_err());
    let plain = TcpStream::connect(served.address).await.unwrap();
    let plain = ask_over(plain, "localhost", "GET", "/healthz", &[], "");
    let plain = timeout(Duration::from_secs(20), plain).await.unwrap();
    assert!(
        plain.is_err() || plain.unwrap().status != 200,
        "nothing is answered in clear"
    );

    let renewed = second.signs("localhost", "server", None);
    write(folder.path(), "server.pem", &renewed.certificate);
    let error = tls.reread(&files).unwrap_err().to_string();
    assert!(
        error.contains("server.pem"),
        "the old key does not fit: {error}"
    );
    assert!(asked(&served, &first, None, "/healthz").await.is_ok());
    write(folder.path(), "server.key", &renewed.key);
    tls.reread(&files).unwrap();
    assert!(asked(&served, &second, None, "/healthz").await.is_ok());
    served.stop().await;
}

#[tokio::test]
async fn a_client_certificate_says_who_calls() {
    let (folder, authority) = (tempfile::tempdir().unwrap(), Authority::new());
    let stranger = Authority::new();
    let mut files = files(&folder, &authority.signs("localhost", "server", None));
    let ca = write(folder.path(), "clients.pem", &authority.pem());
    files.client_ca = Some((ca, ClientCertificates::Required));
    let mut directory = Directory::default();
    for (name, role) in [
        ("spiffe://example/collector", Role::Telemetry),
        ("ops", Role::Operator),
    ] {
        directory
            .add_certificate(name.to_owned(), grant(name, role))
            .unwrap();
    }
    let (access, tls) = (Access::new(directory), Tls::read(&files).unwrap());
    let served = Served::start_with(|options| {
        options.access = Some(access);
        options.tls = Some(tls);
    })
    .await;
    let collector = authority.signs("", "somebody", Some("spiffe://example/collector"));
    let ops = authority.signs("", "ops", None);
    let other = authority.signs("", "other", None);
    for (own, path, expected) in [
        (&collector, "/metrics", 200),
        (&collector, "/api/v1/pools", 403),
        (&ops, "/api/v1/pools", 200),
        (&ops, "/admin/audit", 403),
        (&other, "/api/v1/pools", 401),
    ] {
        let answer = asked(&served, &authority, Some(own), path).await.unwrap();
        assert_eq!(answer.status, expected, "{path}");
    }
    // A call that a replica sends on is not the replica's own.
    let stream = connected(&served, &authority, Some(&ops), b"http/1.1");
    let sent_on = [("foreshadow-forwarded", "0")];
    let stream = stream.await.unwrap();
    let answer = ask_over(stream, "localhost", "GET", "/api/v1/pools", &sent_on, "").await;
    assert_eq!(answer.unwrap().status, 401);
    let forged = stranger.signs("", "ops", None);
    for own in [None, Some(&forged)] {
        let refused = asked(&served, &authority, own, "/healthz").await;
        assert!(refused.is_err(), "{refused:?}");
    }
    served.stop().await;
}

#[tokio::test]
async fn who_is_slow_at_the_handshake_holds_up_nobody() {
    let (folder, authority) = (tempfile::tempdir().unwrap(), Authority::new());
    let files = files(&folder, &authority.signs("localhost", "server", None));
    let tls = Tls::read(&files).unwrap();
    let served = Served::start_with(|options| options.tls = Some(tls)).await;
    let mut silent = Vec::new();
    for _ in 0..100 {
        silent.push(TcpStream::connect(served.address).await.unwrap());
    }
    let answer = asked(&served, &authority, None, "/healthz").await.unwrap();
    assert_eq!(answer.status, 200);
    drop(silent);
    served.stop().await;
}

#[test]
fn files_that_cannot_be_used_are_named() {
    let (folder, authority) = (tempfile::tempdir().unwrap(), Authority::new());
    let good = files(&folder, &authority.signs("localhost", "server", None));
    let empty = write(folder.path(), "empty.pem", "");
    let missing = folder.path().join("missing.pem");
    for wrong in [&empty, &missing] {
        for files in [
            TlsFiles {
                certificate: wrong.clone(),
                ..good.clone()
            },
            TlsFiles {
                key: wrong.clone(),
                ..good.clone()
            },
            TlsFiles {
                client_ca: Some((wrong.clone(), ClientCertificates::Optional)),
                ..good.clone()
            },
        ] {
            let error = Tls::read(&files).unwrap_err().to_string();
            assert!(error.contains(&*wrong.to_string_lossy()), "{error}");
        }
    }
}
