//! A file as the parser wants it, without holding all of it in memory: the types, which are read in
//! order, go by in a window; their names, which are not, are kept.

use std::{cell::RefCell, fs::File, io, os::unix::fs::FileExt};

use btfparse::{Error, ErrorKind, Readable, Result};

/// Bytes of the window.
const SIZE: usize = 64 * 1024;
/// `struct btf_header` (include/uapi/linux/btf.h).
const HEADER: usize = 24;
/// More names than any kernel has: a length beyond it is damage.
const MOST_NAMES: usize = 64 << 20;

/// A window into a file, and its names.
pub struct Windows<'a> {
    file: &'a File,
    names: Window,
    types: RefCell<Window>,
}

#[derive(Default)]
struct Window {
    start: u64,
    bytes: Vec<u8>,
}

impl Window {
    /// What the file has from there on, up to that length.
    fn read(file: &File, start: u64, length: usize) -> io::Result<Self> {
        let mut bytes = vec![0; length];
        let mut filled = 0;
        while let Some(rest) = bytes.get_mut(filled..).filter(|rest| !rest.is_empty()) {
            match file.read_at(rest, start + filled as u64)? {
                0 => break,
                read => filled += read,
            }
        }
        bytes.truncate(filled);
        Ok(Self { start, bytes })
    }

    /// The bytes from there on, if the window holds so many.
    fn get(&self, offset: u64, length: usize) -> Option<&[u8]> {
        let start = usize::try_from(offset.checked_sub(self.start)?).ok()?;
        self.bytes.get(start..)?.get(..length)
    }
}

impl<'a> Windows<'a> {
    /// On this file, which must not change. What is wrong with it shows when it is read.
    pub fn on(file: &'a File) -> Self {
        Self {
            file,
            names: names(file).unwrap_or_default(),
            types: RefCell::default(),
        }
    }
}

/// The section of names, where the header tells of one.
fn names(file: &File) -> Option<Window> {
    let header = Window::read(file, 0, HEADER).ok()?;
    let field = |at| Some(u32::from_ne_bytes(header.get(at, 4)?.try_into().ok()?));
    // hdr_len, str_off (from the header's end) and str_len.
    let start = u64::from(field(4)?) + u64::from(field(16)?);
    let length = usize::try_from(field(20)?).ok()?;
    (length <= MOST_NAMES)
        .then(|| Window::read(file, start, length).ok())
        .flatten()
}

impl Readable for Windows<'_> {
    fn read(&self, offset: u64, buffer: &mut [u8]) -> Result<()> {
        if let Some(found) = self.names.get(offset, buffer.len()) {
            buffer.copy_from_slice(found);
            return Ok(());
        }
        let mut types = self.types.borrow_mut();
        if types.get(offset, buffer.len()).is_none() {
            *types = Window::read(self.file, offset, buffer.len().max(SIZE))
                .map_err(|error| Error::new(ErrorKind::IOError, &error.to_string()))?;
        }
        let found = types
            .get(offset, buffer.len())
            .ok_or_else(|| Error::new(ErrorKind::IOError, "it ends too early"))?;
        buffer.copy_from_slice(found);
        Ok(())
    }
}
