//! The LSTM with its state carried from tick to tick, so that a tick costs one step of each series.

use std::{collections::BTreeMap, time::Duration};

use foreshadow_forecast::{ForecastError, Forecaster, Panel, QuantileForecast, SeriesId};
use foreshadow_lstm::{LiveBatch, LstmForecaster, Network, Slot};
use foreshadow_types::Timestamp;

/// How long the state of a series is kept that is not forecast any more.
const KEPT: Duration = Duration::from_hours(24);

/// A forecaster that takes in only the bins that have closed since it was last asked. Questions of
/// another kind, such as several origins or another width of bins, are answered without the state.
pub(crate) struct CarriedLstm {
    stateless: LstmForecaster,
    network: Network,
    batch: LiveBatch,
    series: BTreeMap<SeriesId, Carried>,
}

struct Carried {
    slot: Slot,
    seen: Timestamp,
}

impl CarriedLstm {
    pub(crate) fn new(network: Network, interval: Duration) -> Self {
        Self {
            stateless: LstmForecaster::new(network.clone(), interval),
            batch: LiveBatch::new(network.clone(), interval),
            network,
            series: BTreeMap::new(),
        }
    }

    /// Whether the state can answer: a forecast from the end of a panel that is not older than it.
    fn carries(&self, panel: &Panel, origins: &[usize]) -> bool {
        let Some(last) = panel.bins().checked_sub(1) else {
            return false;
        };
        let last = panel.bin_start(last);
        panel.interval() == self.batch.interval()
            && origins == [panel.bins()]
            && self.batch.latest().is_none_or(|latest| latest <= last)
    }

    /// Takes in what is new of the panel; the slots of its series, in their order.
    fn take_in(&mut self, panel: &Panel) -> Vec<Slot> {
        let gap = |latest: Timestamp| latest + panel.interval() < panel.start();
        if self.batch.latest().is_some_and(gap) {
            self.batch = LiveBatch::new(self.network.clone(), panel.interval());
            self.series.clear();
        }
        let first = self.batch.latest().is_none();
        let mut fresh = Vec::new();
        let mut slots = Vec::with_capacity(panel.ids().len());
        for (index, id) in panel.ids().iter().enumerate() {
            let known = self.series.get(id).map(|carried| carried.slot);
            let slot = known.unwrap_or_else(|| {
                fresh.push(index);
                self.batch.add()
            });
            slots.push(slot);
        }
        self.advance(panel, &slots);
        if !first {
            for index in fresh {
                let values = panel.series(index);
                self.batch.replay(slots[index], panel.start(), values);
            }
        }
        self.remember(panel, &slots);
        slots
    }

    fn advance(&mut self, panel: &Panel, slots: &[Slot]) {
        let mut series_of = vec![None; self.batch.slots()];
        for (index, slot) in slots.iter().enumerate() {
            series_of[slot.index()] = Some(index);
        }
        let latest = self.batch.latest();
        for bin in 0..panel.bins() {
            let at = panel.bin_start(bin);
            if latest.is_none_or(|latest| at > latest) {
                self.batch.advance(at, |slot| {
                    series_of[slot.index()].map_or(f32::NAN, |index| panel.series(index)[bin])
                });
            }
        }
    }

    fn remember(&mut self, panel: &Panel, slots: &[Slot]) {
        let seen = panel.bin_start(panel.bins());
        for (id, &slot) in panel.ids().iter().zip(slots) {
            self.series.insert(id.clone(), Carried { slot, seen });
        }
        let batch = &mut self.batch;
        self.series.retain(|_, carried| {
            let kept = seen.since(carried.seen) < KEPT;
            if !kept {
                batch.remove(carried.slot);
            }
            kept
        });
    }
}

impl Forecaster for CarriedLstm {
    fn name(&self) -> &str {
        self.stateless.name()
    }

    fn catch_up(&mut self, past: &Panel) {
        if self.carries(past, &[past.bins()]) {
            self.take_in(past);
        }
    }

    fn forecast(
        &mut self,
        panel: &Panel,
        origins: &[usize],
        horizon: usize,
        levels: &[f64],
    ) -> Result<Vec<Vec<QuantileForecast>>, ForecastError> {
        if !self.carries(panel, origins) {
            return self.stateless.forecast(panel, origins, horizon, levels);
        }
        let slots = self.take_in(panel);
        Ok(vec![self.batch.forecast(&slots, horizon, levels)?])
    }
}

#[cfg(test)]
mod tests {
    use foreshadow_lstm::NetworkSize;
    use foreshadow_types::{EntityId, PoolName};

    use super::*;

    const MINUTE: Duration = Duration::from_mins(1);

    fn network() -> Network {
        let size = NetworkSize {
            hidden: 8,
            layers: 1,
            head: 8,
            head_inner: 6,
            levels: vec![0.1, 0.5, 0.9],
        };
        let weights = size.initial_weights(5);
        Network::new(size, weights).unwrap()
    }

    /// Series that begin at bin `since` and end before bin `until`.
    fn panel(since: &[usize], until: usize) -> Panel {
        let value = |series: usize, bin: usize| ((bin * (series + 7)) % 13) as f32;
        let ids = (0..since.len()).map(|series| {
            SeriesId::of_entity(
                EntityId::new(&format!("e{series}")).unwrap(),
                "cpu".to_owned(),
            )
        });
        let values = since.iter().enumerate().flat_map(|(series, &since)| {
            (0..until).map(move |bin| {
                if bin < since {
                    f32::NAN
                } else {
                    value(series, bin)
                }
            })
        });
        Panel::new(
            Timestamp::from_millis(0),
            MINUTE,
            ids.collect(),
            until,
            values.collect(),
        )
    }

    fn assert_near(left: &QuantileForecast, right: &QuantileForecast, tolerance: f32) {
        for step in 0..4 {
            for (a, b) in left.step(step).iter().zip(right.step(step)) {
                let near = (a - b).abs() <= tolerance * b.abs().max(1.0);
                assert!(near, "{a} is not {b}");
            }
        }
    }

    fn ask(model: &mut dyn Forecaster, panel: &Panel) -> Vec<QuantileForecast> {
        let levels = [0.1, 0.5, 0.9];
        model
            .forecast(panel, &[panel.bins()], 4, &levels)
            .unwrap()
            .remove(0)
    }

    #[test]
    fn carried_state_forecasts_as_a_run_over_the_whole_panel_does() {
        let mut carried = CarriedLstm::new(network(), MINUTE);
        let mut whole = LstmForecaster::new(network(), MINUTE);
        for (since, until) in [(vec![0, 3], 20), (vec![0, 3], 21), (vec![0, 3, 22], 25)] {
            let panel = panel(&since, until);
            let answers = ask(&mut carried, &panel);
            let expected = ask(&mut whole, &panel);
            for (answer, expected) in answers.iter().zip(&expected) {
                assert_near(answer, expected, 1e-4);
            }
            assert_eq!(answers.len(), since.len());
        }
    }

    /// A machine in the rhythm of days with noise and gaps, one that is on or off, and one that comes late.
    fn days(bins: usize) -> Panel {
        let noise = |bin: usize| ((bin * 7_919) % 101) as f32 / 101.0;
        let of_day = |bin: usize| (bin as f32 * std::f32::consts::TAU / 288.0).sin();
        let value = |series: usize, bin: usize| match series {
            0 if bin % 17 == 3 => f32::NAN,
            0 => 400.0 * (2.0 + of_day(bin) + noise(bin)),
            1 => 8_000.0 * ((bin / 31) % 2) as f32 + noise(bin),
            _ if bin < 900 => f32::NAN,
            _ => (3.0 * noise(bin)).floor(),
        };
        let ids =
            (0..3).map(|i| SeriesId::of_entity(EntityId::new(&format!("e{i}")).unwrap(), "cpu"));
        let values = (0..3).flat_map(|series| (0..bins).map(move |bin| value(series, bin)));
        let five = Duration::from_mins(5);
        Panel::new(
            Timestamp::from_millis(0),
            five,
            ids.collect(),
            bins,
            values.collect(),
        )
    }

    #[test]
    fn the_state_of_the_shipped_network_carried_for_days_is_that_of_a_run_from_the_first_sample() {
        let shipped = foreshadow_training::pretrained().unwrap();
        let mut carried = CarriedLstm::new(shipped.network.clone(), shipped.manifest.interval());
        let last = 5 * 288;
        for bins in (600..=last).chain(last..=last) {
            let whole = days(bins);
            // Serving keeps two days.
            let (kept, ids) = (577, whole.ids().to_vec());
            let values = (0..3).flat_map(|series| &whole.series(series)[bins - kept..]);
            let start = whole.bin_start(bins - kept);
            let panel = if bins == 600 {
                whole.clone()
            } else {
                Panel::new(
                    start,
                    whole.interval(),
                    ids,
                    kept,
                    values.copied().collect(),
                )
            };
            let answers = ask(&mut carried, &panel);
            if bins % 140 == 0 || bins == last {
                let mut stateless = shipped.forecaster();
                for (answer, expected) in answers.iter().zip(ask(&mut stateless, &whole)) {
                    assert_near(answer, &expected, 1e-4);
                }
            }
        }
    }

    #[test]
    fn a_pool_and_a_user_of_one_name_have_each_their_own_state() {
        let one_name = |bins: usize| {
            let entity = EntityId::new("notebook").unwrap();
            let pool = PoolName::new("notebook").unwrap();
            let ids = [
                SeriesId::of_entity(entity, "requests"),
                SeriesId::of_pool(&pool, "requests"),
            ];
            let of = |scale| (0..bins).map(move |bin| scale * (bin % 3) as f32);
            let values = of(1.0).chain(of(100.0)).collect();
            Panel::new(Timestamp::from_millis(0), MINUTE, ids.into(), bins, values)
        };
        let mut carried = CarriedLstm::new(network(), MINUTE);
        let mut whole = LstmForecaster::new(network(), MINUTE);
        for bins in [20, 21, 22] {
            let answers = ask(&mut carried, &one_name(bins));
            let expected = ask(&mut whole, &one_name(bins));
            assert_ne!(answers[0], answers[1]);
            for (answer, expected) in answers.iter().zip(&expected) {
                assert_near(answer, expected, 1e-4);
            }
        }
    }

    #[test]
    fn a_question_about_one_series_does_not_disturb_the_others() {
        let mut carried = CarriedLstm::new(network(), MINUTE);
        let before = ask(&mut carried, &panel(&[0, 3], 20));
        let alone = ask(&mut carried, &panel(&[0], 20));
        // Sums of one column may be rounded otherwise than those of two.
        assert_near(&alone[0], &before[0], 1e-6);
        assert_eq!(ask(&mut carried, &panel(&[0, 3], 20)), before);
    }
}
