//! The local ports that connect() chooses from (net.ipv4.ip_local_port_range), and how many of them one
//! destination takes.

use std::cmp::Ordering;

/// The ports in use towards one destination.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PortUse {
    /// Ports in use.
    used: u64,
    /// Ports there are.
    available: u64,
}

impl PortUse {
    /// So many of the range from the first to the last; `None` where that has no port.
    #[must_use]
    pub fn new(used: u64, first: u16, last: u16) -> Option<Self> {
        let size = (u64::from(last) + 1).checked_sub(u64::from(first))?;
        // connect() takes an even number of ports (`__inet_hash_connect`).
        let available = if size > 1 { size & !1 } else { size };
        (available > 0).then(|| Self {
            // An application may have bound the one that is left out.
            used: used.min(available),
            available,
        })
    }

    /// The share that is in use: from 0 to 1.
    #[must_use]
    pub fn ratio(self) -> f64 {
        self.used as f64 / self.available as f64
    }

    /// The one of two destinations with the greater share.
    #[must_use]
    pub fn fuller(self, other: Self) -> Self {
        // Both are below 2^16 times 2^16.
        let order = (self.used * other.available).cmp(&(other.used * self.available));
        if order == Ordering::Less { other } else { self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(used: u64, range: (u16, u16), ratio: Option<f64>) {
        let found = PortUse::new(used, range.0, range.1).map(PortUse::ratio);
        assert_eq!(found, ratio, "{used} of {range:?}");
    }

    #[test]
    fn the_share_of_what_connect_takes() {
        check(14_116, (32_768, 60_999), Some(0.5));
        check(10, (40_000, 40_009), Some(1.0));
        check(10, (40_000, 40_010), Some(1.0));
        check(11, (40_000, 40_010), Some(1.0));
        check(0, (40_000, 40_009), Some(0.0));
        check(1, (1024, 1024), Some(1.0));
        check(1, (1, u16::MAX), Some(1.0 / 65_534.0));
        check(1, (5, 4), None);
    }

    #[test]
    fn of_several_destinations_the_fullest() {
        let use_of = |used, last| PortUse::new(used, 1, last).unwrap();
        let (half, third) = (use_of(5, 10), use_of(10, 30));
        assert_eq!(half.fuller(third), half);
        assert_eq!(third.fuller(half), half);
        assert_eq!(half.fuller(half), half);
    }
}
