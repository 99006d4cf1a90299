//! Commands as they are typed.

mod command_line;
mod watch;
mod watch_from;
