//! What so many entities need.

use super::formulas::{
    DATABASE_CALL_S, EMPTY_SERVER_MB, NETWORK, NETWORK_A_CORE_S, PLAN_S, SAMPLES_A_CORE_S,
    SERIES_A_CORE_S, beat_commits, beat_rows, beat_rows_read, call_s, forecast_flop,
    history_bytes_a_day, lstm_bytes, memory_mb, renewals_s,
};

/// Of each entity: metrics, each with a sample and a forecast a minute.
const METRICS: f64 = 4.0;
const MINUTE_S: f64 = 60.0;
/// Entities of a pool.
const ENTITIES_A_POOL: f64 = 100.0;
/// One lease each, claimed and given back once an hour.
const HOUR_S: f64 = 3_600.0;
/// How long a lease is claimed for that a pool's configuration says nothing about.
const USUAL_LEASE_S: f64 = 300.0;
/// Bins of five minutes.
const BINS_A_DAY: f64 = 288.0;
/// Steps of a forecast.
const STEPS: f64 = 48.0;

/// A replica: 16 cores and 64 GB, of which half is used.
const CORES: f64 = 8.0;
const MEMORY_MB: f64 = 32_000.0;
/// Calls that go on to another replica.
const SENT_ON: f64 = 0.5;

/// A card: single precision, 67 TFLOP/s as its maker says, of which half is reached, as the CPU reaches
/// half of what a large product does; 25 GB/s each way. Half of both is used.
const CARD_FLOP_S: f64 = 67.0e12 / 2.0 / 2.0;
const CARD_BYTES_S: f64 = 25.0e9 / 2.0;

/// What is needed, in the units that the fields' names end with.
#[derive(Debug, Clone, Copy)]
pub(super) struct Need {
    pub(super) memory_mb: f64,
    pub(super) forecast_cores: f64,
    pub(super) telemetry_cores: f64,
    pub(super) call_cores: f64,
    pub(super) replicas: f64,
    pub(super) shards: f64,
    /// Claims and releases.
    pub(super) calls_s: f64,
    /// Renewals of leases of an hour, and of the usual five minutes.
    pub(super) hourly_renewals_s: f64,
    pub(super) usual_renewals_s: f64,
    /// What beats of ownership commit, change and read.
    pub(super) beat_commits_s: f64,
    pub(super) beat_rows_s: f64,
    pub(super) beat_rows_read_s: f64,
    pub(super) history_bytes_a_day: f64,
    /// Cards, if the network runs there: what its arithmetic asks for, and what goes to it and comes back.
    pub(super) cards_for_flop: f64,
    pub(super) cards_for_bytes: f64,
    /// Cores that the features would still ask for.
    pub(super) feature_cores: f64,
}

impl Need {
    /// Of so many entities.
    pub(super) fn of(entities: f64) -> Self {
        let series = entities * METRICS;
        let series_s = series / MINUTE_S;
        let pools = entities / ENTITIES_A_POOL;
        let calls_s = 2.0 * entities / HOUR_S;
        let hourly_renewals_s = renewals_s(entities, HOUR_S);
        let usual_renewals_s = renewals_s(entities, USUAL_LEASE_S);
        let lstm_mb = series * lstm_bytes(BINS_A_DAY) / 1e6;
        let memory_mb = memory_mb(series, pools, entities) - EMPTY_SERVER_MB + lstm_mb;
        let forecast_cores = series_s / SERIES_A_CORE_S;
        let telemetry_cores = series_s / SAMPLES_A_CORE_S;
        let call_cores =
            (calls_s + hourly_renewals_s) * call_s(SENT_ON) + pools * PLAN_S / MINUTE_S;
        let cores = forecast_cores + telemetry_cores + call_cores;
        let replicas = (memory_mb / (MEMORY_MB - EMPTY_SERVER_MB))
            .max(cores / CORES)
            .ceil();
        let shards = shards(replicas);
        Self {
            memory_mb,
            forecast_cores,
            telemetry_cores,
            call_cores,
            replicas,
            shards,
            calls_s,
            hourly_renewals_s,
            usual_renewals_s,
            beat_commits_s: beat_commits(replicas),
            beat_rows_s: beat_rows(replicas, shards),
            beat_rows_read_s: beat_rows_read(replicas, shards),
            history_bytes_a_day: history_bytes_a_day(series_s),
            cards_for_flop: series_s * forecast_flop(NETWORK, STEPS) / CARD_FLOP_S,
            cards_for_bytes: series_s * bytes_one_way() / CARD_BYTES_S,
            feature_cores: forecast_cores - series_s / NETWORK_A_CORE_S,
        }
    }

    pub(super) fn cores(&self) -> f64 {
        self.forecast_cores + self.telemetry_cores + self.call_cores
    }

    /// Cards: whichever asks for more.
    pub(super) fn cards(&self) -> f64 {
        self.cards_for_flop.max(self.cards_for_bytes)
    }

    /// Connections to the database: one of each shard's ledger, and two of each replica.
    pub(super) fn connections(&self) -> f64 {
        self.shards + 2.0 * self.replicas
    }

    /// Cores of the database for calls, with leases of an hour.
    pub(super) fn database_cores(&self) -> f64 {
        (self.calls_s + self.hourly_renewals_s) * DATABASE_CALL_S
    }

    /// Commits a second of all kinds, with leases of an hour.
    pub(super) fn commits_s(&self) -> f64 {
        self.calls_s + self.hourly_renewals_s + self.beat_commits_s
    }
}

/// A forecast's bytes on the busier way, to a card or from it: both are used at once.
fn bytes_one_way() -> f64 {
    NETWORK.sent_bytes(STEPS).max(NETWORK.returned_bytes(STEPS))
}

/// A power of two that gives each replica three at the least; sixteen unless more are useful.
fn shards(replicas: f64) -> f64 {
    (3.0 * replicas).log2().ceil().exp2().max(16.0)
}
