//! Resets sent and received.

mod active;
mod netfilter;
mod received;
mod reply;
mod trace;
