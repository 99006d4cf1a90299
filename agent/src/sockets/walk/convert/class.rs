//! A class of sockets that the kernel summed becomes a connection that stands for each.

use std::{
    net::{Ipv6Addr, SocketAddr},
    time::Duration,
};

use halfopen_common::{Class, direction, flag, rtos_rounded_to};
use halfopen_core::model::{
    connection::{Acceptance, Connection, Direction, Limits, Outstanding, State, Unknown},
    detection::detect,
};

use super::{Converter, known_cgroup};

impl Converter {
    /// A connection of which this class is made, the facts in which its members differ left out.
    #[must_use]
    pub fn member(&self, class: &Class, idle: Duration) -> Connection {
        let quiet = if class.flags & flag::QUIET != 0 {
            idle
        } else {
            Duration::ZERO
        };
        let nowhere = |port| SocketAddr::new(Ipv6Addr::UNSPECIFIED.into(), port);
        let (ends, direction) = if class.direction == direction::OUTBOUND {
            ([nowhere(0), nowhere(class.port)], Direction::Outbound)
        } else {
            ([nowhere(class.port), nowhere(0)], Direction::Inbound)
        };
        let is_on = class.flags & flag::KEEPALIVE != 0;
        let user_timeout = u64::from(class.user_timeout_ms);
        let (state, why) = (State::Established, Unknown::NotOfThisKind);
        let cgroup = known_cgroup(class.cgroup);
        let member = Connection {
            owner: self.owners.of(cgroup),
            cgroup,
            keepalive: self.keepalive(
                class.netns,
                is_on,
                class.keepalive_time,
                class.keepalive_interval,
                class.keepalive_probes,
            ),
            user_timeout: Ok((user_timeout != 0).then(|| Duration::from_millis(user_timeout))),
            policy: self.policy(class.netns),
            last_ack: Ok(quiet),
            last_received: Ok(quiet),
            last_sent: Ok(quiet),
            last_out_of_window: Err(why),
            limits: Ok(Limits {
                rto_max: self.rto_max(class.rto_max),
                syn_retries: None,
            }),
            outstanding: Ok(Outstanding::default()),
            timer: Ok(None),
            memory: Ok(0),
            acceptance: match direction {
                Direction::Inbound => Ok(Acceptance::Accepted),
                _ => Err(why),
            },
            ..Connection::bare(class.netns, ends, state, direction, why)
        };
        self.slowest(member, class.rto)
    }

    /// The member of a class that takes the longest with data in flight: of two RTOs it may be the shorter one, which
    /// misses a limit at the timeout at which the longer one reaches it.
    fn slowest(&self, mut member: Connection, rounded: u32) -> Connection {
        let rtos = rtos_rounded_to(rounded).map(|jiffies| self.span(jiffies.into()));
        let slowest = rtos.max_by_key(|rto| {
            member.rto = Ok(*rto);
            detect(&member).data.ok()
        });
        member.rto = slowest.ok_or(Unknown::NotOfThisKind);
        member
    }
}
