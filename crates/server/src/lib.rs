//! Transports: gRPC, HTTP, metrics and the console on one port.
