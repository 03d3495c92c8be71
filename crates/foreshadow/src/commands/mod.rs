//! One file for each command.

pub(crate) mod admin;
pub(crate) mod backtest;
pub(crate) mod demo;
pub(crate) mod evaluate;
pub(crate) mod import;
pub(crate) mod replay_pools;
pub(crate) mod serve;
pub(crate) mod shell;
pub(crate) mod token;
pub(crate) mod train;
