//! The settings that follow from a backtest, as a configuration of `foreshadow serve`.

use std::{fmt::Write, num::NonZeroU32};

use foreshadow_simulation::backtest::{Backtest, PolicyKind, PoolTrace, Setting, Trace};
use foreshadow_types::format_duration;

use super::Followed;

/// The most pools that are written out.
const MOST_POOLS: usize = 100;

/// A configuration with the highest target at which the planner idles less than constant pools;
/// nothing where there is none.
pub(super) fn configuration(
    result: &Backtest,
    followed: &Followed,
    trace: &Trace,
    setting: &Setting,
) -> Option<String> {
    let hit_rate = recommended(result)?;
    let largest = followed.largest_targets(hit_rate)?;
    let mut text = format!("tick = {}\n", quoted(&format_duration(setting.tick())));
    for pool in trace.pools().iter().take(MOST_POOLS) {
        let target = largest.get(pool.name()).copied().unwrap_or(0);
        text.push_str(&pool_table(pool, hit_rate, target, setting));
    }
    Some(text)
}

fn recommended(result: &Backtest) -> Option<f64> {
    result
        .rows
        .iter()
        .filter(|row| row.policy == PolicyKind::Foreshadow)
        .filter(|row| row.idle_vs_static.is_some_and(|ratio| ratio < 1.0))
        .map(|row| row.target_hit_rate)
        .max_by(f64::total_cmp)
}

fn pool_table(pool: &PoolTrace, hit_rate: f64, target: u32, setting: &Setting) -> String {
    let startup = setting.startup().typical();
    let in_use = pool.most_in_use(startup);
    let max = match setting.max_instances() {
        Some(most) => most.get(),
        None => target.saturating_add(in_use).max(1),
    };
    let mut text = String::new();
    // Writing to a string cannot fail.
    let _ = write!(
        text,
        "
[[pool]]
name = {name}
provider = \"process\"
command = [\"/path/to/the/program\"]  # starts one instance
max = {max}  # at most {target} were kept warm and {in_use} in use at once
target_hit_rate = {hit_rate}
expected_startup = {startup}
",
        name = quoted(pool.name().as_str()),
        startup = quoted(&format_duration(startup)),
    );
    if pool.share() > NonZeroU32::MIN {
        let _ = writeln!(text, "shareable = {}", pool.share());
    }
    text
}

fn quoted(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use foreshadow_planner::Arrival;
    use foreshadow_simulation::backtest::{StartupTime, TraceBuilder};
    use foreshadow_types::{PoolName, Timestamp};

    use super::*;

    fn trace(name: &str) -> Trace {
        let mut builder = TraceBuilder::new().with_share(NonZeroU32::new(3).unwrap());
        for second in [0, 10, 20, 400] {
            let arrival = Arrival {
                at: Timestamp::from_millis(second * 1_000),
                user: 0,
                application: 0,
                hold: Some(Duration::from_mins(1)),
            };
            builder
                .push(&PoolName::new(name).unwrap(), &arrival)
                .unwrap();
        }
        builder.build().unwrap()
    }

    fn setting(trace: &Trace) -> Setting {
        let startup = StartupTime::fixed(Duration::from_secs(90));
        Setting::new(trace, trace.start(), Duration::from_mins(1), startup).unwrap()
    }

    #[test]
    fn the_server_accepts_the_settings_as_they_stand() {
        let trace = trace("gpu-small");
        let setting = setting(&trace);
        let text = format!(
            "tick = {}\n{}",
            quoted(&format_duration(setting.tick())),
            pool_table(&trace.pools()[0], 0.95, 4, &setting)
        );
        let file = std::env::temp_dir().join(format!("foreshadow-settings-{}", std::process::id()));
        std::fs::write(&file, &text).unwrap();
        let loaded = crate::config::load(Some(&file), &std::env::temp_dir());
        std::fs::remove_file(&file).unwrap();
        let pools = loaded.unwrap().engine.pools;
        assert_eq!(pools.len(), 1);
        assert_eq!(pools[0].aim.hit_rate(), Some(0.95));
        assert_eq!(pools[0].spec.startup, Duration::from_secs(90));
        assert_eq!(pools[0].spec.shares, 3);
        // Three share one; four were kept warm beside it.
        assert!(text.contains("max = 5 "), "{text}");
    }
}
