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
    use foreshadow_types::EntityId;

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
        let ids = (0..since.len()).map(|series| SeriesId {
            entity: EntityId::new(&format!("e{series}")).unwrap(),
            metric: "cpu".to_owned(),
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
                assert_near(answer, expected, 1e-3);
            }
            assert_eq!(answers.len(), since.len());
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
