//! Forecasts, rules, overrides and plans, renewed each tick.

mod command;
mod latest;

pub(crate) use command::PlanningCommand;
pub(crate) use latest::LatestForecasts;
