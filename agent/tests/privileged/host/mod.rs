//! Cgroups, and the owners of connections.

mod accepted;
mod cgroups;
mod churn;
mod container;
mod late_cgroups;
mod owners;
