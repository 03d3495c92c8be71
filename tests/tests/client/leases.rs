//! Leases: granted, renewed, given back, lost.

use std::{process::Command, time::SystemTime};

use foreshadow_client::{Claim, Error, Filter, Lost, Requirements, State};
use foreshadow_tests::{Marked, PATIENCE, http, notebook_pool, until_async};
use futures::{FutureExt as _, poll};
use tokio::time::{Duration, timeout};

use crate::support::{Site, ended, listed, now, warm};

#[tokio::test(flavor = "multi_thread")]
async fn a_lease_answers_while_it_is_held_and_is_given_back() {
    let site = Site::start(&notebook_pool(50, 1, 4));
    let client = site.client().await;
    let claim = Claim::pool("notebook")
        .user("ada")
        .application("jupyter")
        .tenant("acme");
    let lease = client.lease(claim).await.unwrap();
    assert_eq!(http(lease.address(), "GET", "/", "").0, 200);
    let held = now(&client, lease.id()).await;
    assert_eq!(held.state, State::Granted);
    assert_eq!(held.fencing_token, lease.fencing_token());
    assert_eq!(held.address.as_deref(), Some(lease.address()));
    assert_eq!(held.user.as_deref(), Some("ada"));
    assert_eq!(held.application.as_deref(), Some("jupyter"));
    assert_eq!(
        (held.pool.as_str(), held.tenant.as_str()),
        ("notebook", "acme")
    );
    assert!(held.durable);
    assert!(lease.time_left() > Duration::ZERO);
    let (id, lost) = (lease.id().to_owned(), lease.lost());
    lease.release().await.unwrap();
    let lost = timeout(PATIENCE, lost).await;
    assert_eq!(lost.expect("nothing is left to be lost"), None);
    assert_eq!(now(&client, &id).await.state, State::Released);
    let warm = warm(&client, "notebook").await;
    assert!(warm.is_warm());
    warm.release().await.unwrap();
    site.server.stop();
}

/// The lease is renewed until its first end has passed.
async fn outlives_its_first_deadline(site: &Site, claim: Claim) {
    let client = site.client().await;
    let lease = client.lease(claim).await.expect("the pool has room");
    let first = lease.expires_at().expect("a lease ends");
    until_async("the first deadline", async || {
        (SystemTime::now() > first).then_some(())
    })
    .await;
    assert_eq!(now(&client, lease.id()).await.state, State::Granted);
    assert!(lease.expires_at() > Some(first));
    assert_eq!(lease.loss(), None);
    lease.release().await.expect("it is held");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lease_is_renewed_past_its_first_deadline() {
    let site = Site::start(&(notebook_pool(50, 1, 4) + "lease_duration = \"6s\"\n"));
    let given = Claim::pool("notebook").lease_duration(Duration::from_secs(5));
    outlives_its_first_deadline(&site, given).await;
    outlives_its_first_deadline(&site, Claim::pool("notebook")).await;
    site.server.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lease_that_is_dropped_is_given_back() {
    let site = Site::start(&notebook_pool(50, 1, 4));
    let client = site.client().await;
    let lease = client.lease("notebook").await.unwrap();
    let id = lease.id().to_owned();
    drop(lease);
    assert_eq!(ended(&client, &id).await.state, State::Released);
    site.server.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_is_closed_has_given_back_what_was_dropped() {
    let site = Site::start(&notebook_pool(50, 1, 1));
    let (client, witness) = (site.client().await, site.client().await);
    let claim = || Claim::pool("notebook").max_wait(PATIENCE);
    drop(client.lease(claim()).await.unwrap());
    let held = client.lease(claim()).await.unwrap();
    drop(client.claim(claim()).await.unwrap());
    let given_up = client.claim(claim()).now_or_never();
    assert!(given_up.is_none(), "there was no time to answer");
    let closed = timeout(PATIENCE, client.close()).await;
    closed.expect("a lease that is held is not waited for");
    let all = listed(&witness, Filter::all()).await;
    let left: Vec<_> = all.iter().filter(|one| !one.state.is_over()).collect();
    assert_eq!(left.len(), 1, "{left:?}");
    assert_eq!(left[0].id, held.id());
    held.release().await.unwrap();
    site.server.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_is_closed_while_claims_are_held_that_nobody_polls() {
    let site = Site::start(&notebook_pool(50, 1, 4));
    let (client, witness) = (site.client().await, site.client().await);
    let claim = || Claim::pool("notebook").max_wait(PATIENCE);
    let mut taken = Box::pin(client.lease(claim()));
    let mut dropped = Box::pin(client.lease(claim()));
    for claiming in [&mut taken, &mut dropped] {
        assert!(poll!(claiming).is_pending(), "there was no time to answer");
    }
    let left = async || {
        let all = listed(&witness, Filter::all()).await;
        all.iter().filter(|one| !one.state.is_over()).count()
    };
    until_async("both decisions", async || (left().await == 2).then_some(())).await;
    let close = async || {
        let closed = timeout(PATIENCE, client.clone().close()).await;
        closed.expect("what is held is not waited for");
        left().await
    };
    assert_eq!(close().await, 2, "they are kept for their futures");
    drop(dropped);
    assert_eq!(close().await, 1, "what was dropped is given back");
    taken.await.unwrap().release().await.unwrap();
    assert_eq!(close().await, 0);
    site.server.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_claim_that_nobody_waits_for_any_more_leaves_nothing_behind() {
    let site = Site::start(&notebook_pool(50, 1, 4));
    let client = site.client().await;
    let claim = Claim::pool("notebook").user("eve");
    let given_up = client.lease(claim).now_or_never();
    assert!(given_up.is_none(), "there was no time to answer");
    let of_eve = || Filter::all().user("eve");
    until_async("the end of the claim", async || {
        let found = listed(&client, of_eve()).await;
        let over = found.iter().all(|one| one.state.is_over());
        (!found.is_empty() && over).then_some(())
    })
    .await;
    site.server.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lease_whose_instance_dies_tells_of_it() {
    let instances = Marked::sleepers(31);
    let site = Site::start(&("tick = \"1s\"\n".to_owned() + &instances.pool("small", 1, 1)));
    let client = site.client().await;
    let lease = client.lease("small").await.unwrap();
    let lost = lease.lost();
    for pid in instances.running() {
        let killed = Command::new("kill").args(["-9", &pid.to_string()]).status();
        assert!(killed.is_ok_and(|status| status.success()));
    }
    let lost = timeout(PATIENCE, lost)
        .await
        .expect("the loss is told")
        .unwrap();
    assert!(
        matches!(
            lost,
            Lost::Ended {
                state: State::Lost,
                ..
            }
        ),
        "{lost}"
    );
    let work = lease.while_held(std::future::pending::<()>()).await;
    assert_eq!(work, Err(lost.clone()));
    assert_eq!(lease.loss(), Some(lost.clone()));
    assert_eq!(lease.time_left(), Duration::ZERO);
    let refused = lease.release().await.unwrap_err();
    assert_eq!(refused.to_string(), lost.to_string());
    site.server.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lease_that_somebody_else_gave_back_is_lost() {
    let site = Site::start(&notebook_pool(50, 1, 4));
    let client = site.client().await;
    let lease = client.lease("notebook").await.unwrap();
    client.release(lease.allocation()).await.unwrap();
    let lost = timeout(PATIENCE, lease.lost()).await;
    let lost = lost.expect("the loss is told").unwrap();
    assert!(
        matches!(
            lost,
            Lost::Ended {
                state: State::Released,
                ..
            }
        ),
        "{lost}"
    );
    site.server.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn requirements_choose_the_pool_and_a_key_shares_its_instance() {
    let site = Site::start(&notebook_pool(50, 1, 4));
    let client = site.client().await;
    let claim = Claim::needing(Requirements::new().vcpus(1.0)).merge_key("course");
    let first = client.lease(claim.clone()).await.unwrap();
    let second = client.lease(claim).await.unwrap();
    assert_eq!(first.allocation().pool, "notebook");
    assert_eq!(first.address(), second.address());
    assert_ne!(first.id(), second.id(), "each claim has a key of its own");
    first.release().await.unwrap();
    second.release().await.unwrap();
    let never = client.lease(Requirements::new().gpus(8)).await.unwrap_err();
    assert!(matches!(never, Error::Refused(_)), "{never}");
    site.server.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stale_token_is_refused() {
    let site = Site::start(&notebook_pool(50, 1, 4));
    let client = site.client().await;
    let lease = client.lease("notebook").await.unwrap();
    let instance = lease.allocation().instance.clone().expect("it holds one");
    let token = lease.fencing_token();
    client.check_token(&instance, token).await.unwrap();
    let stale = client.check_token(&instance, token + 1).await.unwrap_err();
    assert!(matches!(stale, Error::Refused(_)), "{stale}");
    lease.release().await.unwrap();
    site.server.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_gives_one_allocation_and_none_after_its_end() {
    let site = Site::start(&notebook_pool(50, 1, 4));
    let client = site.client().await;
    let claim = Claim::pool("notebook").user("hal").idempotency_key("k");
    let first = client.lease(claim.clone()).await.unwrap();
    let again = client.allocate(claim.clone()).await.unwrap();
    assert_eq!(again.id, first.id());
    let other = client.lease(claim.clone().user("ivy")).await.unwrap_err();
    assert!(matches!(other, Error::KeyMisused(_)), "{other}");
    first.release().await.unwrap();
    let over = client.lease(claim).await.unwrap_err();
    assert!(matches!(over, Error::NotGranted(_)), "{over}");
    assert!(over.to_string().contains("released"), "{over}");
    site.server.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn errors_name_what_is_wrong() {
    let site = Site::start(&notebook_pool(50, 0, 1));
    let client = site.client().await;
    let unknown = client.lease("nowhere").await.unwrap_err();
    assert!(matches!(unknown, Error::NotFound(_)), "{unknown}");
    assert!(unknown.to_string().contains("nowhere"), "{unknown}");
    assert!(
        unknown.to_string().contains(site.server.address()),
        "{unknown}"
    );
    let empty = Claim::pool("notebook").lease_duration(Duration::ZERO);
    let empty = client.lease(empty).await.unwrap_err();
    assert!(matches!(empty, Error::InvalidRequest(_)), "{empty}");
    assert!(empty.to_string().contains("lease_duration"), "{empty}");
    site.server.stop();
}
