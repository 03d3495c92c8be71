//! What clients do when the server is away, restarts or has no time for them.

use foreshadow_client::{Claim, Client, Error, Filter, Lease, Lost, State};
use foreshadow_tests::{PATIENCE, notebook_pool, until_async};
use futures::{TryStreamExt as _, future::join_all, poll};
use tokio::time::{Duration, sleep, timeout};

use crate::{
    proxy::Proxy,
    support::{Site, ended, listed, now},
};

/// How long an answer is waited for.
const CALL_TIMEOUT: Duration = Duration::from_secs(1);

/// A client that comes by way of a proxy, and soon asks again but does not soon give up.
async fn through(proxy: &Proxy) -> Client {
    let builder = Client::builder(&proxy.address()).retry_for(PATIENCE);
    let client = builder.call_timeout(CALL_TIMEOUT).connect().await;
    client.expect("the way leads somewhere")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_claim_whose_answer_was_lost_with_the_server_is_one_lease() {
    let config = notebook_pool(50, 1, 4);
    let site = Site::start(&config);
    let proxy = Proxy::to(site.server.address()).await;
    let client = through(&proxy).await;
    listed(&client, Filter::all()).await;

    proxy.lose_answers();
    let claiming = tokio::spawn(async move { client.lease("notebook").await });
    let witness = site.client().await;
    let decided = until_async("the decision", async || {
        listed(&witness, Filter::all()).await.pop()
    })
    .await;
    let ruin = site.kill();
    let site = ruin.start(&config);
    proxy.lead_to(site.server.address());

    let claimed = timeout(PATIENCE, claiming)
        .await
        .expect("it is asked again");
    let lease = claimed.expect("nobody panicked").unwrap();
    assert_eq!(lease.id(), decided.id);
    let all = listed(&site.client().await, Filter::all()).await;
    assert_eq!(all.len(), 1, "{all:?}");
    lease.release().await.unwrap();
    site.server.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_whose_answers_are_late_are_made_again() {
    let site = Site::start(&notebook_pool(50, 1, 4));
    let proxy = Proxy::to(site.server.address()).await;
    let (client, witness) = (through(&proxy).await, site.client().await);
    listed(&client, Filter::all()).await;

    proxy.lose_answers();
    let claiming = tokio::spawn(async move { client.lease("notebook").await });
    let decided = until_async("the decision", async || {
        listed(&witness, Filter::all()).await.pop()
    })
    .await;
    sleep(2 * CALL_TIMEOUT).await;
    proxy.lead_to(site.server.address());
    let claimed = timeout(PATIENCE, claiming).await.expect("it is answered");
    let lease = claimed.expect("nobody panicked").unwrap();
    assert_eq!(lease.id(), decided.id);

    proxy.lose_answers();
    let releasing = tokio::spawn(lease.release());
    assert_eq!(ended(&witness, &decided.id).await.state, State::Released);
    sleep(2 * CALL_TIMEOUT).await;
    proxy.lead_to(site.server.address());
    let released = timeout(PATIENCE, releasing).await.expect("it is answered");
    released.expect("nobody panicked").unwrap();
    let all = listed(&witness, Filter::all()).await;
    assert_eq!(all.len(), 1, "{all:?}");
    site.server.stop();
}

fn of_acme() -> Claim {
    Claim::pool("notebook").tenant("acme")
}

/// A server where a tenant has all that it may, a client that would ask for long, and what it holds.
async fn full() -> (Site, Client, Lease) {
    let tenant = "[[tenant]]\nname = \"acme\"\nlive = 1\n";
    let site = Site::start(&(notebook_pool(50, 1, 4) + tenant));
    let builder = Client::builder(site.server.address()).retry_for(10 * PATIENCE);
    let client = builder.connect().await.expect("the server listens");
    let held = client.lease(of_acme()).await.expect("there is room");
    (site, client, held)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_claim_that_is_dropped_does_not_go_on_asking_a_full_server() {
    let (site, client, held) = full().await;
    let given_up = timeout(Duration::from_millis(300), client.claim(of_acme())).await;
    assert!(given_up.is_err(), "the tenant has all that it may");
    let closed = timeout(PATIENCE, client.close()).await;
    closed.expect("nothing goes on");
    assert!(refusals(&site) >= 1);
    held.release().await.unwrap();
    site.server.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_is_closed_while_a_claim_asks_a_full_server_for_a_future_that_nobody_polls() {
    let (site, client, held) = full().await;
    let mut kept = Box::pin(client.lease(of_acme()));
    assert!(poll!(&mut kept).is_pending(), "there was no time to answer");
    let closed = timeout(PATIENCE, client.clone().close()).await;
    closed.expect("what is held is not waited for");
    drop(kept);
    let closed = timeout(PATIENCE, client.close()).await;
    closed.expect("nothing goes on");
    held.release().await.unwrap();
    site.server.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lease_and_a_claim_that_waits_outlive_a_restart() {
    let config = notebook_pool(50, 1, 1);
    let site = Site::start(&config);
    let proxy = Proxy::to(site.server.address()).await;
    let client = through(&proxy).await;
    let claim = Claim::pool("notebook")
        .max_wait(10 * PATIENCE)
        .lease_duration(Duration::from_secs(30));
    let lease = client.lease(claim.clone()).await.unwrap();
    let next = client.claim(claim).await.unwrap();
    let mut changes = std::pin::pin!(client.watch(lease.id()));
    let first = changes.try_next().await.unwrap().expect("it is there");
    assert_eq!(first.state, State::Granted);
    let before = lease.expires_at();
    let ruin = site.kill();
    let site = ruin.start(&config);
    proxy.lead_to(site.server.address());
    until_async("a renewal", async || {
        (lease.expires_at() > before).then_some(())
    })
    .await;
    assert_eq!(lease.loss(), None);
    lease.release().await.unwrap();
    let last: Vec<_> = changes.try_collect().await.unwrap();
    assert_eq!(last.last().map(|one| one.state), Some(State::Released));
    let next = timeout(PATIENCE, next.granted())
        .await
        .expect("it is its turn")
        .unwrap();
    assert_eq!(now(&client, next.id()).await.state, State::Granted);
    next.release().await.unwrap();
    site.server.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lease_is_lost_when_the_server_stays_away() {
    let config = notebook_pool(50, 1, 1);
    let site = Site::start(&config);
    let client = site.client().await;
    let claim = Claim::pool("notebook").lease_duration(Duration::from_secs(3));
    let lease = client.lease(claim).await.unwrap();
    let ruin = site.kill();
    let lost = timeout(PATIENCE, lease.lost()).await;
    let lost = lost.expect("the loss is told").unwrap();
    assert!(matches!(lost, Lost::NotRenewed { .. }), "{lost}");
    assert!(matches!(lease.release().await, Err(Error::Lost(_))));
    // So that no process is left.
    ruin.start(&config).server.stop();
}

/// A tenant that may ask once every second.
fn slow_tenant() -> String {
    let tenant = "[[tenant]]\nname = \"acme\"\nrate = { per_second = 1, burst = 1 }\n";
    notebook_pool(50, 1, 8) + tenant
}

/// How often the server has refused.
fn refusals(site: &Site) -> u32 {
    let (_, page) = site.server.http("GET", "/metrics", "");
    let mut lines = page.lines();
    let count = lines.find_map(|line| line.strip_prefix("foreshadow_allocator_refused_total "));
    let count = count.and_then(|count| count.trim().parse().ok());
    count.expect("refusals are counted")
}

#[tokio::test(flavor = "multi_thread")]
async fn what_would_be_refused_again_is_asked_once() {
    let site = Site::start(&notebook_pool(50, 0, 1));
    let client = site.client().await;
    let unknown = client.lease("nowhere").await.unwrap_err();
    assert!(matches!(unknown, Error::NotFound(_)), "{unknown}");
    assert_eq!(refusals(&site), 1);
    let held = client.lease("notebook").await.unwrap();
    let full = client
        .lease(Claim::pool("notebook").warm_only())
        .await
        .unwrap_err();
    assert!(matches!(full, Error::Exhausted { .. }), "{full}");
    assert!(full.retry_after() > Some(Duration::ZERO));
    assert_eq!(refusals(&site), 2);
    held.release().await.unwrap();
    site.server.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_delay_that_the_server_asks_for_is_kept() {
    let site = Site::start(&slow_tenant());
    let client = site.client().await;
    let mut leases = Vec::new();
    for _ in 0..3 {
        leases.push(client.lease(of_acme()).await.unwrap());
    }
    // Whoever comes again when told to is refused once, and whoever is hasty more often.
    let refused = refusals(&site);
    assert!(refused <= 2, "{refused} refusals");
    for lease in leases {
        lease.release().await.unwrap();
    }
    site.server.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_may_not_wait_is_told_the_delay() {
    let site = Site::start(&slow_tenant());
    let builder = Client::builder(site.server.address()).retry_for(Duration::ZERO);
    let client = builder.connect().await.unwrap();
    let refused = until_async("a refusal", async || {
        let claims = (0..5).map(|_| client.allocate(of_acme()));
        join_all(claims).await.into_iter().find_map(Result::err)
    })
    .await;
    assert!(matches!(refused, Error::Exhausted { .. }), "{refused}");
    let delay = refused
        .retry_after()
        .expect("the server says when to come again");
    assert!(
        delay > Duration::ZERO && delay <= Duration::from_secs(1),
        "{delay:?}"
    );
    site.server.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_not_there_is_told() {
    // Nobody listens on this port.
    let nobody = Client::connect("127.0.0.1:1").await.unwrap_err();
    assert!(matches!(nobody, Error::Unavailable(_)), "{nobody}");
    let builder = Client::builder("127.0.0.1:1").retry_for(Duration::from_millis(300));
    let client = builder.connect_lazy().unwrap();
    let nobody = client.lease("notebook").await.unwrap_err();
    let text = nobody.to_string();
    assert!(text.contains("Allocate at http://127.0.0.1:1"), "{text}");
    assert!(text.contains("refused"), "the cause is said: {text}");
}
