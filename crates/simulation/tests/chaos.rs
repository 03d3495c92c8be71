//! The allocator keeps its promises under every fault. `FORESHADOW_SEEDS` and `FORESHADOW_STEPS`
//! make the campaign larger.

use std::{
    num::NonZero,
    sync::atomic::{AtomicU64, Ordering},
    thread,
};

use foreshadow_simulation::chaos::{Bug, Fault, FaultCounts, Options, Outcome, run};

fn number(variable: &str, default: u64) -> u64 {
    std::env::var(variable)
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(default)
}

fn history(seed: u64, steps: u64) -> Outcome {
    run(&Options {
        seed,
        steps,
        bug: None,
        transcript: false,
    })
}

/// Takes one seed after the other, as others do, until there is none left.
fn faults_of(next: &AtomicU64, seeds: u64, steps: u64) -> FaultCounts {
    let mut faults = FaultCounts::default();
    loop {
        let seed = next.fetch_add(1, Ordering::Relaxed);
        if seed >= seeds {
            return faults;
        }
        let outcome = history(seed, steps);
        let broken: Vec<String> = outcome
            .violations
            .iter()
            .map(|(step, violation)| format!("step {step}: {violation}"))
            .collect();
        assert!(broken.is_empty(), "seed {seed}: {}", broken.join("\n"));
        faults.add(&outcome.faults);
    }
}

#[test]
fn every_promise_is_kept_under_every_fault() {
    let (seeds, steps) = (
        number("FORESHADOW_SEEDS", 200),
        number("FORESHADOW_STEPS", 500),
    );
    let next = AtomicU64::new(0);
    let mut faults = FaultCounts::default();
    thread::scope(|scope| {
        let cores = thread::available_parallelism().map_or(1, NonZero::get);
        let running: Vec<_> = (0..cores)
            .map(|_| scope.spawn(|| faults_of(&next, seeds, steps)))
            .collect();
        for one in running {
            faults.add(&one.join().expect("no promise is broken"));
        }
    });
    for fault in Fault::ALL {
        assert!(faults.of(fault) > 0, "{fault:?} never occurred");
    }
    println!("{seeds} seeds of {steps} steps:\n{faults}");
}

#[test]
fn one_seed_gives_one_history_byte_for_byte() {
    for seed in [3, 11, 42] {
        let options = Options {
            seed,
            steps: 400,
            bug: None,
            transcript: true,
        };
        let (first, second) = (run(&options), run(&options));
        assert!(
            first.transcript.len() > 10_000,
            "something was written down"
        );
        assert!(first == second, "seed {seed} went two ways");
    }
}

#[test]
fn every_planted_bug_is_found() {
    for bug in Bug::ALL {
        let found = (0..200).find_map(|seed| {
            let options = Options {
                seed,
                steps: 400,
                bug: Some(bug),
                transcript: false,
            };
            let violations = run(&options).violations;
            violations
                .first()
                .map(|(step, violation)| (seed, *step, violation.clone()))
        });
        assert!(found.is_some(), "{bug:?} was not found");
        println!("{bug:?}: {found:?}");
    }
}
