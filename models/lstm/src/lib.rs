//! The LSTM in burn: definition, training step and batched inference.
