//! What a configuration that is read again has beyond what a reload takes up.

use foreshadow_engine::EngineConfig;

#[cfg(feature = "cluster")]
use crate::config::ClusterConfig;
use crate::{
    config::{ServeConfig, TelemetryConfig, TracesConfig},
    device::Device,
};

/// What a server was started with, of what a reload does not take up.
pub(super) struct Started {
    engine: EngineConfig,
    device: Device,
    telemetry: TelemetryConfig,
    traces: Option<TracesConfig>,
    #[cfg(feature = "cluster")]
    cluster: Option<ClusterConfig>,
}

impl Started {
    pub(super) fn with(config: &ServeConfig) -> Self {
        Self {
            engine: config.engine.clone(),
            device: config.device,
            telemetry: config.telemetry.clone(),
            traces: config.traces.clone(),
            #[cfg(feature = "cluster")]
            cluster: config.cluster.clone(),
        }
    }

    /// Parts of a configuration that differ, as they are written. Tokens, keys and certificates are none
    /// of them.
    pub(super) fn left_by(&self, now: &Self) -> Vec<&'static str> {
        let mut left = left_for_a_restart(&self.engine, &now.engine);
        left.extend((self.device != now.device).then_some("device"));
        left.extend((self.telemetry != now.telemetry).then_some("[telemetry]"));
        left.extend((self.traces != now.traces).then_some("[traces]"));
        #[cfg(feature = "cluster")]
        left.extend((self.cluster != now.cluster).then_some("[cluster]"));
        left
    }
}

fn left_for_a_restart(started: &EngineConfig, now: &EngineConfig) -> Vec<&'static str> {
    let parts = [
        ("[[pool]]", started.pools != now.pools),
        (
            "tick, horizon, [[trigger]], [[schedule]], [[follow]] or [retrain]",
            (&started.shadow, &started.retraining) != (&now.shadow, &now.retraining),
        ),
        ("[[tenant]]", started.tenants != now.tenants),
        (
            "[priority]",
            (&started.priorities, &started.usage_metric) != (&now.priorities, &now.usage_metric),
        ),
        ("[limits]", started.limits != now.limits),
        (
            "[history]",
            (&started.history_dir, &started.downsampling) != (&now.history_dir, &now.downsampling),
        ),
        ("other keys", rest(started) != rest(now)),
    ];
    let differing = parts.into_iter().filter(|(_, differs)| *differs);
    differing.map(|(part, _)| part).collect()
}

/// What has no part of its own.
fn rest(config: &EngineConfig) -> EngineConfig {
    let defaults = EngineConfig::new(config.data_dir.clone());
    EngineConfig {
        pools: Vec::new(),
        elsewhere: Vec::new(),
        shadow: defaults.shadow,
        retraining: defaults.retraining,
        tenants: defaults.tenants,
        priorities: defaults.priorities,
        usage_metric: None,
        limits: defaults.limits,
        history_dir: None,
        downsampling: Vec::new(),
        ..config.clone()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use foreshadow_engine::config::Durability;

    use super::*;

    #[test]
    fn what_a_reload_leaves_is_named() {
        let started = EngineConfig::new("data");
        assert_eq!(left_for_a_restart(&started, &started), Vec::<&str>::new());
        let mut now = started.clone();
        now.shadow.tick = Duration::from_secs(7);
        let planning = "tick, horizon, [[trigger]], [[schedule]], [[follow]] or [retrain]";
        assert_eq!(left_for_a_restart(&started, &now), [planning]);
        now.durability = Durability::Memory;
        now.usage_metric = Some("cpu".to_owned());
        let left = left_for_a_restart(&started, &now);
        assert_eq!(left, [planning, "[priority]", "other keys"]);
    }
}
