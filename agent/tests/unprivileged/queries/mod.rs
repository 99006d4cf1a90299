//! What dashboards, rules and runbooks ask Prometheus.

mod dashboards;
mod panels;
mod promql;
mod rules;
