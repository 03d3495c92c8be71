//! One file for each command.

pub(crate) mod backtest;
pub(crate) mod evaluate;
pub(crate) mod import;
pub(crate) mod train;
