//! How far a connection has come towards accept(), from the kernel's fields.

use halfopen_common::{Socket, flag};
use halfopen_core::model::connection::{AcceptQueue, Acceptance, Connection, Direction, Unknown};

/// The queue of a listener, or of a request's.
pub const fn queue(socket: &Socket) -> AcceptQueue {
    AcceptQueue::of_one(socket.rcv_nxt, socket.copied_seq)
}

/// A request: where its ACK came and made no connection, the listener tells why. With TCP_DEFER_ACCEPT
/// both may be true: a full queue is what keeps data out too.
pub fn request(socket: &Socket, blank: Connection) -> Connection {
    if socket.has_queue == 0 {
        return Connection {
            acceptance: Err(Unknown::NotOnThisKernel),
            accept_queue: Err(Unknown::NotOnThisKernel),
            ..blank
        };
    }
    let queue = queue(socket);
    Connection {
        acceptance: Ok(if socket.flags & flag::UNACCEPTED == 0 {
            Acceptance::AwaitsAck
        } else if socket.defer_accept != 0 && !queue.is_full() {
            Acceptance::AwaitsData
        } else {
            Acceptance::AckDropped
        }),
        accept_queue: Ok(queue),
        ..blank
    }
}

/// A full socket of a connection.
pub fn full(socket: &Socket, blank: Connection) -> Connection {
    let acceptance = if socket.flags & flag::UNACCEPTED != 0 {
        Ok(Acceptance::Queued)
    } else if blank.direction == Direction::Inbound {
        Ok(Acceptance::Accepted)
    } else {
        Err(Unknown::NotOfThisKind)
    };
    Connection {
        acceptance,
        ..blank
    }
}
