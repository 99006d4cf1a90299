//! The ring buffer of events and the programs' log, for the thread that reads them.

use std::os::fd::AsFd;

use aya::maps::{MapData, RingBuf};
use aya_log::EbpfLogger;
use tracing::warn;

use crate::bpf::{Error, loaded_object::Object};

/// The ring buffer of events.
pub struct EventBuffer(RingBuf<MapData>);

impl EventBuffer {
    /// Takes it out of the loaded object.
    ///
    /// # Errors
    /// When the object has none.
    pub fn take(object: &mut Object) -> Result<Self, Error> {
        object.map("EVENTS").map(Self)
    }

    /// Hands the next record to `read`; `None` when there is none.
    pub fn next<T>(&mut self, read: impl FnOnce(&[u8]) -> T) -> Option<T> {
        self.0.next().map(|item| read(&item))
    }

    /// What becomes readable when the kernel wakes its reader.
    pub const fn readable(&self) -> &impl AsFd {
        &self.0
    }
}

/// The log of the kernel programs.
pub struct KernelLog(EbpfLogger<&'static dyn log::Log>);

impl KernelLog {
    /// Opens it; `None`, having said so, where the kernel side cannot log.
    pub fn open(object: &mut Object) -> Option<Self> {
        EbpfLogger::init(&mut object.ebpf)
            .inspect_err(|error| warn!(%error, "the kernel programs cannot log"))
            .ok()
            .map(Self)
    }

    /// Writes what has been logged.
    pub fn flush(&mut self) {
        self.0.flush();
    }

    /// What becomes readable when there is something to write.
    pub const fn readable(&self) -> &impl AsFd {
        &self.0
    }
}
