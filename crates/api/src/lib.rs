//! The generated wire contract and its translation to domain types.
