//! Replicas that know their callers by tokens and certificates, and show certificates to each other.

use std::path::Path;

use foreshadow_api::v1::{
    AllocateRequest, Allocation, ListPoolsRequest, ListRequest, admin_client::AdminClient,
    allocate_request::Target, allocations_client::AllocationsClient,
};
use foreshadow_tests::{Authority, Marked, token};
use tonic::{
    Code, Request, Status,
    transport::{Certificate, Channel, ClientTlsConfig, Identity},
};

use crate::{
    replicas::{POOLS, Setting, pool},
    trial::Trial,
};

/// The names in the certificates of each replica, and of a caller.
const REPLICA: &str = "127.0.0.1";
const VISITOR: &str = "visitor.example";

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

/// All allocations that a caller may see, page by page: the lists of several shards.
async fn all(claims: &mut AllocationsClient<Channel>, token: &str) -> Vec<Allocation> {
    let mut found = Vec::new();
    let mut request = ListRequest {
        page_size: 5,
        ..ListRequest::default()
    };
    loop {
        let page = claims.list(shown(request.clone(), token)).await;
        let page = page.expect("a client may list").into_inner();
        found.extend(page.allocations);
        if page.next_page_token.is_empty() {
            return found;
        }
        request.page_token = page.next_page_token;
    }
}

async fn channel(address: &str, tls: &ClientTlsConfig) -> Channel {
    let endpoint = Channel::from_shared(format!("https://{address}")).expect("the address is one");
    let endpoint = endpoint.tls_config(tls.clone());
    let channel = endpoint.expect("the roots are fine").connect().await;
    channel.expect("the replica listens")
}

/// The callers of a trial, and what they are known by.
struct Callers {
    operator: String,
    app: String,
    /// With no certificate.
    plain: ClientTlsConfig,
    /// With the visitor's.
    visitor: ClientTlsConfig,
}

/// Replicas that show each other the certificate of an administrator, and know an administrator and a
/// client by tokens and a visitor by its certificate.
fn guarded(folder: &Path, instances: &Marked) -> (Setting, Callers) {
    let authority = Authority::new(folder);
    let (ca, own) = (authority.file(), authority.certificate(REPLICA));
    let (operator, first) = token("ops", "admin");
    let (app, second) = token("app", "client");
    let more = format!(
        r#"
[tls]
{own}
client_ca = "{ca}"
client_certificates = "optional"
{first}
{second}
tenant = "acme"
[[certificate]]
name = "replica"
subject = "{REPLICA}"
role = "admin"
[[certificate]]
name = "visitor"
subject = "{VISITOR}"
role = "client"
tenant = "acme"
"#
    );
    let setting = Setting {
        peers: format!("ca = \"{ca}\"\n{own}"),
        more,
        ..Setting::processes(instances)
    };
    let plain = ClientTlsConfig::new().ca_certificate(Certificate::from_pem(authority.pem()));
    let (visitor, key) = authority.signs(VISITOR);
    let callers = Callers {
        operator,
        app,
        visitor: plain.clone().identity(Identity::from_pem(visitor, key)),
        plain,
    };
    (setting, callers)
}

/// Callers with a token are who they are at each replica, whichever has the shard: what one of them
/// may not do directly, it may not do through a replica that is let in as an administrator.
#[tokio::test(flavor = "multi_thread")]
async fn who_may_not_call_one_replica_may_not_call_another_through_it() {
    let folder = tempfile::tempdir().expect("a folder can be made");
    let instances = Marked::sleepers(89);
    let (setting, callers) = guarded(folder.path(), &instances);
    let Some(trial) = Trial::start_with(folder.path(), &setting) else {
        return;
    };
    trial.spread().await;
    let Callers { operator, app, .. } = &callers;
    for replica in 0..3 {
        let channel = channel(&trial.address(replica), &callers.plain).await;
        let mut admin = AdminClient::new(channel.clone());
        let mut claims = AllocationsClient::new(channel);
        let pools = admin
            .list_pools(shown(ListPoolsRequest::default(), operator))
            .await;
        let pools = pools.expect("an administrator may ask").into_inner().pools;
        assert_eq!(pools.len(), POOLS);
        let refused = admin
            .list_pools(shown(ListPoolsRequest::default(), app))
            .await;
        assert_eq!(code(refused), Code::PermissionDenied);
        for number in 0..POOLS {
            let own = claims.allocate(shown(wanted(number, "acme"), app)).await;
            let own = own.expect("a client may claim").into_inner();
            assert_eq!(own.tenant_id, "acme");
            let others = shown(wanted(number, "umbrella"), app);
            assert_eq!(code(claims.allocate(others).await), Code::PermissionDenied);
            let stranger = shown(wanted(number, "acme"), "nobody");
            assert_eq!(code(claims.allocate(stranger).await), Code::Unauthenticated);
            let mut forged = shown(wanted(number, "acme"), "nobody");
            let mark = forged.metadata_mut();
            mark.insert("foreshadow-forwarded", 0.into());
            assert_eq!(code(claims.allocate(forged).await), Code::Unauthenticated);
            let hidden = shown(wanted(number, "umbrella"), operator);
            claims.allocate(hidden).await.expect("an administrator may");
        }
        let mine = all(&mut claims, app).await;
        assert_eq!(mine.len(), (replica + 1) * POOLS, "{mine:?}");
        assert!(mine.iter().all(|one| one.tenant_id == "acme"), "{mine:?}");
    }
    who_shows_a_certificate_alone_is_served_where_the_shard_is(&trial, &callers).await;
}

/// Another replica does not see the caller's certificate, but that of the replica in between.
async fn who_shows_a_certificate_alone_is_served_where_the_shard_is(
    trial: &Trial,
    callers: &Callers,
) {
    let mut served = Vec::new();
    for replica in 0..3 {
        let channel = channel(&trial.address(replica), &callers.visitor).await;
        let mut claims = AllocationsClient::new(channel.clone());
        let mut admin = AdminClient::new(channel);
        let refused = admin.list_pools(ListPoolsRequest::default()).await;
        assert_eq!(code(refused), Code::PermissionDenied);
        for number in 0..POOLS {
            let others = code(claims.allocate(wanted(number, "umbrella")).await);
            match claims.allocate(wanted(number, "acme")).await {
                Ok(_) => {
                    assert_eq!(others, Code::PermissionDenied);
                    served.push(number);
                }
                Err(refused) => {
                    let elsewhere = (Code::Unauthenticated, Code::Unauthenticated);
                    assert_eq!((refused.code(), others), elsewhere);
                    assert!(refused.message().contains("show a token"), "{refused}");
                }
            }
            let with_token = shown(wanted(number, "umbrella"), &callers.app);
            assert_eq!(
                code(claims.allocate(with_token).await),
                Code::PermissionDenied
            );
        }
    }
    served.sort_unstable();
    let all: Vec<_> = (0..POOLS).collect();
    assert_eq!(served, all, "each pool is with one replica");
}
