//! Every way to read sockets.

mod accept;
mod detection;
mod holders;
mod sock_diag;
mod walk;
