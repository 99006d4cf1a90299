//! One snapshot with its renderings, shared by all requests that waited for it.
//!
//! # Invariants
//! Each combination of sections, format and encoding is rendered once.

use std::{
    collections::BTreeMap,
    io::{self, Write},
    sync::{Arc, Mutex, OnceLock, PoisonError},
    time::Duration,
};

use flate2::{Compression, write::GzEncoder};
use hyper::body::Bytes;

use super::{exposition, negotiate::Encoding};
use crate::host::process;
use halfopen_core::{
    metrics::{Format, Readings, Scrapes, Sections},
    model::snapshot::Snapshot,
};

/// One snapshot with its renderings.
pub struct RenderedSnapshot {
    /// The snapshot.
    pub snapshot: Arc<Snapshot>,
    /// How long taking it took.
    pub duration: Duration,
    pages: Mutex<BTreeMap<(Sections, Format), Arc<Page>>>,
}

/// One rendering, in each encoding.
#[derive(Default)]
struct Page {
    plain: OnceLock<Result<Bytes, String>>,
    gzip: OnceLock<Result<Bytes, String>>,
}

impl RenderedSnapshot {
    /// A snapshot without renderings; `duration` is how long taking it took.
    #[must_use]
    pub fn new(snapshot: Snapshot, duration: Duration) -> Self {
        Self {
            snapshot: Arc::new(snapshot),
            duration,
            pages: Mutex::default(),
        }
    }

    /// The metrics in this form; the first call renders them, and only then calls `scrapes`.
    ///
    /// # Errors
    /// When a metric's declaration breaks a rule of the format.
    pub fn render(
        &self,
        sections: Sections,
        format: Format,
        encoding: Encoding,
        scrapes: impl FnOnce() -> Scrapes,
    ) -> Result<Bytes, String> {
        let page = {
            // Not held while rendering, which takes milliseconds. The map is valid at every unlock.
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
                let compressed = || compress(&plain).map_err(|error| error.to_string());
                page.gzip.get_or_init(compressed).clone()
            }
        }
    }
}

/// The fastest level shrinks the text to a tenth; the others hardly save more.
fn compress(text: &[u8]) -> io::Result<Bytes> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(text)?;
    encoder.finish().map(Bytes::from)
}

#[cfg(test)]
mod tests {
    use super::*;
    use halfopen_core::metrics::Section;

    #[test]
    fn each_form_is_rendered_once() {
        let rendered = RenderedSnapshot::new(Snapshot::default(), Duration::ZERO);
        let render = |sections, format, encoding| {
            let bytes = rendered.render(sections, format, encoding, Scrapes::default);
            bytes.unwrap().as_ptr()
        };
        let mut different = Vec::new();
        for sections in [Sections::ALL, Sections::without(&[Section::Process])] {
            for format in [Format::Text, Format::OpenMetrics] {
                for encoding in [Encoding::Identity, Encoding::Gzip] {
                    let first = render(sections, format, encoding);
                    assert_eq!(render(sections, format, encoding), first, "{format:?}");
                    assert!(!different.contains(&first));
                    different.push(first);
                }
            }
        }
    }
}
