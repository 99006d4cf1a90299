//! What is declared, what is written, and what docs/metrics.md says.

mod cardinality;
mod declared;
mod openmetrics;
mod page;
