//! Datasets, fitting, the evaluation gate and promotion.
