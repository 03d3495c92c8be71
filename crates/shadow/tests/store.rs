//! The store as its users see it.

use std::{sync::Arc, time::Duration};

use foreshadow_shadow::{Access, AssignmentSource, Observation, ShadowStore, StoreLimits};
use foreshadow_types::{ApplicationId, EntityId, Timestamp, UserId};

/// Monday 2026-01-05T00:00:00Z.
const START: Timestamp = Timestamp::from_millis(1_767_571_200_000);

fn entity(name: &str) -> EntityId {
    EntityId::new(name).expect("the name is valid")
}

fn sample(name: &str, metric: &str, after: Duration, value: f64) -> Observation {
    Observation {
        entity: entity(name),
        metric: Arc::from(metric),
        at: START + after,
        value,
    }
}

fn access(user: &str, application: &str, at: Timestamp) -> Access {
    Access {
        user: UserId::new(user).expect("the name is valid"),
        application: Some(ApplicationId::new(application).expect("the name is valid")),
        at,
    }
}

/// Two weeks of hourly samples: `large-*` are big and used at noon, `small-*` small and at midnight.
fn two_kinds() -> ShadowStore {
    let mut store = ShadowStore::new(StoreLimits::default());
    for hour in 0..336_u64 {
        let after = Duration::from_hours(hour);
        for i in 0..10 {
            let ripple = (hour % 5) as f64;
            store.observe(&sample(
                &format!("large-{i}"),
                "cpu_usage_pct",
                after,
                80.0 + ripple,
            ));
            store.observe(&sample(
                &format!("small-{i}"),
                "cpu_usage_pct",
                after,
                1.0 + ripple / 9.0,
            ));
            if hour % 24 == 12 {
                store.access(&access(&format!("large-{i}"), "solver", START + after));
            } else if hour % 24 == 0 {
                store.access(&access(&format!("small-{i}"), "editor", START + after));
            }
        }
    }
    store.recluster(START + Duration::from_hours(336));
    store
}

#[test]
fn a_shadow_sums_up_what_was_observed() {
    let mut store = ShadowStore::new(StoreLimits::default());
    for minute in 0..120_u64 {
        let value = 10.0 + minute as f64;
        let after = Duration::from_mins(minute);
        assert!(store.observe(&sample("ada", "cpu_usage_pct", after, value)));
        assert!(store.observe(&sample("ada", "memory_usage_bytes", after, 5e9)));
    }
    let shadow = store
        .snapshot(&entity("ada"), START + Duration::from_hours(2))
        .unwrap();
    let names: Vec<&str> = shadow
        .metrics
        .iter()
        .map(|metric| &*metric.metric)
        .collect();
    assert_eq!(names, ["cpu_usage_pct", "memory_usage_bytes"]);
    let cpu = &shadow.metrics[0];
    assert_eq!((cpu.latest, cpu.samples), (129.0, 120));
    assert!((cpu.mean - 69.5).abs() < 1.0, "{}", cpu.mean);
    assert!(
        (cpu.trend_per_hour - 60.0).abs() < 1e-6,
        "{}",
        cpu.trend_per_hour
    );
    assert!(
        cpu.quantiles.is_sorted() && (cpu.quantiles[1] - 69.5).abs() < 6.0,
        "{cpu:?}"
    );
}

#[test]
fn the_entity_heard_of_longest_ago_gives_way() {
    let limits = StoreLimits {
        max_entities: 2,
        ..StoreLimits::default()
    };
    let mut store = ShadowStore::new(limits);
    for (second, name) in ["a", "b", "a", "c"].into_iter().enumerate() {
        store.observe(&sample(name, "m", Duration::from_secs(second as u64), 1.0));
    }
    assert_eq!((store.len(), store.counts().evicted), (2, 1));
    let compact = store
        .snapshot(&entity("b"), START)
        .expect("a compact record is kept");
    assert_eq!((compact.metrics.len(), compact.metrics[0].mean), (1, 1.0));
    store.observe(&sample("b", "m", Duration::from_secs(9), 3.0));
    let back = store.snapshot(&entity("b"), START).expect("it is back");
    assert!(back.metrics[0].mean > 1.5 && back.metrics[0].mean < 2.5);
    assert_eq!(store.counts().evicted, 2, "another gave way for it");
    assert!(store.snapshot(&entity("nobody"), START).is_none());
}

#[test]
fn limits_on_metrics_and_bad_values_are_counted() {
    let limits = StoreLimits {
        max_metrics_per_entity: 2,
        max_metric_names: 3,
        ..StoreLimits::default()
    };
    let mut store = ShadowStore::new(limits);
    for (name, metric, value, taken) in [
        ("a", "m1", 1.0, true),
        ("a", "m2", 1.0, true),
        ("a", "m3", 1.0, false),
        ("b", "m3", 1.0, true),
        ("b", "m4", 1.0, false),
        ("b", "m1", f64::NAN, false),
    ] {
        assert_eq!(
            store.observe(&sample(name, metric, Duration::ZERO, value)),
            taken,
            "{metric}"
        );
    }
    assert_eq!((store.counts().observed, store.counts().refused), (3, 3));
}

#[test]
fn entities_that_behave_alike_share_a_category() {
    let store = two_kinds();
    let of = |name: &str| store.category_of(&entity(name)).unwrap();
    let (large, small) = (of("large-0"), of("small-0"));
    assert_ne!(large.id, small.id);
    assert_eq!(large.source, AssignmentSource::Behaviour);
    assert!(large.label.contains("large"), "{}", large.label);
    assert!(small.label.contains("small"), "{}", small.label);
    for member in store.members(large.id) {
        let name = member.as_str();
        assert!(name.starts_with("large") || name == "solver", "{name}");
    }
}

#[test]
fn a_new_user_has_the_category_of_the_declared_application() {
    let mut store = two_kinds();
    let now = START + Duration::from_hours(337);
    store.access(&access("newcomer", "solver", now));
    let borrowed = store.category_of(&entity("newcomer")).unwrap();
    let own = store.category_of(&entity("solver")).unwrap();
    assert_eq!(borrowed.id, own.id);
    assert_eq!(borrowed.source, AssignmentSource::Application);
    assert!(borrowed.confidence < own.confidence);
}

#[test]
fn dependencies_go_both_ways_and_the_rhythm_is_found() {
    let store = two_kinds();
    let now = START + Duration::from_hours(336);
    let user = store.snapshot(&entity("large-3"), now).unwrap();
    assert_eq!(user.dependencies[0].entity, entity("solver"));
    assert_eq!(user.dependencies[0].share, 1.0);
    let application = store.snapshot(&entity("solver"), now).unwrap();
    assert!(application.dependencies.len() > 1);
    let next = user.access.unwrap().next_expected.unwrap();
    assert_eq!(next.since(now).as_secs() / 3600, 12, "{next}");
}

#[test]
fn a_removed_user_leaves_no_trace() {
    let mut store = two_kinds();
    assert!(store.remove(&entity("large-3")));
    assert!(!store.remove(&entity("large-3")));
    assert!(store.snapshot(&entity("large-3"), START).is_none());
    let application = store.snapshot(&entity("solver"), START).unwrap();
    assert!(
        application
            .dependencies
            .iter()
            .all(|partner| partner.entity != entity("large-3"))
    );
}

#[test]
fn the_same_input_gives_the_same_shadows() {
    let now = START + Duration::from_hours(336);
    let (first, second) = (two_kinds(), two_kinds());
    assert_eq!(first.categories(), second.categories());
    for entity in first.entities() {
        assert_eq!(first.snapshot(entity, now), second.snapshot(entity, now));
    }
}
