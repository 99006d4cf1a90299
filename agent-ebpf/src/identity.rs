//! Who a socket is: addresses, ports, namespace, owner and direction, as records and events keep them.

use halfopen_common::{GroupKey, ListenerKey, Record, direction};

use crate::{
    fields, maps,
    read::FieldReader,
    sock::{AF_INET6, Sock, mapped},
};

/// Whether the socket at a record's address is still the one that the record is of: its destruction
/// may not have been seen.
#[inline(always)]
pub fn is_same(record: &Record, sock: Sock) -> Option<bool> {
    let remote = sock.remote_port()?;
    // tcp_disconnect() clears the remote port after its reset.
    Some(remote == 0 || remote == record.remote_port && sock.local_port()? == record.local_port)
}

/// Fills in who the socket is, straight into its place: the stack has no room to spare.
#[inline(always)]
pub fn identify(sock: Sock, record: &mut Record) -> Option<()> {
    let mut net = 0_u64;
    let mut reader = FieldReader::of(sock.0);
    reader.field(&raw mut net, fields::net());
    reader.field(&raw mut record.uid, fields::uid());
    reader.field(&raw mut record.local_port, fields::inet_sport());
    addresses(&mut reader, record);
    let is_read = reader.ok();
    namespace(net, record)?;
    record.local_port = u16::from_be(record.local_port);
    record.cgroup = sock.cgroup();
    record.direction = sock.direction();
    is_read.then_some(())
}

/// Both addresses, the family and the remote port; `sock_common` has them.
#[inline(always)]
pub fn addresses(reader: &mut FieldReader, record: &mut Record) {
    reader.field(&raw mut record.family, fields::family());
    reader.field(&raw mut record.remote_port, fields::remote_port());
    record.remote_port = u16::from_be(record.remote_port);
    if record.family == AF_INET6 {
        reader.field(&raw mut record.local, fields::local6());
        reader.field(&raw mut record.remote, fields::remote6());
        return;
    }
    record.local = mapped([0; 4]);
    record.remote = mapped([0; 4]);
    reader.field(last_four(&raw mut record.local), fields::local4());
    reader.field(last_four(&raw mut record.remote), fields::remote4());
}

#[inline(always)]
fn last_four(address: *mut [u8; 16]) -> *mut [u8; 4] {
    // SAFETY: within the address.
    unsafe { address.cast::<u8>().add(12) }.cast()
}

/// The namespace whose `struct net` this is.
#[inline(always)]
pub fn namespace(net: u64, record: &mut Record) -> Option<()> {
    let mut reader = FieldReader::of(net);
    reader.field(&raw mut record.net.cookie, fields::net_cookie());
    reader.field(&raw mut record.net.inum, fields::net_inum());
    reader.ok().then_some(())
}

/// The group of a socket that has no record.
#[inline(always)]
pub fn group(sock: Sock) -> Option<GroupKey> {
    let direction = sock.direction();
    Some(GroupKey {
        cgroup: sock.cgroup(),
        port: if direction == direction::INBOUND {
            sock.local_port()?
        } else {
            sock.remote_port()?
        },
        direction,
        padding: [0; 5],
    })
}

/// The group of a socket that listens.
#[inline(always)]
pub fn listener_group(sock: Sock) -> Option<GroupKey> {
    Some(GroupKey {
        cgroup: sock.cgroup(),
        port: sock.local_port()?,
        direction: direction::INBOUND,
        padding: [0; 5],
    })
}

/// Notes that a socket listens.
#[inline(never)]
pub fn listens(sock: Sock) -> Option<()> {
    maps::listen(&listener_key(sock)?, sock.cgroup());
    Some(())
}

/// Notes that it listens no more.
#[inline(never)]
pub fn listens_no_more(sock: Sock) -> Option<()> {
    maps::listen_no_more(&listener_key(sock)?);
    Some(())
}

#[inline(always)]
fn listener_key(sock: Sock) -> Option<ListenerKey> {
    let local = if sock.get(fields::family())? == AF_INET6 {
        sock.get(fields::local6())?
    } else {
        mapped(sock.get(fields::local4())?)
    };
    Some(ListenerKey {
        local,
        inum: sock.net()?.inum,
        port: sock.local_port()?,
        padding: 0,
    })
}

/// The group of the listener that a segment to this address and port of the namespace was meant for, as the
/// kernel looks for it: at the address itself, or at any. `None` if nobody listens there.
#[inline(never)]
pub fn listeners_group(inum: u32, local: &[u8; 16], port: u16) -> Option<GroupKey> {
    let mut key = ListenerKey {
        local: *local,
        inum,
        port,
        padding: 0,
    };
    let mut cgroup = maps::listener(&key);
    if cgroup.is_none() && local[..12] == mapped([0; 4])[..12] {
        key.local = mapped([0; 4]);
        cgroup = maps::listener(&key);
    }
    if cgroup.is_none() {
        key.local = [0; 16];
        cgroup = maps::listener(&key);
    }
    Some(GroupKey {
        cgroup: cgroup?,
        port,
        direction: direction::INBOUND,
        padding: [0; 5],
    })
}
