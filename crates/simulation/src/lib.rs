//! Virtual time, a simulated provider with faults, the reference model and the backtest.
//!
//! Pure: no I/O, no clock, no operating-system randomness.

pub mod backtest;
pub mod chaos;
