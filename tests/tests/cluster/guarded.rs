//! Replicas that know their callers, and each other by certificates.

use std::path::Path;

use foreshadow_api::v1::{
    AllocateRequest, ListPoolsRequest, ListRequest, admin_client::AdminClient,
    allocate_request::Target, allocations_client::AllocationsClient,
};
use foreshadow_tests::{Marked, foreshadow};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use tonic::{
    Code, Request, Status,
    transport::{Certificate, Channel, ClientTlsConfig},
};

use crate::{
    load::Addresses,
    replicas::{POOLS, Setting, pool},
    trial::Trial,
};

/// A new token, and the table that lets its holder in.
fn token(arguments: &[&str]) -> (String, String) {
    let made = foreshadow(&[&["token"], arguments].concat());
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
    let said = text(&made.stderr);
    let table = said.lines().skip_while(|line| *line != "[[token]]");
    let table: Vec<_> = table.take_while(|line| !line.is_empty()).collect();
    (text(&made.stdout), table.join("\n"))
}

/// The configuration of a server with a certificate for this machine; and the authority, in PEM.
fn tls(folder: &Path) -> (String, String) {
    let mut authority = CertificateParams::new(Vec::new()).expect("no names are fine");
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().expect("a key can be made");
    let authority = CertifiedIssuer::self_signed(authority, key).expect("it signs itself");
    let own = CertificateParams::new(vec!["127.0.0.1".to_owned()]).expect("an address is a name");
    let key = KeyPair::generate().expect("a key can be made");
    let own = own
        .signed_by(&key, &authority)
        .expect("the authority signs");
    let write = |name: &str, text: String| {
        let path = folder.join(name);
        std::fs::write(&path, text).expect("the file can be written");
        path.display().to_string()
    };
    let config = format!(
        "certificate = \"{}\"\nkey = \"{}\"\n",
        write("own.pem", own.pem()),
        write("own.key", key.serialize_pem())
    );
    (config, authority.pem())
}

fn shown<T>(message: T, token: &str) -> Request<T> {
    let mut request = Request::new(message);
    let value = format!("Bearer {token}").parse().expect("a token is ASCII");
    request.metadata_mut().insert("authorization", value);
    request
}

fn wanted(number: usize, tenant: &str) -> AllocateRequest {
    AllocateRequest {
        tenant_id: tenant.to_owned(),
        target: Some(Target::Pool(pool(number))),
        ..AllocateRequest::default()
    }
}

fn code<T>(outcome: Result<T, Status>) -> Code {
    outcome.map_or_else(|status| status.code(), |_| Code::Ok)
}

fn addresses(trial: &Trial) -> Vec<String> {
    let addresses: &Addresses = &trial.addresses;
    addresses.lock().expect("no test panicked").clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn who_may_not_call_one_replica_may_not_call_another_through_it() {
    let folder = tempfile::tempdir().expect("a folder can be made");
    let instances = Marked::sleepers(89);
    let (files, authority) = tls(folder.path());
    let ca = folder.path().join("ca.pem");
    std::fs::write(&ca, &authority).expect("the file can be written");
    let (operator, first) = token(&["--name", "ops", "--role", "admin"]);
    let (app, second) = token(&["--name", "app", "--role", "client"]);
    let more = format!("[tls]\n{files}\n{first}\n{second}\ntenant = \"acme\"\n");
    let setting = Setting {
        peers: format!("ca = \"{}\"\n", ca.display()),
        more,
        ..Setting::processes(&instances)
    };
    let Some(trial) = Trial::start_with(folder.path(), &setting) else {
        return;
    };
    trial.spread().await;
    let tls = ClientTlsConfig::new().ca_certificate(Certificate::from_pem(&authority));
    for address in addresses(&trial) {
        let endpoint = Channel::from_shared(format!("https://{address}"));
        let endpoint = endpoint
            .expect("the address is one")
            .tls_config(tls.clone());
        let channel = endpoint.expect("the roots are fine");
        let channel = channel.connect().await.expect("the replica listens");
        let mut admin = AdminClient::new(channel.clone());
        let mut claims = AllocationsClient::new(channel);
        let pools = admin
            .list_pools(shown(ListPoolsRequest {}, &operator))
            .await;
        let pools = pools.expect("an administrator may ask").into_inner().pools;
        assert_eq!(pools.len(), POOLS);
        let refused = admin.list_pools(shown(ListPoolsRequest {}, &app)).await;
        assert_eq!(code(refused), Code::PermissionDenied);
        for number in 0..POOLS {
            let own = claims.allocate(shown(wanted(number, "acme"), &app)).await;
            let own = own.expect("a client may claim").into_inner();
            assert_eq!(own.tenant_id, "acme");
            let others = claims
                .allocate(shown(wanted(number, "umbrella"), &app))
                .await;
            assert_eq!(code(others), Code::PermissionDenied);
            let stranger = claims
                .allocate(shown(wanted(number, "acme"), "nobody"))
                .await;
            assert_eq!(code(stranger), Code::Unauthenticated);
            let mut forged = shown(wanted(number, "acme"), "nobody");
            forged
                .metadata_mut()
                .insert("foreshadow-forwarded", 0.into());
            assert_eq!(code(claims.allocate(forged).await), Code::Unauthenticated);
            let hidden = shown(wanted(number, "umbrella"), &operator);
            claims.allocate(hidden).await.expect("an administrator may");
        }
        let mine = claims.list(shown(ListRequest::default(), &app)).await;
        let mine = mine.expect("a client may list").into_inner().allocations;
        assert!(mine.iter().all(|one| one.tenant_id == "acme"), "{mine:?}");
    }
}
