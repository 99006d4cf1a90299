//! The accept queue: a listener's, what is in it, and what it has no room for.

use super::*;
use crate::model::connection::{AcceptQueue, Acceptance};

#[test]
fn listeners_tell_their_queue() {
    let check_queue = |held, limit, why| {
        let listener = established().in_state(State::Listen);
        let listener = listener.with(|it| it.accept_queue = Ok(AcceptQueue::of_one(held, limit)));
        check(&listener, Liveness::Listening, why);
    };
    check_queue(0, 4, "a listener");
    check_queue(4, 4, "a listener; its accept queue holds 4 of 4");
    let why = "a listener; its accept queue is full: it holds 5 of 4";
    check_queue(5, 4, why);
}

#[test]
fn an_unaccepted_connection_is_neither_idle_nor_forgotten() {
    let why = "not accepted for 15 s; the queue of listener :443 holds 5 of 4";
    let queued = established().silent_for(seconds(15)).queued();
    check(&queued, Liveness::Unaccepted, why);
    // However long it takes: it is its application that does not accept it.
    let why = "not accepted for 2h; the queue of listener :443 holds 5 of 4";
    let idle = established().silent_for(seconds(7_200)).queued();
    check(&idle, Liveness::Unaccepted, why);
    // What the peer sends meanwhile does not make it younger.
    let fed = idle.clone().with(|it| it.last_received = Ok(seconds(1)));
    check(&fed, Liveness::Unaccepted, why);
    let why =
        "not accepted for 2h; the peer has ended its half; the queue of listener :443 holds 5 of 4";
    check(&idle.in_state(State::CloseWait), Liveness::Unaccepted, why);
}

#[test]
fn what_is_unknown_of_the_queue_is_said() {
    let queued = established().silent_for(seconds(15)).queued();
    let several = queued.clone().with(|it| {
        it.accept_queue = Ok(AcceptQueue {
            held: 9,
            limit: 16,
            listeners: 4,
        });
    });
    let why = "not accepted for 15 s; the queues of the 4 listeners :443 hold 9 of 16";
    check(&several, Liveness::Unaccepted, why);
    let unknown = Unknown::ListenerUnseen;
    let lost = queued.clone().with(|it| it.accept_queue = Err(unknown));
    let why = "not accepted for 15 s; how full the queue of listener :443 is, is unknown: \
               its listener was not found";
    check(&lost, Liveness::Unaccepted, why);
    let unknown = Unknown::NotOnThisKernel;
    let ageless = queued.with(|it| it.last_sent = Err(unknown));
    let why = "not accepted, since when is unknown: this kernel does not tell; \
               the queue of listener :443 holds 5 of 4";
    check_unknown(&ageless, Liveness::Unaccepted, why, Some(unknown));
}

#[test]
fn a_silent_peer_outweighs_the_queue() {
    let dead = guarded()
        .silent_for(seconds(10))
        .queued()
        .with_outstanding(probed(2, Some(1_000)));
    let why = "2 keepalive probes unanswered, silent for 10 s";
    check(&dead, SUSPECT_KEEPALIVE, why);
}

#[test]
fn requests_tell_what_became_of_the_ack() {
    let check_request = |acceptance, queue, why| {
        let request = established().in_state(State::SynRecv);
        let request = request.with_outstanding(in_flight(2, 0)).with(|it| {
            it.acceptance = acceptance;
            it.accept_queue = queue;
        });
        check(&request, Liveness::Embryonic, why);
    };
    let (full, roomy) = (AcceptQueue::of_one(5, 4), AcceptQueue::of_one(3, 4));
    let why = "the client's ACK came, but the accept queue of :443 is full: it holds 5 of 4, \
               2 SYN-ACKs resent";
    check_request(Ok(Acceptance::AckDropped), Ok(full), why);
    let why = "the client's ACK came, but the accept queue of :443 was full, 2 SYN-ACKs resent";
    check_request(Ok(Acceptance::AckDropped), Ok(roomy), why);
    let why = "the client's ACK came, waiting for its data (TCP_DEFER_ACCEPT), 2 SYN-ACKs resent";
    check_request(Ok(Acceptance::AwaitsData), Ok(roomy), why);
    let why = "waiting for the handshake's last ACK, 2 SYN-ACKs resent";
    check_request(Ok(Acceptance::AwaitsAck), Ok(full), why);
    let why = "SYN-ACK sent, whether the last ACK came is unknown: sock_diag does not tell, \
               2 SYN-ACKs resent";
    check_request(Err(Unknown::NotInSockDiag), Ok(full), why);
}
