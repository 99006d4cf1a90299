//! TCP's timers: what is counted in each, and between what.

mod expire;
mod hook;
mod keepalive;
mod request;
mod retransmit;
mod write;
