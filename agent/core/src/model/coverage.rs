//! Which counts are known on this kernel with the hooks that attached.

/// Whether a kind of event can be seen on this kernel with the hooks that attached.
/// A kind that cannot be seen is *unknown*: views leave it out and say why, never show 0.
pub type Seen = Result<(), String>;

/// Which counts are known. Each `Err` says why not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Coverage {
    /// Keepalive probes, sent and answered.
    pub keepalive_probes: Seen,
    /// Window probes, sent and answered.
    pub window_probes: Seen,
    /// Retransmission timeouts.
    pub retransmission_timeouts: Seen,
    /// Resets received.
    pub resets_received: Seen,
    /// Resets sent.
    pub resets_sent: Seen,
    /// Deaths.
    pub deaths: Seen,
    /// Suspects.
    pub suspects: Seen,
}

impl Default for Coverage {
    fn default() -> Self {
        Self {
            keepalive_probes: Ok(()),
            window_probes: Ok(()),
            retransmission_timeouts: Ok(()),
            resets_received: Ok(()),
            resets_sent: Ok(()),
            deaths: Ok(()),
            suspects: Ok(()),
        }
    }
}
