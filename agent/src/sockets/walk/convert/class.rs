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

#[cfg(test)]
mod tests {
    use halfopen_common::{Net, NetKey, round_up_rto};
    use halfopen_core::model::{
        connection::{Known, Setting},
        detection::Detection,
    };
    use zerocopy::FromZeros as _;

    use super::*;
    use crate::host::owners::Owners;

    /// HZ=250, tcp_retries2 = 5: retransmission ends after 12.6 s at the earliest.
    fn member(change: impl FnOnce(&mut Class)) -> Connection {
        let mut net = Net::new_zeroed();
        net.key = NetKey {
            inum: 7,
            ..NetKey::new_zeroed()
        };
        net.retries2 = 5;
        let mut class = Class::new_zeroed();
        class.netns = 7;
        class.rto = round_up_rto(51);
        change(&mut class);
        Converter::new(&[net], 250, Owners::open(0, false)).member(&class, Duration::ZERO)
    }

    const fn within(milliseconds: u64) -> Known<Detection> {
        Ok(Detection::Within(Duration::from_millis(milliseconds)))
    }

    /// RTOs of 49 to 52 jiffies are one class. 0.204 × 2 × 31 s are past the limit, 0.2 × 2 × 31 s are not and wait for
    /// 12.8 s more.
    #[test]
    fn a_class_is_as_slow_as_its_slowest_member() {
        let class = member(|_| {});
        assert_eq!(detect(&class).data, within(400 * 64));
        assert_eq!(class.rto, Ok(Duration::from_millis(200)));
    }

    #[test]
    fn the_longest_rto_and_a_user_timeout_without_keepalive_count_with_data() {
        let class = member(|class| class.user_timeout_ms = 20_000);
        assert_eq!(class.keepalive.unwrap().setting, Setting::Off);
        assert_eq!(detect(&class).idle, Ok(Detection::Never));
        assert_eq!(detect(&class).data, within(208 * 2 + 20_000));
        // TCP_RTO_MAX_MS 1000: 1.4 s doubling and 3 s; 0.416 + 0.832 s and four times 1 s.
        let class = member(|class| class.rto_max = 250);
        assert_eq!(detect(&class).data, within(416 + 416 + 832 + 4_000));
    }
}
