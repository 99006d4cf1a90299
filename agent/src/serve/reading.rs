//! One snapshot with the text made of it, for all who asked while it was taken.
//! It must never change once made, but for the text, which is made once.

use std::sync::{Arc, OnceLock};

use hyper::body::Bytes;

use super::process;
use crate::{
    metrics::{self, Format, Readings, Sections},
    model::snapshot::Snapshot,
};

/// One snapshot and the text made of it, shared by all who asked for it.
pub struct Reading {
    /// What was read.
    pub snapshot: Arc<Snapshot>,
    text: OnceLock<Result<Bytes, String>>,
}

impl Reading {
    /// Wraps a snapshot.
    #[must_use]
    pub fn new(snapshot: Snapshot) -> Self {
        Self {
            snapshot: Arc::new(snapshot),
            text: OnceLock::new(),
        }
    }

    /// The metrics, rendered by the first who asks.
    ///
    /// # Errors
    /// When a metric's declaration breaks a rule of the format.
    pub fn text(&self) -> Result<Bytes, &str> {
        let render = || {
            let readings = Readings {
                snapshot: Arc::clone(&self.snapshot),
                process: Some(process::read()),
                scrapes: None,
            };
            metrics::write(&readings, Sections::ALL, Format::Text)
                .map(Bytes::from)
                .map_err(|error| error.to_string())
        };
        match self.text.get_or_init(render) {
            Ok(text) => Ok(text.clone()),
            Err(reason) => Err(reason),
        }
    }
}
