use std::time::Duration;

use super::*;
use crate::presets::preset;

const NOW: Timestamp = Timestamp::from_millis(1_700_000_000_000);

fn mapper(max_series: usize) -> Mapper {
    let mappings = ["kubelet", "node-exporter"];
    let mappings = mappings.into_iter().flat_map(|name| preset(name).unwrap());
    let limits = IntakeLimits {
        max_series,
        ..IntakeLimits::default()
    };
    Mapper::new(mappings.collect(), limits)
}

fn sample(seconds: i64, value: f64) -> RawSample {
    RawSample {
        at: Timestamp::from_millis(NOW.as_millis() + seconds * 1000),
        value,
    }
}

fn cpu(mapper: &mut Mapper, cpu: &str, mode: &str, sample: RawSample) -> Vec<f64> {
    let labels = [("cpu", cpu), ("instance", "db-1"), ("mode", mode)];
    let mut into = Vec::new();
    mapper.take(
        "node_cpu_seconds_total",
        &labels,
        std::iter::once(sample),
        NOW,
        &mut into,
    );
    into.into_iter()
        .map(|observation| observation.value)
        .collect()
}

#[test]
fn a_machines_processors_become_one_rate() {
    let mut mapper = mapper(100);
    for (second, used) in [(-60, 10.0), (-45, 25.0), (-30, 40.0)] {
        assert!(cpu(&mut mapper, "0", "idle", sample(second, 9e9)).is_empty());
        assert!(cpu(&mut mapper, "0", "user", sample(second, used)).is_empty());
        let sum = cpu(&mut mapper, "1", "user", sample(second, used));
        let expected: &[f64] = if second == -60 { &[] } else { &[2.0] };
        assert_eq!(sum, expected, "at {second}");
    }
    assert_eq!(mapper.counts().series, 2);
    assert_eq!(mapper.counts().unmapped, 3);
}

#[test]
fn a_counter_that_began_again_is_counted_from_zero() {
    let mut mapper = mapper(100);
    cpu(&mut mapper, "0", "user", sample(-60, 1e6));
    assert_eq!(cpu(&mut mapper, "0", "user", sample(-50, 5.0)), [0.5]);
    assert_eq!(mapper.counts().resets, 1);
}

#[test]
fn what_comes_again_late_or_from_a_wrong_clock_is_counted_and_left_out() {
    let mut mapper = mapper(100);
    cpu(&mut mapper, "0", "user", sample(-30, 1.0));
    for wrong in [
        sample(-30, 1.0),
        sample(-40, 0.5),
        sample(3600, 2.0),
        sample(-90 * 86_400, 0.0),
        sample(-20, f64::INFINITY),
        sample(-20, f64::NAN),
    ] {
        assert!(cpu(&mut mapper, "0", "user", wrong).is_empty());
    }
    let counts = mapper.counts();
    let by_reason = [
        counts.duplicate,
        counts.out_of_order,
        counts.future,
        counts.past,
        counts.not_finite,
    ];
    assert_eq!(by_reason, [1, 1, 1, 1, 2]);
    assert_eq!(cpu(&mut mapper, "0", "user", sample(-10, 21.0)), [1.0]);
}

#[test]
fn a_flood_of_series_stays_within_the_limit_and_spares_those_in_use() {
    let mut mapper = mapper(100);
    let (mut seconds, mut used, mut rates) = (-100_000, 0.0, 0);
    for flood in 0..20_000 {
        if flood % 50 == 0 {
            (seconds, used) = (seconds + 10, used + 10.0);
            rates += cpu(&mut mapper, "0", "user", sample(seconds, used)).len();
        }
        let pod = format!("pod-{flood}");
        let labels = [
            ("namespace", "x"),
            ("pod", pod.as_str()),
            ("container", "c"),
        ];
        let one = std::iter::once(sample(0, 1.0));
        mapper.take(
            "container_memory_working_set_bytes",
            &labels,
            one,
            NOW,
            &mut Vec::new(),
        );
    }
    let counts = mapper.counts();
    assert_eq!(counts.series, 100);
    assert_eq!(counts.series_evicted, 20_001 - 100);
    assert_eq!(rates, 399, "the series in use was never dropped");
    assert!(mapper.targets.len() <= 101 && mapper.by_name.len() <= 100);
}

#[test]
fn a_series_that_has_ended_leaves_its_sum() {
    let mut mapper = mapper(100);
    for name in ["0", "1"] {
        cpu(&mut mapper, name, "user", sample(-60, 0.0));
    }
    cpu(
        &mut mapper,
        "1",
        "user",
        RawSample {
            at: NOW - Duration::from_secs(50),
            value: f64::from_bits(STALE_MARKER),
        },
    );
    assert_eq!(cpu(&mut mapper, "0", "user", sample(-50, 10.0)), [1.0]);
    assert_eq!(mapper.counts().series, 1);
}
