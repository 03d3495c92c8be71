//! Which model forecasts which group: the one with the lower recent loss.

use std::collections::BTreeMap;

/// Weight that a group needs behind a model before the model can be chosen.
const MIN_WEIGHT: f64 = 48.0;

/// Share by which another model must be better than the first to be taken in its place. What is better
/// by chance on one series is not so on the next values.
const MARGIN: f64 = 0.15;

/// Chooses among models for each group by their recent pinball loss.
///
/// Losses decay exponentially with the number of forecasts settled. The first model is the default
/// until enough is known, and where no other is clearly better. Memory is one pair of numbers for each group and model.
#[derive(Debug, Clone)]
pub(crate) struct ModelSelector<G> {
    models: usize,
    decay: f64,
    groups: BTreeMap<G, Group>,
}

#[derive(Debug, Clone)]
struct Group {
    chosen: usize,
    losses: Vec<RecentLoss>,
}

#[derive(Debug, Clone, Copy, Default)]
struct RecentLoss {
    sum: f64,
    weight: f64,
}

impl RecentLoss {
    fn mean(self) -> Option<f64> {
        (self.weight >= MIN_WEIGHT).then(|| self.sum / self.weight)
    }
}

impl<G: Ord + Clone> ModelSelector<G> {
    /// A choice among `models` models, whose losses halve their weight after `half_life` settled
    /// forecasts.
    pub(crate) fn new(models: usize, half_life: f64) -> Self {
        Self {
            models,
            decay: 0.5_f64.powf(1.0 / half_life.max(1.0)),
            groups: BTreeMap::new(),
        }
    }

    /// Notes the pinball loss of each model on one forecast whose value is now known. A loss that is
    /// not finite says nothing of that model.
    pub(crate) fn observe(&mut self, group: &G, losses: &[f64]) {
        let models = self.models;
        let state = self.groups.entry(group.clone()).or_insert_with(|| Group {
            chosen: 0,
            losses: vec![RecentLoss::default(); models],
        });
        for (recent, &loss) in state.losses.iter_mut().zip(losses) {
            if loss.is_finite() {
                recent.sum = recent.sum * self.decay + loss;
                recent.weight = recent.weight * self.decay + 1.0;
            }
        }
        state.choose();
    }

    /// The model to use for a group, by its index.
    pub(crate) fn chosen(&self, group: &G) -> usize {
        self.groups.get(group).map_or(0, |state| state.chosen)
    }
}

impl Group {
    /// The first model, unless another is better than it by the margin: then the best.
    fn choose(&mut self) {
        let means: Vec<Option<f64>> = self.losses.iter().map(|recent| recent.mean()).collect();
        let Some(Some(first)) = means.first() else {
            return;
        };
        let others = means.iter().enumerate().skip(1);
        let better = others.filter_map(|(model, mean)| {
            let mean = (*mean)?;
            (mean < first * (1.0 - MARGIN)).then_some((model, mean))
        });
        let best = better.min_by(|(_, a), (_, b)| a.total_cmp(b));
        self.chosen = best.map_or(0, |(model, _)| model);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_model_with_the_lower_recent_loss_is_chosen() {
        let mut selector = ModelSelector::new(2, 50.0);
        assert_eq!(selector.chosen(&"web"), 0);
        for _ in 0..100 {
            selector.observe(&"web", &[2.0, 1.0]);
        }
        assert_eq!(selector.chosen(&"web"), 1);
        assert_eq!(selector.chosen(&"batch"), 0);
        for _ in 0..400 {
            selector.observe(&"web", &[1.0, 2.0]);
        }
        assert_eq!(selector.chosen(&"web"), 0);
    }

    #[test]
    fn a_few_forecasts_or_a_small_difference_change_nothing() {
        let mut selector = ModelSelector::new(2, 50.0);
        for _ in 0..10 {
            selector.observe(&0, &[2.0, 1.0]);
        }
        assert_eq!(selector.chosen(&0), 0);
        for _ in 0..500 {
            selector.observe(&1, &[1.0, 0.99]);
        }
        assert_eq!(selector.chosen(&1), 0);
    }

    #[test]
    fn a_loss_that_is_not_finite_does_not_win() {
        let mut selector = ModelSelector::new(2, 50.0);
        for _ in 0..100 {
            selector.observe(&0, &[1.0, f64::NAN]);
        }
        assert_eq!(selector.chosen(&0), 0);
    }
}
