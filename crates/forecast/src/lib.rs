//! Quantile forecasts: the forecaster trait, accuracy measures, calibration and the naive models.
