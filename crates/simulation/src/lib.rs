//! Virtual time, a simulated provider with faults, the reference model and the backtest.
