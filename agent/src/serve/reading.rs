//! One snapshot with what is written of it, for all who asked while it was taken.
//! It must never change once made, but for what is written, each of which is made once.

use std::{
    collections::BTreeMap,
    io::{self, Write},
    sync::{Arc, Mutex, OnceLock, PoisonError},
    time::Duration,
};

use flate2::{Compression, write::GzEncoder};
use hyper::body::Bytes;

use super::{exposition, negotiate::Encoding, process};
use halfopen_core::{
    metrics::{Format, Readings, Scrapes, Sections},
    model::snapshot::Snapshot,
};

/// One snapshot and what is written of it, shared by all who asked for it.
pub struct Reading {
    /// What was read.
    pub snapshot: Arc<Snapshot>,
    /// How long that took.
    pub duration: Duration,
    pages: Mutex<BTreeMap<(Sections, Format), Arc<Page>>>,
}

/// The same in each encoding.
#[derive(Default)]
struct Page {
    plain: OnceLock<Result<Bytes, String>>,
    gzip: OnceLock<Result<Bytes, String>>,
}

impl Reading {
    /// Wraps a snapshot that took so long.
    #[must_use]
    pub fn new(snapshot: Snapshot, duration: Duration) -> Self {
        Self {
            snapshot: Arc::new(snapshot),
            duration,
            pages: Mutex::default(),
        }
    }

    /// Metrics, written by the first who asks for these sections in this way; `scrapes` is asked then.
    ///
    /// # Errors
    /// When a metric's declaration breaks a rule of the format.
    pub fn written(
        &self,
        sections: Sections,
        format: Format,
        encoding: Encoding,
        scrapes: impl FnOnce() -> Scrapes,
    ) -> Result<Bytes, String> {
        let page = {
            // Held only to look: writing takes milliseconds. A panic leaves the map whole.
            let mut pages = self.pages.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(pages.entry((sections, format)).or_default())
        };
        let write = || {
            let readings = Readings {
                snapshot: Arc::clone(&self.snapshot),
                process: Some(process::read()),
                scrapes: Some(Scrapes {
                    snapshot_duration: Some(self.duration),
                    ..scrapes()
                }),
            };
            let text = exposition::write(&readings, sections, format);
            text.map(Bytes::from).map_err(|error| error.to_string())
        };
        let plain = page.plain.get_or_init(write).clone()?;
        match encoding {
            Encoding::Identity => Ok(plain),
            Encoding::Gzip => {
                let pack = || pack(&plain).map_err(|error| error.to_string());
                page.gzip.get_or_init(pack).clone()
            }
        }
    }
}

/// The fastest level: the text shrinks to a tenth by it, and to little less by the others.
fn pack(text: &[u8]) -> io::Result<Bytes> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(text)?;
    encoder.finish().map(Bytes::from)
}

#[cfg(test)]
mod tests {
    use super::*;
    use halfopen_core::metrics::Section;

    #[test]
    fn each_is_written_once() {
        let reading = Reading::new(Snapshot::default(), Duration::ZERO);
        let written = |sections, format, encoding| {
            let bytes = reading.written(sections, format, encoding, Scrapes::default);
            bytes.unwrap().as_ptr()
        };
        let mut different = Vec::new();
        for sections in [Sections::ALL, Sections::without(&[Section::Process])] {
            for format in [Format::Text, Format::OpenMetrics] {
                for encoding in [Encoding::Identity, Encoding::Gzip] {
                    let first = written(sections, format, encoding);
                    assert_eq!(written(sections, format, encoding), first, "{format:?}");
                    assert!(!different.contains(&first));
                    different.push(first);
                }
            }
        }
    }
}
