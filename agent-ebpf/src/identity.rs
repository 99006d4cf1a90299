//! Who a socket is: addresses, ports, namespace, owner and direction, as records and events keep them.

use halfopen_common::{GroupKey, Record, direction};

use crate::{
    fields,
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
