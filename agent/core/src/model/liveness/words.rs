//! Pieces of what a verdict says.

use super::span::Span;
use crate::model::connection::Connection;

/// ", silent for 11 s"; nothing where that is unknown.
pub(super) fn silence(connection: &Connection) -> String {
    connection.silence().map_or_else(
        |_| String::new(),
        |silence| format!(", silent for {}", Span(silence)),
    )
}

/// "heard 1 s ago", or why that is unknown.
pub(super) fn heard(connection: &Connection) -> String {
    match connection.silence() {
        Ok(silence) => format!("heard {} ago", Span(silence)),
        Err(unknown) => format!("when it was last heard is unknown: {unknown}"),
    }
}

/// "1 retransmission", "2 retransmissions".
pub(super) fn count(number: u32, noun: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{number} {noun}{plural}")
}
