//! How long pools grant nothing while something befalls the replicas.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use foreshadow_tests::until_async;
use tokio::{task::JoinSet, time::sleep};

use crate::{
    load::connect,
    replicas::{POOLS, pool},
    worker::{Client, Known, Worker},
};

/// The next name: no two ask with the same keys.
static PROBES: AtomicUsize = AtomicUsize::new(2_000_000);

/// What was seen of a pool.
#[derive(Debug, Clone, Copy)]
struct Seen {
    last: Instant,
    /// The longest time between two grants.
    longest: Duration,
}

impl Seen {
    fn new() -> Self {
        Self {
            last: Instant::now(),
            longest: Duration::ZERO,
        }
    }

    fn granted(&mut self) {
        let now = Instant::now();
        self.longest = self.longest.max(now - self.last);
        self.last = now;
    }
}

/// What was seen of each pool; nothing of one that has granted nothing yet.
type AllSeen = Arc<Mutex<[Option<Seen>; POOLS]>>;

/// Asks for every pool again and again, through the replica at `address`, from before `befall` until
/// every pool has granted something after it; the longest time between two grants of a pool.
pub(crate) async fn longest_gap(address: &str, befall: impl FnOnce()) -> Duration {
    let seen = AllSeen::default();
    let over = Arc::new(AtomicBool::new(false));
    let mut probes = JoinSet::new();
    for number in 0..POOLS {
        let prober = Worker {
            name: PROBES.fetch_add(1, Ordering::Relaxed),
            pool: pool(number),
            ..Worker::default()
        };
        let (address, seen, over) = (address.to_owned(), seen.clone(), over.clone());
        probes.spawn(async move { probe(prober, &address, number, &seen, &over).await });
    }
    let all = || *seen.lock().expect("no probe panicked");
    let granted_since = |when: Instant| {
        let seen = all();
        let lately = |one: &Option<Seen>| one.is_some_and(|one| one.last > when);
        seen.iter().all(lately).then_some(())
    };
    let begun = Instant::now();
    until_async("a grant of every pool", async || granted_since(begun)).await;
    // What it took until then counts for nothing.
    for one in seen.lock().expect("no probe panicked").iter_mut().flatten() {
        one.longest = Duration::ZERO;
    }
    tokio::task::block_in_place(befall);
    let befallen = Instant::now();
    until_async("a grant of every pool", async || granted_since(befallen)).await;
    over.store(true, Ordering::Relaxed);
    let longest = all().iter().flatten().map(|one| one.longest).max();
    while let Some(probe) = probes.join_next().await {
        probe.expect("no probe panicked");
    }
    longest.unwrap_or_default()
}

/// Claims and gives back until it is over and nothing is held.
async fn probe(
    mut prober: Worker,
    address: &str,
    number: usize,
    seen: &AllSeen,
    over: &AtomicBool,
) {
    let mut client: Option<Client> = None;
    while !over.load(Ordering::Relaxed) || !matches!(prober.known, Known::Nothing) {
        let claimed = matches!(prober.known, Known::Asked(_));
        let done = match &mut client {
            Some(client) => prober.step(client).await,
            None => connect(address)
                .await
                .map(|connected| client = Some(connected)),
        };
        if done.is_err() {
            client = None;
            sleep(Duration::from_millis(20)).await;
        } else if claimed && matches!(prober.known, Known::Held(_)) {
            let mut seen = seen.lock().expect("no probe panicked");
            seen[number].get_or_insert_with(Seen::new).granted();
        }
    }
}
