//! The live driver: tick loop, inference thread, ledger writer, provider supervision and retraining, without a network.
