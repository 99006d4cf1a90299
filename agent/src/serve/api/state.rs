//! What the API answers from.

use std::sync::{Arc, OnceLock};

use tokio::sync::{Semaphore, watch};

use crate::serve::{
    feed::Feed,
    response::{HttpError, unavailable},
};
use halfopen_core::model::{
    assessed::{ConnectionList, ListOptions, Predicate},
    liveness::Thresholds,
};

/// Concurrent streams of events: each holds a connection of the server for as long as it lasts.
pub const MAX_STREAMS: usize = 64;

/// Reads the connections that match.
pub type ConnectionLister =
    Box<dyn Fn(ListOptions, Predicate) -> Result<ConnectionList, String> + Send + Sync>;

/// What the API answers from; cheap to clone.
#[derive(Clone)]
pub struct Api {
    /// Empty until the hooks are attached.
    lister: Arc<OnceLock<(ConnectionLister, Thresholds)>>,
    /// Deaths that are kept, and events as they arrive.
    pub(super) feed: Feed,
    /// Permits for streams.
    pub(super) streams: Arc<Semaphore>,
    /// Becomes true on shutdown.
    pub(super) stop: watch::Receiver<bool>,
}

impl Api {
    /// Answers from this feed, until `stop` becomes true.
    #[must_use]
    pub fn new(feed: Feed, stop: watch::Receiver<bool>) -> Self {
        Self {
            lister: Arc::default(),
            feed,
            streams: Arc::new(Semaphore::new(MAX_STREAMS)),
            stop,
        }
    }

    /// Starts to answer questions about connections. Only the first call has an effect.
    pub fn open(&self, lister: ConnectionLister, thresholds: Thresholds) {
        let _ = self.lister.set((lister, thresholds));
    }

    /// How to read connections, and by which thresholds to classify them.
    pub(super) fn lister(&self) -> Result<&(ConnectionLister, Thresholds), HttpError> {
        let not_yet = || unavailable("the hooks are not attached yet; try again in a second");
        self.lister.get().ok_or_else(not_yet)
    }
}
