//! A client that asks, holds and gives back again and again, and knows what it was promised.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex},
    time::Duration,
};

use foreshadow_api::{
    v1::{
        AllocateRequest, Allocation, ListRequest, ReleaseRequest, allocate_request::Target,
        allocation::State, allocations_client::AllocationsClient,
    },
    well_known,
};
use tokio::time::sleep;
use tonic::{Code, Status, transport::Channel};

pub(crate) type Client = AllocationsClient<Channel>;

/// What a worker knows of its lease; what was said before a kill is still true after it.
#[derive(Debug, Clone, Default)]
pub(crate) enum Known {
    #[default]
    Nothing,
    /// Asked for with this key, not answered yet.
    Asked(String),
    /// Acknowledged.
    Held(Box<Allocation>),
    /// To be given back, not acknowledged yet.
    GivenBack(Box<Allocation>),
}

#[derive(Debug, Default)]
pub(crate) struct Worker {
    pub(crate) name: usize,
    pub(crate) pool: String,
    /// How long it holds what it is granted.
    pub(crate) hold: Duration,
    pub(crate) asked: usize,
    pub(crate) known: Known,
}

impl Worker {
    /// One call; an error other than a refusal means that the server has gone.
    pub(crate) async fn step(&mut self, client: &mut Client) -> Result<(), Status> {
        match self.known.clone() {
            Known::Nothing => {
                self.asked += 1;
                self.known = Known::Asked(format!("{}-{}", self.name, self.asked));
                Ok(())
            }
            Known::Asked(key) => self.ask(client, key).await,
            Known::Held(lease) => {
                sleep(self.hold).await;
                self.known = Known::GivenBack(lease);
                Ok(())
            }
            Known::GivenBack(lease) => {
                let release = ReleaseRequest {
                    allocation_id: lease.allocation_id,
                    fencing_token: lease.fencing_token,
                };
                client.release(release).await?;
                self.known = Known::Nothing;
                Ok(())
            }
        }
    }

    async fn ask(&mut self, client: &mut Client, key: String) -> Result<(), Status> {
        let seconds = |seconds| Some(well_known::Duration { seconds, nanos: 0 });
        let request = AllocateRequest {
            tenant_id: "acme".to_owned(),
            target: Some(Target::Pool(self.pool.clone())),
            max_wait: seconds(0),
            lease_duration: seconds(3_600),
            idempotency_key: key,
            ..AllocateRequest::default()
        };
        match client.allocate(request).await {
            Ok(granted) => {
                self.known = Known::Held(Box::new(granted.into_inner()));
                Ok(())
            }
            Err(refused) if refused.code() == Code::ResourceExhausted => {
                self.known = Known::Nothing;
                sleep(Duration::from_millis(5)).await;
                Ok(())
            }
            Err(gone) => Err(gone),
        }
    }
}

/// What a server says is held, by allocation, read page by page.
pub(crate) async fn held(client: &mut Client) -> Result<BTreeMap<String, Allocation>, Status> {
    let mut held = BTreeMap::new();
    let mut request = ListRequest {
        states: vec![State::Granted.into(), State::Joined.into()],
        page_size: 3,
        ..ListRequest::default()
    };
    loop {
        let page = client.list(request.clone()).await?.into_inner();
        let all = page.allocations.into_iter();
        held.extend(all.map(|one| (one.allocation_id.clone(), one)));
        if page.next_page_token.is_empty() {
            return Ok(held);
        }
        request.page_token = page.next_page_token;
    }
}

/// Everything that was acknowledged is as it was, and nothing is held twice or by nobody.
pub(crate) fn check(
    cycle: usize,
    workers: &[Arc<Mutex<Worker>>],
    held: &BTreeMap<String, Allocation>,
) {
    let mut owned = BTreeSet::new();
    for lease in held.values() {
        let instance = &lease.instance.as_ref().expect("a lease has an instance").id;
        assert!(
            owned.insert(instance),
            "cycle {cycle}: {instance} has two owners"
        );
    }
    let mut explained = 0;
    for worker in workers {
        let worker = worker.lock().expect("no worker panicked");
        match &worker.known {
            Known::Nothing => {}
            Known::Asked(_) | Known::GivenBack(_) => explained += 1,
            Known::Held(lease) => {
                explained += 1;
                let found = held.get(&lease.allocation_id);
                let found = found.unwrap_or_else(|| panic!("cycle {cycle}: {lease:?} is lost"));
                assert_eq!(
                    (&found.instance, found.fencing_token),
                    (&lease.instance, lease.fencing_token),
                    "cycle {cycle}"
                );
            }
        }
    }
    assert!(
        held.len() <= explained,
        "cycle {cycle}: {} leases are held, {explained} at the most were asked for",
        held.len()
    );
}
