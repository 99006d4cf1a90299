//! Which counts are known on this kernel with the hooks that attached.

/// Whether a kind of event can be seen on this kernel with the hooks that attached.
/// A kind that cannot be seen is *unknown*: views leave it out and say why, never show 0.
pub type Availability = Result<(), String>;

/// Which counts are known. Each `Err` says why not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Coverage {
    /// Keepalive probes, sent and answered.
    pub keepalive_probes: Availability,
    /// Window probes, sent and answered.
    pub window_probes: Availability,
    /// Retransmission timeouts.
    pub retransmission_timeouts: Availability,
    /// Resets received.
    pub resets_received: Availability,
    /// Resets sent, those that netfilter makes apart.
    pub resets_sent: Availability,
    /// Resets that netfilter makes.
    pub netfilter_resets: Availability,
    /// Deaths.
    pub deaths: Availability,
    /// SYN cookies, by listener.
    pub syn_cookies: Availability,
    /// connect() without a free local port.
    pub connects_without_port: Availability,
    /// Suspects.
    pub suspects: Availability,
}

impl Default for Coverage {
    fn default() -> Self {
        Self {
            keepalive_probes: Ok(()),
            window_probes: Ok(()),
            retransmission_timeouts: Ok(()),
            resets_received: Ok(()),
            resets_sent: Ok(()),
            netfilter_resets: Ok(()),
            deaths: Ok(()),
            syn_cookies: Ok(()),
            connects_without_port: Ok(()),
            suspects: Ok(()),
        }
    }
}
