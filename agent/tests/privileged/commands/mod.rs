//! Commands on this kernel.

mod agent;
mod selftest;
mod watch;
mod watch_flood;
