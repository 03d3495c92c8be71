//! Trigger rules: when a forecast crosses a threshold, keep instances warm.

use std::{collections::BTreeMap, time::Duration};

use foreshadow_forecast::QuantileForecast;
use foreshadow_types::{EntityId, PoolName, Shape, Timestamp};
use thiserror::Error;

use crate::known::PreAllocation;

/// Whose forecasts a rule looks at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RuleSubject {
    /// One user or application.
    Entity(EntityId),
    /// Every entity of a category.
    Category(String),
    /// Every entity.
    Any,
}

/// What a rule keeps warm for each entity that fires it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wanted {
    /// So many instances.
    Instances(u32),
    /// As many instances as offer this together; what all entities ask for is added up first.
    Amount(Shape),
}

/// *metric, quantile, threshold, within* → *pre-allocate instances of a pool*.
///
/// It fires for each matching entity whose forecast exceeds the threshold at some step within the
/// given time. Having fired it stays active while the forecast exceeds `release_below`, and for
/// `keep` after that.
#[derive(Debug, Clone, PartialEq)]
pub struct TriggerRule {
    /// Its name, unique among the rules.
    pub name: String,
    /// Whose forecasts it looks at.
    pub subject: RuleSubject,
    /// The metric forecast.
    pub metric: String,
    /// Which quantile of the forecast, in `(0, 1)`.
    pub quantile: f64,
    /// The value that it must exceed.
    pub threshold: f64,
    /// An active rule stays active above this value; at most `threshold`.
    pub release_below: f64,
    /// How far ahead it looks.
    pub within: Duration,
    /// The pool to keep warm.
    pub pool: PoolName,
    /// How much of it for each entity that fires it.
    pub wanted: Wanted,
    /// How long the instances are kept once the forecast no longer fires.
    pub keep: Duration,
}

/// Why a rule was refused.
#[derive(Debug, Clone, PartialEq, Error)]
pub enum RuleError {
    /// Two rules share a name.
    #[error("two rules are named `{0}`; names must be unique")]
    Duplicate(String),
    /// The quantile is not between 0 and 1.
    #[error("rule `{rule}`: quantile is {quantile}; it must lie above 0 and below 1")]
    Quantile {
        /// The rule.
        rule: String,
        /// The quantile.
        quantile: f64,
    },
    /// The rule would keep nothing warm.
    #[error("rule `{0}` keeps nothing warm; give a count or an amount above 0")]
    Nothing(String),
    /// The pool offers nothing of what the rule wants.
    #[error(
        "rule `{rule}`: instances of pool `{pool}` offer nothing of a resource that the rule wants; \
         give the pool's shape or another amount"
    )]
    NotOffered {
        /// The rule.
        rule: String,
        /// Its pool.
        pool: PoolName,
    },
    /// The thresholds are not numbers or in the wrong order.
    #[error(
        "rule `{rule}`: threshold is {threshold} and release_below is {release_below}; both must \
         be numbers, and release_below must not be above threshold"
    )]
    Thresholds {
        /// The rule.
        rule: String,
        /// The firing threshold.
        threshold: f64,
        /// The releasing one.
        release_below: f64,
    },
}

/// One entity's forecast of one metric, as handed to the rules.
#[derive(Debug, Clone, Copy)]
pub struct ForecastView<'a> {
    /// Whose.
    pub entity: &'a EntityId,
    /// The entity's category, where it has one.
    pub category: Option<&'a str>,
    /// Of what.
    pub metric: &'a str,
    /// The time between its steps; step 0 covers the first interval from now.
    pub interval: Duration,
    /// The quantiles.
    pub forecast: &'a QuantileForecast,
}

/// An entity's firing of a rule.
#[derive(Debug, Clone)]
struct Active {
    until: Timestamp,
    cause: String,
}

/// The most entities for which one rule can be active at once.
const MAX_ACTIVE_PER_RULE: usize = 10_000;

/// A set of trigger rules and which of them are active.
#[derive(Debug, Clone, Default)]
pub struct RuleBook {
    rules: Vec<TriggerRule>,
    active: Vec<BTreeMap<EntityId, Active>>,
    shapes: BTreeMap<PoolName, Shape>,
}

impl RuleBook {
    /// Checks and keeps rules; none is active. `shapes` says what an instance of each pool offers.
    ///
    /// # Errors
    /// [`RuleError`] names the rule at fault and what is wrong with it.
    pub fn new(
        rules: Vec<TriggerRule>,
        shapes: BTreeMap<PoolName, Shape>,
    ) -> Result<Self, RuleError> {
        for (index, rule) in rules.iter().enumerate() {
            check_rule(rule)?;
            check_wanted(rule, shapes.get(&rule.pool))?;
            if rules[..index].iter().any(|other| other.name == rule.name) {
                return Err(RuleError::Duplicate(rule.name.clone()));
            }
        }
        let active = vec![BTreeMap::new(); rules.len()];
        Ok(Self {
            rules,
            active,
            shapes,
        })
    }

    /// The rules, in order.
    pub fn rules(&self) -> &[TriggerRule] {
        &self.rules
    }

    /// Fires, holds and releases rules on the latest forecasts; the answer lists what every active
    /// rule wants warm, summed over its entities.
    ///
    /// A forecast that is absent or not finite leaves its rule to expire after `keep`.
    pub fn evaluate(
        &mut self,
        now: Timestamp,
        forecasts: &[ForecastView<'_>],
    ) -> Vec<PreAllocation> {
        let mut wanted = Vec::new();
        for (rule, active) in self.rules.iter().zip(&mut self.active) {
            for view in forecasts.iter().filter(|view| concerns(rule, view)) {
                fire_or_hold(rule, active, now, view);
            }
            active.retain(|_, firing| now < firing.until);
            wanted.extend(preallocation(rule, active, self.shapes.get(&rule.pool)));
        }
        wanted
    }
}

fn check_rule(rule: &TriggerRule) -> Result<(), RuleError> {
    if !(rule.quantile > 0.0 && rule.quantile < 1.0) {
        return Err(RuleError::Quantile {
            rule: rule.name.clone(),
            quantile: rule.quantile,
        });
    }
    let ordered = rule.release_below <= rule.threshold;
    if !(ordered && rule.threshold.is_finite() && rule.release_below.is_finite()) {
        return Err(RuleError::Thresholds {
            rule: rule.name.clone(),
            threshold: rule.threshold,
            release_below: rule.release_below,
        });
    }
    Ok(())
}

/// A pool without a shape is one that there is not; whoever knows the pools says so.
fn check_wanted(rule: &TriggerRule, shape: Option<&Shape>) -> Result<(), RuleError> {
    match (instances(rule.wanted, 1, shape), shape) {
        (Some(0), _) => Err(RuleError::Nothing(rule.name.clone())),
        (None, Some(_)) => Err(RuleError::NotOffered {
            rule: rule.name.clone(),
            pool: rule.pool.clone(),
        }),
        (Some(_), _) | (None, None) => Ok(()),
    }
}

/// How many instances are wanted for so many entities; `None` if no number is enough.
fn instances(wanted: Wanted, entities: u32, shape: Option<&Shape>) -> Option<u32> {
    match wanted {
        Wanted::Instances(count) => Some(count.saturating_mul(entities)),
        Wanted::Amount(amount) => shape?.needed_for(&amount.times(entities)),
    }
}

fn concerns(rule: &TriggerRule, view: &ForecastView<'_>) -> bool {
    let subject = match &rule.subject {
        RuleSubject::Entity(entity) => entity == view.entity,
        RuleSubject::Category(category) => view.category == Some(category.as_str()),
        RuleSubject::Any => true,
    };
    subject && rule.metric == view.metric
}

fn fire_or_hold(
    rule: &TriggerRule,
    active: &mut BTreeMap<EntityId, Active>,
    now: Timestamp,
    view: &ForecastView<'_>,
) {
    let Some((step, value)) = highest_within(rule, view) else {
        return;
    };
    let holds = active.contains_key(view.entity);
    let room = holds || active.len() < MAX_ACTIVE_PER_RULE;
    let needed = if holds {
        rule.release_below
    } else {
        rule.threshold
    };
    if value > needed && room {
        let ahead = view.interval.saturating_mul(step as u32 + 1);
        let cause = format!(
            "{} of `{}` q{} is {value:.4} within {}",
            view.metric,
            view.entity,
            rule.quantile,
            foreshadow_types::format_duration(ahead)
        );
        let until = now + rule.keep.max(view.interval);
        active.insert(view.entity.clone(), Active { until, cause });
    }
}

/// The step and value at which the rule's quantile is highest in the time it looks ahead.
fn highest_within(rule: &TriggerRule, view: &ForecastView<'_>) -> Option<(usize, f64)> {
    let interval_ms = view.interval.as_millis().max(1);
    let steps = rule.within.as_millis().div_ceil(interval_ms).max(1);
    let steps = usize::try_from(steps)
        .unwrap_or(usize::MAX)
        .min(view.forecast.horizon());
    (0..steps)
        .map(|step| (step, f64::from(view.forecast.quantile(step, rule.quantile))))
        .filter(|(_, value)| value.is_finite())
        .max_by(|a, b| a.1.total_cmp(&b.1))
}

fn preallocation(
    rule: &TriggerRule,
    active: &BTreeMap<EntityId, Active>,
    shape: Option<&Shape>,
) -> Option<PreAllocation> {
    let latest = active.values().max_by_key(|firing| firing.until)?;
    let entities = u32::try_from(active.len()).unwrap_or(u32::MAX);
    Some(PreAllocation {
        rule: rule.name.clone(),
        pool: rule.pool.clone(),
        count: instances(rule.wanted, entities, shape)?,
        until: latest.until,
        cause: latest.cause.clone(),
    })
}

#[cfg(test)]
mod tests {
    use foreshadow_types::{Bytes, Vcpus};

    use super::*;

    const MINUTE: Duration = Duration::from_mins(1);

    fn rule() -> TriggerRule {
        TriggerRule {
            name: "busy".to_owned(),
            subject: RuleSubject::Category("batch".to_owned()),
            metric: "cpu".to_owned(),
            quantile: 0.9,
            threshold: 70.0,
            release_below: 50.0,
            within: 2 * MINUTE,
            pool: PoolName::new("small").unwrap(),
            wanted: Wanted::Instances(2),
            keep: 5 * MINUTE,
        }
    }

    /// Instances of two virtual CPUs and nothing else.
    fn shapes() -> BTreeMap<PoolName, Shape> {
        [(PoolName::new("small").unwrap(), cpus(2_000))].into()
    }

    fn cpus(thousandths: u64) -> Shape {
        Shape {
            vcpus: Vcpus::from_thousandths(thousandths),
            ..Shape::default()
        }
    }

    fn book(rule: TriggerRule) -> RuleBook {
        RuleBook::new(vec![rule], shapes()).unwrap()
    }

    fn at(minute: i64) -> Timestamp {
        Timestamp::from_millis(minute * 60_000)
    }

    /// The total wanted when the forecast of `ada` is `values`, one a minute.
    fn wanted(book: &mut RuleBook, minute: i64, values: &[f32]) -> u32 {
        let entity = EntityId::new("ada").unwrap();
        let forecast = QuantileForecast::from_points(&[0.5, 0.9], values);
        let view = ForecastView {
            entity: &entity,
            category: Some("batch"),
            metric: "cpu",
            interval: MINUTE,
            forecast: &forecast,
        };
        let found = book.evaluate(at(minute), &[view]);
        found.iter().map(|wish| wish.count).sum()
    }

    #[test]
    fn a_rule_fires_holds_between_its_thresholds_and_lapses() {
        let mut book = book(rule());
        assert_eq!(wanted(&mut book, 0, &[60.0, 65.0]), 0);
        assert_eq!(wanted(&mut book, 1, &[60.0, 75.0]), 2);
        assert_eq!(wanted(&mut book, 4, &[60.0, 60.0]), 2, "held above 50");
        assert_eq!(wanted(&mut book, 8, &[10.0, 10.0]), 2, "kept for 5 minutes");
        assert_eq!(wanted(&mut book, 9, &[10.0, 10.0]), 0, "lapsed");
    }

    #[test]
    fn amounts_of_all_entities_are_added_up_before_they_are_rounded_to_instances() {
        let mut rule = rule();
        rule.wanted = Wanted::Amount(cpus(500));
        let mut book = book(rule);
        let names: Vec<EntityId> = (0..5)
            .map(|one| EntityId::new(&format!("user-{one}")).unwrap())
            .collect();
        let forecast = QuantileForecast::from_points(&[0.5, 0.9], &[99.0]);
        let views: Vec<ForecastView<'_>> = names
            .iter()
            .map(|entity| ForecastView {
                entity,
                category: Some("batch"),
                metric: "cpu",
                interval: MINUTE,
                forecast: &forecast,
            })
            .collect();
        // Five times half a CPU are two and a half: two instances of two.
        assert_eq!(book.evaluate(at(0), &views)[0].count, 2);
    }

    #[test]
    fn an_amount_that_the_pool_does_not_offer_is_refused() {
        let mut bad = rule();
        bad.wanted = Wanted::Amount(Shape {
            memory: Bytes(1),
            ..Shape::default()
        });
        let error = RuleBook::new(vec![bad.clone()], shapes()).unwrap_err();
        assert!(matches!(error, RuleError::NotOffered { .. }), "{error}");
        bad.wanted = Wanted::Amount(Shape::default());
        let error = RuleBook::new(vec![bad], shapes()).unwrap_err();
        assert!(matches!(error, RuleError::Nothing(_)), "{error}");
    }

    #[test]
    fn a_rule_looks_no_further_ahead_than_it_says() {
        let mut book = book(rule());
        assert_eq!(wanted(&mut book, 0, &[0.0, 0.0, 99.0]), 0);
    }

    #[test]
    fn a_forecast_that_is_not_finite_fires_nothing() {
        let mut book = book(rule());
        assert_eq!(wanted(&mut book, 0, &[f32::NAN, f32::INFINITY]), 0);
    }

    #[test]
    fn senseless_rules_are_refused_by_name() {
        let mut bad = rule();
        bad.release_below = 71.0;
        let error = RuleBook::new(vec![bad], shapes()).unwrap_err();
        assert!(error.to_string().contains("rule `busy`"), "{error}");
        let error = RuleBook::new(vec![rule(), rule()], shapes()).unwrap_err();
        assert_eq!(error, RuleError::Duplicate("busy".to_owned()));
    }
}
