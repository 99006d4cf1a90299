//! Which tables of sockets there are: one that nearly all network namespaces share, and those that a
//! namespace has for itself (sysctl net.ipv4.tcp_child_ehash_entries, Linux 6.1+).
//!
//! # Invariants
//! Each table is listed once.

use std::collections::BTreeMap;

use halfopen_common::{Net, table};

/// One table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Table {
    /// One of [`table`].
    pub kind: u32,
    /// Its address.
    pub base: u64,
    /// Its buckets but one.
    pub mask: u32,
    /// `ns.ops` of the network namespaces.
    pub net_ops: u64,
}

/// The tables of these namespaces, listeners first: who listens tells the direction of what has none.
pub fn of(nets: &[Net]) -> Vec<Table> {
    let mut tables = BTreeMap::new();
    for net in nets {
        let mut add = |kind, base, mask| {
            if base != 0 {
                tables.entry((kind, base)).or_insert(Table {
                    kind,
                    base,
                    mask,
                    net_ops: net.ops,
                });
            }
        };
        add(table::LISTENERS, net.lhash2, net.lhash2_mask);
        add(table::ESTABLISHED, net.ehash, net.ehash_mask);
    }
    // LISTENERS is the greater number.
    tables.into_values().rev().collect()
}
