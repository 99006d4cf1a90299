//! Every way to read sockets.

mod holders;
mod sock_diag;
mod walk;
