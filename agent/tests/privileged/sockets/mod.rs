//! Every way to read sockets.

mod accept;
mod holders;
mod sock_diag;
mod walk;
