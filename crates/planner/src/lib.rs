//! From forecasts and inventory to a plan with reasons.
