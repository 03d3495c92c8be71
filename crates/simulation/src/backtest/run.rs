//! The whole backtest: every policy at every target, and how they compare.

use foreshadow_planner::TargetPolicies;

use super::{
    Backtest, PolicyCurve, PolicyKind, PolicyRow, PoolTrace, Prices, Probe, Setting, Tally,
    TickRecord, Trace, lineup::Contender, result::Totals, simulate_together,
};

/// The hit rates at which curves are drawn.
const CURVE_HIT_RATES: [f64; 9] = [0.5, 0.7, 0.8, 0.85, 0.9, 0.95, 0.97, 0.99, 0.995];

/// What to run.
#[derive(Debug, Clone, PartialEq)]
pub struct BacktestOptions {
    /// The policies, in the order of the rows.
    pub policies: Vec<PolicyKind>,
    /// The hit rates aimed at.
    pub hit_rates: Vec<f64>,
    /// Whether to work out the curves of idle time against hit rate.
    pub curves: bool,
    /// What idle time and waiting cost.
    pub prices: Prices,
}

/// Which replay a tick belongs to.
#[derive(Debug, Clone, Copy)]
pub struct ReplayName<'a> {
    /// The policy.
    pub policy: PolicyKind,
    /// The hit rate it aims at.
    pub target_hit_rate: f64,
    /// The pool.
    pub pool: &'a PoolTrace,
}

/// What the caller supplies and sees.
pub trait BacktestHost {
    /// New production planners for `pool`, one for each of `hit_rates`; they are shown the requests
    /// from the start of the log. Without planners the policy has no rows.
    fn planners(&mut self, pool: &PoolTrace, hit_rates: &[f64]) -> Option<Box<dyn TargetPolicies>>;

    /// Sees each tick of the replays that make the rows.
    fn tick(&mut self, replay: &ReplayName<'_>, record: &TickRecord);

    /// A part is about to begin.
    fn progress(&mut self, part: &str);
}

/// Replays `trace` under every policy and target.
pub fn run_backtest(
    trace: &Trace,
    setting: &Setting,
    options: &BacktestOptions,
    host: &mut dyn BacktestHost,
) -> Backtest {
    let contenders: Vec<Contender<'_>> = contending(trace, options)
        .map(|kind| {
            host.progress(&format!("gathering {kind}"));
            Contender::new(kind, trace, setting)
        })
        .collect();
    let mut run = Run {
        trace,
        setting,
        prices: options.prices,
        contenders: &contenders,
        host,
    };
    let rows = run.rows(options);
    Backtest {
        requests: requests_in_window(trace, setting),
        pools: trace.pools().len() as u64,
        from: setting.from(),
        to: setting.to(),
        startup_s: setting.startup().typical().as_secs_f64(),
        tick_s: setting.tick().as_secs_f64(),
        rows,
        curves: if options.curves {
            run.curves()
        } else {
            Vec::new()
        },
        prices: options.prices,
    }
}

/// The policies to gather: those asked for, and static, which every ratio needs.
fn contending(trace: &Trace, options: &BacktestOptions) -> impl Iterator<Item = PolicyKind> {
    PolicyKind::ALL.into_iter().filter(|&kind| {
        let wanted = options.policies.contains(&kind) && kind != PolicyKind::Foreshadow;
        kind == PolicyKind::Static || (wanted && Contender::is_defined(kind, trace))
    })
}

fn requests_in_window(trace: &Trace, setting: &Setting) -> u64 {
    let from_ms = setting.from().as_millis();
    let scored = |pool: &PoolTrace| {
        let times = pool.times_ms();
        (times.len() - times.before(from_ms)) as u64
    };
    trace.pools().iter().map(scored).sum()
}

struct Run<'r, 'a> {
    trace: &'a Trace,
    setting: &'a Setting,
    prices: Prices,
    contenders: &'r [Contender<'a>],
    host: &'r mut dyn BacktestHost,
}

impl<'r, 'a> Run<'r, 'a> {
    fn rows(&mut self, options: &BacktestOptions) -> Vec<PolicyRow> {
        let mut rows = Vec::new();
        for &policy in &options.policies {
            for mut row in self.rows_of(policy, &options.hit_rates) {
                self.compare(&mut row);
                rows.push(row);
            }
        }
        rows
    }

    fn rows_of(&mut self, policy: PolicyKind, hit_rates: &[f64]) -> Vec<PolicyRow> {
        match policy {
            PolicyKind::Foreshadow => self.planned(hit_rates),
            PolicyKind::HybridHistogram
            | PolicyKind::Static
            | PolicyKind::Reactive
            | PolicyKind::KeepAlive
            | PolicyKind::Ssa
            | PolicyKind::HoltWinters
            | PolicyKind::Clairvoyant => hit_rates
                .iter()
                .map(|&hit_rate| {
                    self.host.progress(&format!("{policy} at {hit_rate}"));
                    self.tuned(policy, hit_rate)
                })
                .collect(),
        }
    }

    /// All targets at once: planners learn the same from the same requests.
    fn planned(&mut self, hit_rates: &[f64]) -> Vec<PolicyRow> {
        let mut totals = vec![Totals::default(); hit_rates.len()];
        for pool in self.trace.pools() {
            self.host
                .progress(&format!("foreshadow on {}", pool.name()));
            let Some(mut planners) = self.host.planners(pool, hit_rates) else {
                return Vec::new();
            };
            let host = &mut *self.host;
            let mut probe = |replica: usize, record: &TickRecord| {
                let replay = ReplayName {
                    policy: PolicyKind::Foreshadow,
                    target_hit_rate: hit_rates[replica],
                    pool,
                };
                host.tick(&replay, record);
            };
            let count = hit_rates.len();
            let planned = simulate_together(pool, self.setting, count, &mut *planners, &mut probe);
            for (totals, planned) in totals.iter_mut().zip(&planned) {
                totals.add(pool, &planned.tally, &planned.misses);
            }
        }
        totals
            .into_iter()
            .zip(hit_rates)
            .map(|(totals, &hit_rate)| {
                totals.into_row(PolicyKind::Foreshadow, hit_rate, &self.prices)
            })
            .collect()
    }

    fn tuned(&mut self, policy: PolicyKind, hit_rate: f64) -> PolicyRow {
        let Some(contender) = self.contender(policy) else {
            return PolicyRow::undefined(policy, hit_rate);
        };
        let choices = contender.choose(hit_rate);
        let mut totals = Totals::default();
        for (pool, choice) in self.trace.pools().iter().zip(&choices) {
            let schedule = choice.curve.family().plan(choice.tuned.number);
            let replay = ReplayName {
                policy,
                target_hit_rate: hit_rate,
                pool,
            };
            let mut probe = HostProbe {
                host: self.host,
                replay,
            };
            let tally = Tally::summing_up(self.setting);
            let tally = schedule.replay(pool, self.setting, tally, &mut probe);
            totals.add(pool, &tally, tally.causes());
        }
        let mut row = totals.into_row(policy, hit_rate, &self.prices);
        if let [choice] = choices.as_slice() {
            row.parameter = Some(choice.curve.family().describe(choice.tuned.number));
        }
        row
    }

    fn contender(&self, policy: PolicyKind) -> Option<&'r Contender<'a>> {
        self.contenders.iter().find(|one| one.kind() == policy)
    }

    /// Fills in the ratios against what others need for the row's achieved hit rate.
    fn compare(&self, row: &mut PolicyRow) {
        let (Some(hit_rate), Some(idle_s)) = (row.hit_rate, row.idle_unit_seconds) else {
            return;
        };
        let needed = |one: &Contender<'_>| one.idle_needed_s(hit_rate).filter(|&s| s > 0.0);
        row.idle_vs_static = self
            .contender(PolicyKind::Static)
            .and_then(needed)
            .map(|needed_s| idle_s / needed_s);
        let best = |counts: fn(PolicyKind) -> bool| {
            let others = self.contenders.iter().map(Contender::kind);
            let others = others.filter(|&kind| kind != row.policy && counts(kind));
            others
                .filter_map(|kind| self.contender(kind).and_then(needed))
                .min_by(f64::total_cmp)
                .map(|needed_s| idle_s / needed_s)
        };
        let (best, best_any) = (best(is_peer), best(can_be_run));
        row.idle_vs_best = best;
        row.idle_vs_best_any = best_any;
    }

    fn curves(&mut self) -> Vec<PolicyCurve> {
        self.host.progress("curves");
        self.contenders
            .iter()
            .map(|contender| PolicyCurve {
                policy: contender.kind(),
                points: curve_points(contender),
            })
            .collect()
    }
}

fn curve_points(contender: &Contender<'_>) -> Vec<(f64, f64)> {
    let mut points: Vec<(f64, f64)> = CURVE_HIT_RATES
        .iter()
        .filter_map(|&hit_rate| {
            let totals = contender.totals(hit_rate);
            Some((totals.hit_rate()?, totals.idle_per_request_s()?))
        })
        .collect();
    points.sort_by(|one, two| one.0.total_cmp(&two.0));
    points.dedup_by(|one, two| one.0 == two.0);
    points
}

/// Whether a policy counts among the best of those that use an instance once: the hybrid histogram uses
/// it again, where the others pay for a new one each time.
fn is_peer(kind: PolicyKind) -> bool {
    can_be_run(kind) && kind != PolicyKind::HybridHistogram
}

/// Whether a policy needs no knowledge of what is to come.
fn can_be_run(kind: PolicyKind) -> bool {
    kind != PolicyKind::Clairvoyant
}

struct HostProbe<'h, 'p> {
    host: &'h mut dyn BacktestHost,
    replay: ReplayName<'p>,
}

impl Probe for HostProbe<'_, '_> {
    fn tick(&mut self, record: &TickRecord) {
        self.host.tick(&self.replay, record);
    }
}
