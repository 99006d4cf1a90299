//! What dashboards, rules and runbooks ask Prometheus.

mod dashboards;
mod field;
mod panels;
mod promql;
mod rules;
