use super::*;

const SECOND: Duration = Duration::from_secs(1);

fn at(ms: i64) -> Timestamp {
    Timestamp::from_millis(ms)
}

fn cpu_of(entity: &str) -> SeriesKey {
    SeriesKey::Entity(EntityId::new(entity).unwrap(), "cpu".into())
}

fn cpu() -> SeriesKey {
    cpu_of("ada")
}

fn sample(store: &mut SeriesStore, key: &SeriesKey, at: Timestamp, value: f64) -> bool {
    let SeriesKey::Entity(entity, metric) = key else {
        panic!("pools have no samples");
    };
    store.sample(entity, metric, at, value)
}

fn pool() -> SeriesKey {
    SeriesKey::Pool(PoolName::new("notebook").unwrap())
}

#[test]
fn bins_are_means_of_samples_and_counts_of_requests() {
    let mut store = SeriesStore::new(SECOND, 10);
    sample(&mut store, &cpu(), at(100), 1.0);
    sample(&mut store, &cpu(), at(200), 3.0);
    sample(&mut store, &cpu(), at(2_100), 5.0);
    store.count(&pool(), at(300));
    store.count(&pool(), at(2_300));
    store.count(&pool(), at(2_400));
    let (panel, keys) = store.closed(at(3_000)).unwrap();
    assert_eq!(keys, [cpu(), pool()]);
    assert_eq!(panel.start(), at(0));
    assert_eq!(panel.series(0)[0], 2.0);
    assert!(panel.series(0)[1].is_nan());
    assert_eq!(panel.series(0)[2], 5.0);
    assert_eq!(panel.series(1), [1.0, 0.0, 2.0]);
    assert!(store.closed(at(3_500)).is_none(), "no bin has closed");
    assert!(store.closed(at(4_000)).is_some());
}

#[test]
fn a_late_sample_does_not_change_a_closed_bin() {
    let mut store = SeriesStore::new(SECOND, 10);
    sample(&mut store, &cpu(), at(1_500), 1.0);
    sample(&mut store, &cpu(), at(500), 9.0);
    let (panel, _) = store.closed(at(2_000)).unwrap();
    assert_eq!(panel.series(0), [1.0]);
}

#[test]
fn samples_that_always_come_a_little_late_are_seen_a_bin_later() {
    let mut store = SeriesStore::new(SECOND, 10);
    // Each is of the last tenth of its bin, and comes a tenth after its end.
    for second in 1..7 {
        store.closed(at(second * 1_000));
        sample(&mut store, &cpu(), at(second * 1_000 - 100), second as f64);
    }
    let (panel, _) = store.closed(at(7_000)).unwrap();
    assert_eq!(panel.series(0)[2..], [2.0, 3.0, 4.0, 5.0, 6.0]);
}

#[test]
fn a_straggler_of_a_sender_in_time_counts_nowhere() {
    let mut store = SeriesStore::new(SECOND, 10);
    sample(&mut store, &cpu(), at(500), 1.0);
    store.closed(at(1_000));
    sample(&mut store, &cpu(), at(900), 9.0);
    sample(&mut store, &cpu(), at(1_500), 1.0);
    let (panel, _) = store.closed(at(2_000)).unwrap();
    assert_eq!(panel.series(0), [1.0, 1.0]);
}

#[test]
fn series_beyond_the_limit_are_refused_until_old_ones_are_stale() {
    let mut store = SeriesStore::new(SECOND, 1);
    assert!(sample(&mut store, &cpu(), at(0), 1.0));
    assert!(!store.count(&pool(), at(1_000)));
    assert!(store.count(&pool(), at(3_600_000)));
}

#[test]
fn closed_bins_are_kept_in_the_latest_panel_alone() {
    /// Two days and one more, of eight hours.
    const KEEP: i64 = 7;
    let bin = |number: i64| at(number * 8 * 3_600_000);
    let mut store = SeriesStore::new(Duration::from_hours(8), 10);
    for number in 0..20 {
        sample(&mut store, &cpu(), bin(number), number as f64);
        if (5..8).contains(&number) {
            // Comes before the other one, which so changes its place twice.
            sample(&mut store, &cpu_of("aaron"), bin(number), 100.0);
        }
        if number % 3 < 2 {
            continue;
        }
        let (panel, keys) = store.closed(bin(number + 1)).unwrap();
        let first = (number + 1 - KEEP).max(0);
        let expected: Vec<f32> = (first..=number).map(|bin| bin as f32).collect();
        let place = keys.iter().position(|key| *key == cpu()).unwrap();
        assert_eq!(panel.series(place), expected);
        if number == 11 {
            assert_eq!(panel.series(0)[..3], [100.0; 3]);
            assert!(panel.series(0)[3..].iter().all(|value| value.is_nan()));
        }
        assert!(store.series.iter().all(|(_, one)| one.bins.fresh() == 0));
        assert!(Arc::ptr_eq(&panel, store.panel.as_ref().unwrap()));
        let aaron = (5..=7 + KEEP - 1).contains(&number);
        assert_eq!(keys.len(), 1 + usize::from(aaron), "{number}");
    }
}

#[test]
fn a_user_named_like_a_pool_is_another_series() {
    let pool = PoolName::new("notebook").unwrap();
    let user = SeriesKey::Entity(EntityId::new("notebook").unwrap(), REQUESTS.into());
    assert_ne!(user.id(), SeriesKey::Pool(pool.clone()).id());

    let of = |name: &str| PoolName::new(name).unwrap();
    let ids = vec![
        SeriesId::of_pool(&pool, REQUESTS),
        SeriesId::of_pool(&of("retired"), REQUESTS),
        user.id(),
    ];
    let values = vec![7.0, 7.0, 5.0, 5.0, 1.0, 1.0];
    let warm = WarmSeries {
        panel: Arc::new(Panel::new(at(0), SECOND, ids, 2, values)),
        pools: [pool.clone()].into(),
    };
    let mut store = SeriesStore::new(SECOND, 10);
    store.fill(&warm);
    store.count(&user, at(2_000));
    let (panel, keys) = store.closed(at(3_000)).unwrap();
    assert_eq!(keys, [user, SeriesKey::Pool(pool)]);
    assert_eq!(panel.series(0), [1.0, 1.0, 1.0]);
    assert_eq!(panel.series(1), [7.0, 7.0, 0.0]);
}

#[test]
fn series_are_in_the_order_of_their_keys_whenever_they_come_and_go() {
    let mut store = SeriesStore::new(SECOND, 100);
    for (second, names) in [["m", "c"], ["z", "a"], ["n", "b"]].iter().enumerate() {
        for name in names {
            let now = at(second as i64 * 1_000);
            assert!(sample(&mut store, &cpu_of(name), now, second as f64));
            assert!(sample(&mut store, &cpu_of(name), now, second as f64 + 2.0));
        }
        if second == 1 {
            store.forget(&EntityId::new("c").unwrap());
        }
        let (panel, keys) = store.closed(at(second as i64 * 1_000 + 1_000)).unwrap();
        assert!(keys.is_sorted(), "{keys:?}");
        for (place, key) in keys.iter().enumerate() {
            let newest = panel.series(place).last().copied().unwrap();
            let came = names.iter().any(|name| *key == cpu_of(name));
            assert_eq!(newest.is_finite(), came, "{key:?}");
            assert!(!came || newest == second as f32 + 1.0);
        }
    }
    assert_eq!(store.series.len(), 5);
}
