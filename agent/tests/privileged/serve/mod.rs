//! Listening sockets of the real binary, and a real Prometheus.

mod listen;
mod prometheus;
mod web_config;
