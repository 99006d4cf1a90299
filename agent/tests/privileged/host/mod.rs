//! Cgroups, and the owners of connections.

mod cgroups;
mod churn;
mod container;
mod owners;
