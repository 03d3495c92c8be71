//! Telemetry receivers: reports become observations.
