//! Claims that wait: seen, granted in the end, taken back.

use std::time::SystemTime;

use foreshadow_client::{Claim, Claimed, Client, Error, State, Waiting};
use foreshadow_tests::{PATIENCE, notebook_pool, until_async};
use futures::TryStreamExt as _;
use tokio::time::{Duration, timeout};

use crate::support::{Site, ended, now};

/// A claim that must wait.
async fn waiting(client: &Client, claim: Claim) -> Waiting {
    match client.claim(claim).await.expect("the queue has room") {
        Claimed::Waiting(waiting) => waiting,
        Claimed::Granted(lease) => panic!("{} was not to be granted", lease.id()),
    }
}

/// One that may wait for as long as a test does.
fn patient() -> Claim {
    Claim::pool("notebook").max_wait(10 * PATIENCE)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_claim_that_waits_knows_its_place_and_is_granted_in_its_turn() {
    let site = Site::start(&notebook_pool(50, 1, 1));
    let client = site.client().await;
    let first = client.lease(patient()).await.unwrap();
    let second = waiting(&client, patient()).await;
    let mut third = waiting(&client, patient()).await;
    assert_eq!(second.allocation().state, State::Queued);
    assert_eq!(second.allocation().queue_position, Some(1));
    assert_eq!(third.allocation().queue_position, Some(2));
    assert!(third.allocation().estimated_wait.is_some());
    first.release().await.unwrap();
    let second = timeout(PATIENCE, second.granted())
        .await
        .expect("it is its turn")
        .unwrap();
    while third.allocation().queue_position != Some(1) {
        timeout(PATIENCE, third.changed())
            .await
            .expect("it moves up")
            .unwrap();
    }
    second.release().await.unwrap();
    let third = timeout(PATIENCE, third.granted())
        .await
        .expect("it is its turn")
        .unwrap();
    assert!(!third.address().is_empty());
    third.release().await.unwrap();
    site.server.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_claim_that_is_taken_back_waits_no_more() {
    let site = Site::start(&notebook_pool(50, 1, 1));
    let client = site.client().await;
    let held = client.lease(patient()).await.unwrap();
    let cancelled = waiting(&client, patient()).await;
    let dropped = waiting(&client, patient()).await;
    let ids = [&cancelled, &dropped].map(|one| one.allocation().id.clone());
    cancelled.cancel().await.unwrap();
    assert_eq!(now(&client, &ids[0]).await.state, State::Cancelled);
    let given_up = timeout(Duration::from_millis(1), dropped.granted()).await;
    assert!(given_up.is_err(), "the instance is held");
    assert_eq!(ended(&client, &ids[1]).await.state, State::Cancelled);
    held.release().await.unwrap();
    site.server.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_granted_meanwhile_is_given_back_with_the_claim() {
    let site = Site::start(&notebook_pool(50, 1, 1));
    let client = site.client().await;
    let held = client.lease(patient()).await.unwrap();
    let late = waiting(&client, patient()).await;
    let id = late.allocation().id.clone();
    held.release().await.unwrap();
    until_async("the grant", async || {
        let granted = now(&client, &id).await.state == State::Granted;
        granted.then_some(())
    })
    .await;
    late.cancel().await.unwrap();
    assert_eq!(now(&client, &id).await.state, State::Released);
    site.server.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_claim_that_waits_in_vain_says_how_it_ended() {
    let site = Site::start(&notebook_pool(50, 1, 1));
    let client = site.client().await;
    let held = client.lease(patient()).await.unwrap();
    let short = Claim::pool("notebook").max_wait(Duration::from_millis(50));
    let rejected = timeout(PATIENCE, client.lease(short))
        .await
        .expect("it ends")
        .unwrap_err();
    assert!(
        matches!(&rejected, Error::NotGranted(one) if one.state == State::Rejected),
        "{rejected}"
    );
    held.release().await.unwrap();
    site.server.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_claim_for_later_is_granted_at_its_time_and_held_beyond_the_grace() {
    let site = Site::start(&(notebook_pool(50, 1, 2) + "booking_grace = \"20s\"\n"));
    let client = site.client().await;
    let time = SystemTime::now() + Duration::from_secs(3);
    let later = patient()
        .available_at(time)
        .lease_duration(Duration::from_mins(10));
    let booked = waiting(&client, later).await;
    let said = booked.allocation();
    assert!(
        matches!(said.state, State::Booked | State::Queued),
        "{said:?}"
    );
    assert!(said.availability_time.is_some());
    let lease = timeout(PATIENCE, booked.granted())
        .await
        .expect("its time comes")
        .unwrap();
    assert!(SystemTime::now() >= time, "not before its time");
    let beyond = time + Duration::from_mins(5);
    assert!(
        lease.expires_at() > Some(beyond),
        "it is held for its own time"
    );
    lease.release().await.unwrap();
    site.server.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_allocation_is_watched_until_its_end() {
    let site = Site::start(&notebook_pool(50, 1, 1));
    let client = site.client().await;
    let lease = client.lease(patient()).await.unwrap();
    let mut changes = std::pin::pin!(client.watch(lease.id()));
    let first = changes.try_next().await.unwrap().expect("it is there");
    assert_eq!(first.state, State::Granted);
    lease.release().await.unwrap();
    let mut last = first.state;
    while let Some(next) = timeout(PATIENCE, changes.try_next())
        .await
        .expect("it ends")
        .unwrap()
    {
        last = next.state;
    }
    assert_eq!(last, State::Released);
    let mut unknown = std::pin::pin!(client.watch("a-4242"));
    let unknown = unknown.try_next().await.unwrap_err();
    assert!(matches!(unknown, Error::NotFound(_)), "{unknown}");
    site.server.stop();
}
