//! A plan and the reasons for it.

use std::{fmt, time::Duration};

use foreshadow_types::Timestamp;

use crate::known::FloorCause;

/// Which policy a pool's forecast part follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Mode {
    /// Too little has been seen: the largest recent demand over the lead time is kept warm.
    Learning,
    /// One constant level, learnt from the past: forecasts did not pay lately.
    Static,
    /// Recent demand over the lead time plus a margin: the trained model did not pay lately.
    Reactive,
    /// The trained demand model.
    Forecast,
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Learning => "learning",
            Self::Static => "static",
            Self::Reactive => "reactive",
            Self::Forecast => "forecast",
        })
    }
}

/// What cut a target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bound {
    /// The pool's least target.
    Min,
    /// The pool's largest target.
    Max,
    /// The largest step up in a tick.
    RampUp,
    /// The largest step down in a tick.
    RampDown,
    /// The most instances removed in an hour.
    Churn,
}

/// One step in how a target came about.
#[derive(Debug, Clone, PartialEq)]
pub enum Reason {
    /// The part that was learnt from past demand.
    Learnt {
        /// The policy followed.
        mode: Mode,
        /// The target it gives.
        target: u32,
        /// Idle instance-seconds that one hit may cost, where the policy has a price.
        idle_s_per_hit: Option<f64>,
        /// Requests in the last start-up time.
        recent_demand: u32,
    },
    /// Nobody has asked for far longer than ever before.
    Dormant {
        /// For how long.
        silent: Duration,
    },
    /// Why the policy is not the forecast, or is it again.
    Gate {
        /// The policy chosen.
        mode: Mode,
        /// Idle of that policy at the wanted hit rate on recent history, in average instances.
        idle: f64,
        /// The same for the best other policy, where there is one.
        next_best: Option<(Mode, f64)>,
        /// How far the forecast can be relied on, where it has a record: by which share it was cheaper
        /// lately than the best safe policy, in idle time at the hit rate aimed at, in hits or in cost as
        /// the objective is. 1 where only the forecast meets the objective, 0 where both cost the same,
        /// below 0 where the safe policy was cheaper by that share; it is followed once that is more than a
        /// few hundredths.
        confidence: Option<f64>,
    },
    /// The price was moved by what was achieved.
    Feedback {
        /// The wanted hit rate.
        wanted: f64,
        /// The hit rate achieved lately; none where nobody has asked yet.
        achieved: Option<f64>,
        /// The hit rate that the policy is now set to reach.
        aimed_at: f64,
    },
    /// Bookings that fall in the lead time.
    Booked {
        /// How many instances.
        count: u32,
        /// How far ahead was looked.
        within: Duration,
    },
    /// A floor lifted what was learnt.
    Floor {
        /// How many instances are wanted at least.
        count: u32,
        /// Why.
        cause: FloorCause,
    },
    /// A trigger rule's pre-allocation.
    Rule {
        /// The rule's name.
        rule: String,
        /// How many instances it wants warm.
        count: u32,
        /// When that lapses.
        until: Timestamp,
        /// The forecast that fired it.
        cause: String,
    },
    /// An administrator's override.
    Fixed {
        /// The target.
        count: u32,
        /// Who set it.
        by: String,
        /// Why.
        reason: String,
        /// When it ends.
        until: Option<Timestamp>,
    },
    /// A bound cut the target.
    Bounded {
        /// Which one.
        bound: Bound,
        /// The target before.
        from: u32,
        /// The target after.
        to: u32,
    },
    /// The plan is only proposed: the pool is kept as its owner sizes it.
    Preview {
        /// The target that the plan would give.
        proposed: u32,
        /// What is kept in its place.
        kept: u32,
    },
    /// Starts keep failing: the pool is not grown until then.
    StartsFail {
        /// Failed starts in a row.
        failures: u32,
        /// When starts are tried again.
        until: Timestamp,
    },
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Learnt {
                mode,
                target,
                idle_s_per_hit,
                recent_demand,
            } => {
                write!(
                    f,
                    "{mode}: {target} ({recent_demand} requests in the last start-up time"
                )?;
                if let Some(price) = idle_s_per_hit {
                    write!(f, "; a hit may cost {price:.0} idle s")?;
                }
                f.write_str(")")
            }
            Self::Dormant { silent } => write!(
                f,
                "nobody asked for {}, far longer than ever before",
                foreshadow_types::format_duration(*silent)
            ),
            Self::Gate {
                mode,
                idle,
                next_best,
                confidence,
            } => {
                write!(f, "{mode} needed {idle:.2} idle instances lately")?;
                if let Some((other, idle)) = next_best {
                    write!(f, ", {other} {idle:.2}")?;
                }
                let Some(confidence) = confidence else {
                    return Ok(());
                };
                let word = if *confidence < 0.0 {
                    "dearer"
                } else {
                    "cheaper"
                };
                write!(
                    f,
                    "; confidence in the forecast {confidence:.2}: it was {:.0} % {word} lately than the best \
                     safe policy",
                    100.0 * confidence.abs()
                )
            }
            Self::Feedback {
                wanted,
                achieved,
                aimed_at,
            } => {
                match achieved {
                    Some(achieved) => write!(f, "hit rate {achieved:.4} lately")?,
                    None => f.write_str("no record of hits yet")?,
                }
                write!(f, " where {wanted:.4} is wanted: aiming at {aimed_at:.4}")
            }
            Self::Booked { count, within } => write!(
                f,
                "{count} booked within {}",
                foreshadow_types::format_duration(*within)
            ),
            Self::Floor { count, cause } => write!(f, "at least {count}: {cause}"),
            Self::Rule {
                rule,
                count,
                until,
                cause,
            } => write!(f, "rule `{rule}`: {count} until {until} ({cause})"),
            Self::Fixed {
                count,
                by,
                reason,
                until,
            } => {
                write!(f, "override by {by}: {count} ({reason})")?;
                until.map_or(Ok(()), |until| write!(f, " until {until}"))
            }
            Self::Bounded { bound, from, to } => {
                let name = match bound {
                    Bound::Min => "min",
                    Bound::Max => "max",
                    Bound::RampUp => "ramp-up limit",
                    Bound::RampDown => "ramp-down limit",
                    Bound::Churn => "churn limit",
                };
                write!(f, "{name}: {from} became {to}")
            }
            Self::Preview { proposed, kept } => {
                write!(f, "preview: {proposed} would be planned, {kept} are kept")
            }
            Self::StartsFail { failures, until } => write!(
                f,
                "{failures} starts failed in a row: not growing until {until}"
            ),
        }
    }
}

/// What a policy and the plainest one needed, both to meet the objective on recent requests.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Beside {
    /// Idle instances of the policy followed, on average.
    pub idle: f64,
    /// The same of a pool of one constant size.
    pub constant_idle: f64,
}

/// What one price would have given on recent requests.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TradeOff {
    /// Idle instance-seconds that one hit may cost.
    pub idle_s_per_hit: f64,
    /// The hit rate.
    pub hit_rate: f64,
    /// Idle instances, on average.
    pub idle: f64,
}

/// The target of one pool until the next tick, and why.
#[must_use]
#[derive(Debug, Clone, PartialEq)]
pub struct PoolPlan {
    /// When it was made.
    pub at: Timestamp,
    /// Unpromised instances, ready and starting together, to hold until the next tick.
    pub target: u32,
    /// In a preview, the target that would hold if the plan were carried out.
    pub proposed: Option<u32>,
    /// The part of the target that was learnt from past demand.
    pub learnt: u32,
    /// The policy behind that part.
    pub mode: Mode,
    /// How the target came about, in order.
    pub reasons: Vec<Reason>,
    /// What the policy needed beside a constant pool, once that can be told.
    pub beside: Option<Beside>,
}

impl PoolPlan {
    /// How far the forecast can be relied on, from −1 to 1; see [`Reason::Gate`]. None without a record.
    pub fn confidence(&self) -> Option<f64> {
        self.reasons.iter().find_map(|reason| match reason {
            Reason::Gate { confidence, .. } => *confidence,
            _ => None,
        })
    }

    /// The plan as a proposal: `kept` instances are held in its place.
    pub fn previewed(mut self, kept: u32) -> Self {
        let proposed = self.target;
        self.reasons.push(Reason::Preview { proposed, kept });
        self.proposed = Some(proposed);
        self.target = kept;
        self
    }
}

impl fmt::Display for PoolPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at {}", self.target, self.at)?;
        for reason in &self.reasons {
            write!(f, "; {reason}")?;
        }
        Ok(())
    }
}
