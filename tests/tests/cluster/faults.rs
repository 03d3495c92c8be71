//! Whatever befalls replicas, whose clocks are far apart, no acknowledged lease is lost, no instance has
//! two owners and no process is left behind. `FORESHADOW_CLUSTER_ROUNDS` says how often each fault is
//! injected; once by default.

use std::{
    sync::atomic::Ordering,
    time::{Duration, Instant},
};

use foreshadow_tests::{Marked, http};
use tokio::time::sleep;

use crate::{
    gaps::longest_gap,
    load::{Load, until_all_pools_grant},
    replicas::{POOLS, Replica, Setting},
    trial::Trial,
};

/// Longer than a shard is owned without renewal.
const LONGER_THAN_OWNED: Duration = Duration::from_secs(5);
/// How often, and how fast, connections are cut.
const CUTS: usize = 20;
const BETWEEN_CUTS: Duration = Duration::from_millis(100);

impl Trial {
    async fn inject(&mut self, fault: Fault, round: usize) -> Duration {
        let victim = round % 3;
        let witness = self.address((victim + 1) % 3);
        // From before whatever it is.
        let since = Instant::now();
        match fault {
            Fault::Killed => return self.replaced(victim, Replica::kill).await,
            Fault::Stopped => return self.replaced(victim, Replica::stop).await,
            Fault::Paused => {
                self.replicas[victim].signal("-STOP");
                until_all_pools_grant(&witness, round).await;
                let outage = since.elapsed();
                sleep(LONGER_THAN_OWNED.saturating_sub(outage)).await;
                self.replicas[victim].signal("-CONT");
                return outage;
            }
            Fault::DatabaseCrashed => {
                self.postgres.crash();
                self.postgres.begin();
            }
            Fault::DatabaseGone => {
                self.postgres.crash();
                sleep(LONGER_THAN_OWNED).await;
                self.postgres.begin();
            }
            Fault::ConnectionsCut => {
                for _ in 0..CUTS {
                    self.proxy.cut();
                    sleep(BETWEEN_CUTS).await;
                }
            }
            Fault::Upgraded => return self.upgrade().await,
        }
        until_all_pools_grant(&witness, round).await;
        // Nothing can be granted while there is no database; what it takes after its return counts.
        since.elapsed().saturating_sub(fault.lasts())
    }

    /// Takes a replica away, and starts it again once the others serve what it had; how long pools
    /// granted nothing.
    async fn replaced(&mut self, victim: usize, take_away: fn(&mut Replica)) -> Duration {
        let witness = self.address((victim + 1) % 3);
        let taken_away = || {
            take_away(&mut self.replicas[victim]);
            self.list_addresses();
        };
        let gap = longest_gap(&witness, taken_away).await;
        self.replicas[victim].start();
        self.list_addresses();
        gap
    }

    /// Ends one replica after the other and starts it again, each when the one before has its share.
    async fn upgrade(&mut self) -> Duration {
        let mut longest = Duration::ZERO;
        for number in 0..self.replicas.len() {
            longest = longest.max(self.replaced(number, Replica::stop).await);
            self.spread().await;
        }
        longest
    }
}

#[derive(Debug, Clone, Copy)]
enum Fault {
    /// `kill -9` of a replica.
    Killed,
    /// A replica is asked to end, as for an upgrade.
    Stopped,
    /// A replica stands still for longer than it owns its shards, and goes on.
    Paused,
    /// The database ends as in a power failure, and is there again at once.
    DatabaseCrashed,
    /// The same, but it is away for longer than shards are owned.
    DatabaseGone,
    /// All connections to the database are cut, again and again.
    ConnectionsCut,
    /// All replicas are replaced, one after the other.
    Upgraded,
}

impl Fault {
    /// How long it lasts, whatever replicas do.
    fn lasts(self) -> Duration {
        match self {
            Self::DatabaseGone => LONGER_THAN_OWNED,
            Self::ConnectionsCut => BETWEEN_CUTS * CUTS as u32,
            Self::Killed
            | Self::Stopped
            | Self::Paused
            | Self::DatabaseCrashed
            | Self::Upgraded => Duration::ZERO,
        }
    }
}

const FAULTS: [Fault; 7] = [
    Fault::Killed,
    Fault::Stopped,
    Fault::Paused,
    Fault::DatabaseCrashed,
    Fault::DatabaseGone,
    Fault::ConnectionsCut,
    Fault::Upgraded,
];

/// How far replicas' clocks are apart, in seconds.
const CLOCKS: [i64; 3] = [0, 600, -600];

#[tokio::test(flavor = "multi_thread")]
async fn whatever_befalls_replicas_no_lease_is_lost_or_doubled() {
    let rounds = std::env::var("FORESHADOW_CLUSTER_ROUNDS").map_or(1, |text| {
        text.parse().expect("FORESHADOW_CLUSTER_ROUNDS is a number")
    });
    let folder = tempfile::tempdir().expect("a folder can be made");
    let instances = Marked::sleepers(87);
    let setting = Setting {
        clocks: CLOCKS,
        ..Setting::processes(&instances)
    };
    let Some(mut trial) = Trial::start_with(folder.path(), &setting) else {
        return;
    };
    trial.spread().await;
    until_all_pools_grant(&trial.address(0), 0).await;
    let load = Load::start(trial.addresses.clone());
    let mut probes = 1;
    println!(
        "| fault | times | violations, at which this ends | longest until all pools grant again | spread after |"
    );
    println!("|---|---|---|---|---|");
    for fault in FAULTS {
        let (mut outage, mut spread) = (Duration::ZERO, Duration::ZERO);
        for _ in 0..rounds {
            sleep(Duration::from_millis(300)).await;
            probes += 1;
            outage = outage.max(trial.inject(fault, probes).await);
            spread = spread.max(trial.spread().await);
            load.check(probes).await;
        }
        let (outage, spread) = (outage.as_secs_f64(), spread.as_secs_f64());
        println!("| {fault:?} | {rounds} | 0 | {outage:.2} s | {spread:.2} s |");
    }
    let held = load.check(probes + 1).await;
    let counts = load.counts.clone();
    drop(load);
    let [steps, errors] = [&counts.steps, &counts.errors].map(|one| one.load(Ordering::Relaxed));
    println!("{steps} steps of clients, {errors} errors, {held} leases at the end");
    assert!(steps > 100, "{steps}");
    assert!(errors * 10 <= steps, "{errors} of {steps} steps had errors");
    no_process_is_left_behind(&trial, &instances).await;
}

/// As many processes as the pools say that they have instances.
async fn no_process_is_left_behind(trial: &Trial, instances: &Marked) {
    let since = Instant::now();
    loop {
        let (_, body) = http(&trial.address(0), "GET", "/api/v1/pools", "");
        let pools: serde_json::Value = serde_json::from_str(&body).unwrap_or_default();
        let of = |pool: &serde_json::Value| {
            let states = ["ready", "starting", "leased", "stopping"];
            states
                .iter()
                .filter_map(|state| pool[state].as_u64())
                .sum::<u64>()
        };
        let known: u64 = pools["pools"]
            .as_array()
            .map_or(0, |all| all.iter().map(of).sum());
        let running = instances.running().len() as u64;
        if running == known && known >= 2 * POOLS as u64 {
            return;
        }
        assert!(
            since.elapsed() < Duration::from_secs(30),
            "{running} processes for {known} instances"
        );
        sleep(Duration::from_millis(200)).await;
    }
}
