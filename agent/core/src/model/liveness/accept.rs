//! What is said of an accept queue and of what waits for it.

use super::span::Span;
use crate::model::connection::{AcceptQueue, Acceptance, Connection, State};

/// Of a listener.
pub fn listener(connection: &Connection) -> String {
    match connection.accept_queue {
        Ok(queue) if queue.is_full() => {
            format!(
                "a listener; its accept queue is full: it holds {}",
                room(&queue)
            )
        }
        Ok(queue) if queue.held > 0 => {
            format!("a listener; its accept queue holds {}", room(&queue))
        }
        Ok(_) | Err(_) => "a listener".to_owned(),
    }
}

/// Of a connection in the queue. Nothing is sent before it is accepted: the age of what was sent last is
/// its own.
pub fn unaccepted(connection: &Connection) -> String {
    let age = match connection.last_sent {
        Ok(age) => format!("not accepted for {}", Span(age)),
        Err(unknown) => format!("not accepted, since when is unknown: {unknown}"),
    };
    let end = match connection.state {
        State::CloseWait => "; the peer has ended its half",
        _ => "",
    };
    format!("{age}{end}; {}", queue(connection))
}

/// Of a request whose SYN-ACK was sent.
pub fn handshake(connection: &Connection) -> String {
    match connection.acceptance {
        Ok(Acceptance::AckDropped) => {
            let port = connection.local.port();
            let full = match connection.accept_queue {
                Ok(queue) if queue.is_full() => format!("is full: it holds {}", room(&queue)),
                Ok(_) | Err(_) => "was full".to_owned(),
            };
            format!("the client's ACK came, but the accept queue of :{port} {full}")
        }
        Ok(Acceptance::AwaitsData) => {
            "the client's ACK came, waiting for its data (TCP_DEFER_ACCEPT)".to_owned()
        }
        Ok(_) => "waiting for the handshake's last ACK".to_owned(),
        Err(unknown) => format!("SYN-ACK sent, whether the last ACK came is unknown: {unknown}"),
    }
}

/// Whether no connection finds room in the queue.
pub fn is_full(connection: &Connection) -> bool {
    connection.accept_queue.is_ok_and(|queue| queue.is_full())
}

fn queue(connection: &Connection) -> String {
    let port = connection.local.port();
    match connection.accept_queue {
        Ok(queue) if queue.listeners > 1 => {
            let listeners = queue.listeners;
            let room = room(&queue);
            format!("the queues of the {listeners} listeners :{port} hold {room}")
        }
        Ok(queue) => format!("the queue of listener :{port} holds {}", room(&queue)),
        Err(unknown) => format!("how full the queue of listener :{port} is, is unknown: {unknown}"),
    }
}

/// As `ss` shows it of a listener, which holds one more than its limit at most.
fn room(queue: &AcceptQueue) -> String {
    format!("{} of {}", queue.held, queue.limit)
}
