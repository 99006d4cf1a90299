//! Detection with data or a FIN in flight: which of the kernel's timers it is left to.

use super::{Detection, probes, retransmission::Flight, settings::Settings};
use crate::model::{
    connection::{Connection, Known},
    liveness::is_orphan,
};

/// With data, or a FIN, in flight.
pub(super) fn data(connection: &Connection) -> Known<Detection> {
    let outstanding = connection.outstanding?;
    let settings = Settings::of(connection)?;
    let after = if outstanding.packets_out == 0 && outstanding.unsent > 0 {
        probes::detect(connection, &outstanding, &settings)?
    } else {
        let flight = Flight::of(connection, &outstanding, &settings);
        if outstanding.packets_out > 0 && outstanding.send_window == 0 && !is_orphan(connection) {
            flight.closed_window(connection, &settings)
        } else {
            flight.retransmission(connection, &settings)?
        }
    };
    Ok(Detection::Within(after))
}
