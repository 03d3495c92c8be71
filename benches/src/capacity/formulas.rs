//! What a cluster needs, as formulas of what it looks after. Each constant stands beside what it was
//! taken from; [`mod@super::points`] checks them.

/// The day, in seconds.
const DAY_S: f64 = 86_400.0;

/// What a server takes that looks after nothing.
pub(crate) const EMPTY_SERVER_MB: f64 = 170.0;

/// Memory of a server with the naive model, in MB: names, tables and forecasts of each metric of an
/// entity (`series`), pools with an instance each, leases.
pub(crate) fn memory_mb(series: f64, pools: f64, leases: f64) -> f64 {
    EMPTY_SERVER_MB + 1.0e-3 * series + 0.1 * pools + 2.0e-3 * leases
}

/// What the LSTM takes more for a series whose day has so many bins, with two days of bins kept, in
/// bytes: two layers of state (h, c), seasons of three days in 288 slots at the most and a week of
/// hours in 16 bits, averages and quantiles, the bins in the panel of the latest tick, and those of the
/// next while it is made.
pub(crate) fn lstm_bytes(bins_a_day: f64) -> f64 {
    let state = 2.0 * 2.0 * 64.0 * 4.0;
    let seasons = (3.0 * bins_a_day.min(288.0) + 168.0) * 2.0;
    let kept = (2.0 * bins_a_day + 1.0) * 4.0;
    state + seasons + 250.0 + 2.0 * kept
}

/// Series that a core forecasts a second, 48 steps of the LSTM ahead, features and all.
pub(crate) const SERIES_A_CORE_S: f64 = 75_000.0;

/// The same of the network alone, its features given.
pub(crate) const NETWORK_A_CORE_S: f64 = 85_000.0;

/// What a pool takes of a core to be planned, in seconds.
pub(crate) const PLAN_S: f64 = 80.0e-6;

/// Samples that a core takes in a second.
pub(crate) const SAMPLES_A_CORE_S: f64 = 850_000.0;

/// What a call takes of the cores of several replicas, in seconds, if this share of calls goes on to
/// another of them.
pub(crate) fn call_s(sent_on: f64) -> f64 {
    5.4e-5 + 6.6e-5 * sent_on
}

/// What a call of several replicas takes of `PostgreSQL`'s cores, in seconds.
pub(crate) const DATABASE_CALL_S: f64 = 2.4e-5;

/// Renewals a second of leases that our clients keep: after 0.35 of their time on
/// average.
pub(crate) fn renewals_s(leases: f64, lease_s: f64) -> f64 {
    leases / (0.35 * lease_s)
}

/// Beats of ownership a second of one replica: twelve in the three seconds that a shard is owned
/// without.
const BEATS_S: f64 = 12.0 / 3.0;

/// Transactions a second of the beats of all replicas: one statement that it is there, one that renews
/// its shards and two that read, each prepared in a transaction of its own when they were measured. They
/// are sent unprepared since then, which should be half of it.
pub(crate) fn beat_transactions(replicas: f64) -> f64 {
    2.0 * 4.0 * BEATS_S * replicas
}

/// Those of them that change something: the first two statements.
pub(crate) fn beat_commits(replicas: f64) -> f64 {
    2.0 * BEATS_S * replicas
}

/// Rows a second that beats change: that of each replica and that of each shard.
pub(crate) fn beat_rows(replicas: f64, shards: f64) -> f64 {
    BEATS_S * (replicas + shards)
}

/// Rows a second that beats read: each replica reads all shards and all replicas.
pub(crate) fn beat_rows_read(replicas: f64, shards: f64) -> f64 {
    replicas * beat_rows(replicas, shards)
}

/// Bytes of history a day.
pub(crate) fn history_bytes_a_day(samples_s: f64) -> f64 {
    3.0 * samples_s * DAY_S
}

/// Floating-point operations of a forecast: two for each weight of the recurrent layers and of the part
/// of the head that reads the state, and for each weight of the rest of the head at each step ahead.
pub(crate) fn forecast_flop(size: Network, steps: f64) -> f64 {
    2.0 * (size.once() + steps * size.each_step())
}

/// The sizes of the network that forecasts.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Network {
    pub(crate) inputs: f64,
    pub(crate) ahead: f64,
    pub(crate) anchors: f64,
    /// Features and anchors that are the same for all steps of a series, and what a card is shown of each
    /// step beside them.
    pub(crate) fixed: f64,
    pub(crate) shown: f64,
    pub(crate) hidden: f64,
    pub(crate) head: f64,
    pub(crate) inner: f64,
    pub(crate) levels: f64,
}

/// That which is used unless there is one of one's own.
pub(crate) const NETWORK: Network = Network {
    inputs: 25.0,
    ahead: 22.0,
    anchors: 12.0,
    fixed: 20.0,
    shown: 8.0,
    hidden: 64.0,
    head: 48.0,
    inner: 32.0,
    levels: 11.0,
};

impl Network {
    fn outputs(self) -> f64 {
        1.0 + 2.0 * self.anchors + self.levels
    }

    /// Weights, without biases, that a forecast passes once.
    fn once(self) -> f64 {
        4.0 * self.hidden * (self.inputs + 3.0 * self.hidden) + self.head * self.hidden
    }

    /// Those that each step ahead passes.
    fn each_step(self) -> f64 {
        self.head * self.ahead + self.inner * (self.head + self.outputs())
    }

    /// What a forecast sends to a card: what the recurrence takes, the state, what all steps have in
    /// common, what each is shown.
    pub(crate) fn sent_bytes(self, steps: f64) -> f64 {
        4.0 * (self.inputs + 5.0 * self.hidden + self.fixed + steps * self.shown)
    }

    /// What comes back: the state and all quantiles.
    pub(crate) fn returned_bytes(self, steps: f64) -> f64 {
        4.0 * (4.0 * self.hidden + steps * self.levels)
    }
}

#[cfg(test)]
mod tests {
    use foreshadow_training::TrainOptions;

    use super::*;

    #[test]
    fn the_sizes_are_those_of_the_network_that_is_trained() {
        let network = TrainOptions::default().network;
        let sizes = [network.hidden, network.head, network.head_inner];
        let ours = [NETWORK.hidden, NETWORK.head, NETWORK.inner];
        assert_eq!(sizes.map(|size| size as f64), ours);
        assert_eq!(network.levels.len() as f64, NETWORK.levels);
        let biases = 2.0 * 4.0 * NETWORK.hidden + NETWORK.head + NETWORK.inner + NETWORK.outputs();
        let weights = NETWORK.once() + NETWORK.each_step() + biases;
        assert_eq!(network.parameters() as f64, weights);
        let bytes = [NETWORK.sent_bytes(48.0), NETWORK.returned_bytes(48.0)];
        let numbers = network.traffic(48);
        assert_eq!(bytes, numbers.map(|numbers| 4.0 * numbers as f64));
    }
}
