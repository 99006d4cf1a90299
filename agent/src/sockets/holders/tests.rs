//! What the kernel hands out, made by hand: in pieces, late, spoilt, and for sockets that changed.

use zerocopy::{FromZeros as _, IntoBytes as _};

use super::*;
use halfopen_core::model::liveness::fixture::established;

fn held(pid: u32, fd: u32, name: &[u8]) -> SocketHolder {
    let connection = established();
    let mut held = SocketHolder::new_zeroed();
    held.sock = connection.sock;
    held.local_port = connection.local.port();
    held.remote_port = connection.remote.port();
    (held.pid, held.fd) = (pid, fd);
    held.name[..name.len()].copy_from_slice(name);
    held
}

fn holder(pid: u32, fd: u32, name: &[u8]) -> Holder {
    Holder {
        pid,
        fd,
        name: name.to_vec(),
        owner: Err(Unknown::NotOnThisKernel),
    }
}

/// Nothing is asked of them here: no process has a cgroup.
fn nobody() -> Owners {
    Owners::open(0, false)
}

/// Yields what it is given, one piece at each read, errors among them; then nothing.
struct Pieces(Vec<Result<Vec<u8>, ErrorKind>>);

impl Read for Pieces {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.0.is_empty() {
            return Ok(0);
        }
        let piece = self.0.remove(0)?;
        buffer[..piece.len()].copy_from_slice(&piece);
        Ok(piece.len())
    }
}

const EVERYBODY: Scope = Scope {
    every_process: true,
    subflows: true,
};

fn holders(connection: Connection, held: &[SocketHolder], scope: Scope) -> Known<Vec<Holder>> {
    let connections = [connection];
    let mut found = collect(held.as_bytes(), &connections, &nobody()).unwrap();
    found.remove(0).holders(&connections[0], scope)
}

#[test]
fn pieces_of_any_size_and_pauses() {
    let bytes = [held(1, 3, b"one"), held(2, 4, b"two"), held(3, 5, b"three")];
    let bytes = bytes.as_bytes();
    for cut in 0..bytes.len() {
        let pieces = [
            Err(ErrorKind::WouldBlock),
            Ok(bytes[..=cut].to_vec()),
            Err(ErrorKind::Interrupted),
            Err(ErrorKind::WouldBlock),
            Ok(bytes[cut + 1..].to_vec()),
        ];
        let pieces = pieces.into_iter().filter(|it| *it != Ok(Vec::new()));
        let mut pids = Vec::new();
        drain(Pieces(pieces.collect()), |held| pids.push(held.pid)).unwrap();
        assert_eq!(pids, [1, 2, 3], "{cut}");
    }
}

#[test]
fn what_is_no_whole_answer_is_an_error() {
    let check = |pieces, expected| {
        let error = drain(Pieces(pieces), |_| ()).unwrap_err();
        assert_eq!(error.kind(), expected);
    };
    check(vec![Ok(vec![0; 39])], ErrorKind::UnexpectedEof);
    let denied = ErrorKind::PermissionDenied;
    check(vec![Ok(vec![0; 40]), Err(denied)], denied);
    let stuck = vec![Err(ErrorKind::WouldBlock); 10_001];
    check(stuck, ErrorKind::WouldBlock);
}

#[test]
fn each_process_once_in_order() {
    let several = [
        held(9, 3, b"last"),
        held(2, 8, b"nginx"),
        held(2, 7, b"nginx"),
        held(5, 1, b"sixteen bytes !!"),
    ];
    let expected = vec![
        holder(2, 7, b"nginx"),
        holder(5, 1, b"sixteen bytes !!"),
        holder(9, 3, b"last"),
    ];
    assert_eq!(holders(established(), &several, EVERYBODY), Ok(expected));
}

#[test]
fn nobody_is_not_unknown() {
    let nobody = Ok(Vec::new());
    let of_another = SocketHolder {
        sock: 77,
        ..held(1, 1, b"")
    };
    assert_eq!(holders(established(), &[of_another], EVERYBODY), nobody);
    let inside = Scope {
        every_process: false,
        ..EVERYBODY
    };
    let outside = Err(Unknown::OutsidePidNamespace);
    assert_eq!(holders(established(), &[], inside), outside);
    let orphan = established().with(|it| it.orphaned = true);
    assert_eq!(holders(orphan, &[], inside), nobody);
    let waiting = established().in_state(State::TimeWait);
    assert_eq!(holders(waiting, &[], inside), nobody);
    let blind = Scope {
        subflows: false,
        ..EVERYBODY
    };
    let subflow = established().with(|it| it.mptcp = true);
    let unknown = Err(Unknown::NotOnThisKernel);
    assert_eq!(holders(subflow.clone(), &[], blind), unknown);
    assert_eq!(holders(subflow, &[], EVERYBODY), nobody);
}

#[test]
fn a_socket_that_took_its_place_names_nobody() {
    let mut other = held(4, 4, b"innocent");
    other.remote_port ^= 1;
    let gone = Err(Unknown::ClosedMeanwhile);
    assert_eq!(holders(established(), &[other], EVERYBODY), gone);
}
