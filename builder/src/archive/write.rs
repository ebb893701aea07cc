//! Writing tar: GNU long names, no time, no owner.

use std::io::{self, Read, Write};
use std::path::Path;

use tar::{EntryType, Header};

/// Writes a tar stream whose bytes depend on names, modes and contents alone.
///
/// The end-of-archive blocks are written by [`TarWriter::finish`] alone: a stream that
/// failed half-way must not look whole.
pub(crate) struct TarWriter<W: Write> {
    /// Gone once it was finished.
    builder: Option<tar::Builder<Gate<W>>>,
}

/// Lets the end-of-archive blocks through or not: the library writes them when it is dropped.
struct Gate<W> {
    inner: W,
    shut: bool,
}

impl<W: Write> Write for Gate<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.shut { Ok(bytes.len()) } else { self.inner.write(bytes) }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

impl<W: Write> Drop for TarWriter<W> {
    fn drop(&mut self) {
        if let Some(builder) = &mut self.builder {
            builder.get_mut().shut = true;
        }
    }
}

impl<W: Write> TarWriter<W> {
    pub(crate) fn new(inner: W) -> Self {
        Self { builder: Some(tar::Builder::new(Gate { inner, shut: false })) }
    }

    pub(crate) fn folder(&mut self, path: &Path) -> io::Result<()> {
        // Folders end with a slash, as tar itself writes them.
        self.open()?.append_data(&mut header(EntryType::Directory, 0o755, 0), path.join(""), io::empty())
    }

    /// Writes a file of exactly `size` bytes; a file that has shrunk is an error, one
    /// that has grown is cut.
    pub(crate) fn file(&mut self, path: &Path, mode: u32, size: u64, content: impl Read) -> io::Result<()> {
        let mut exact = Exact { inner: content.take(size), missing: size };
        self.open()?.append_data(&mut header(EntryType::Regular, mode, size), path, &mut exact)?;
        if exact.missing > 0 {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, format!("{} became shorter while it was read", path.display())));
        }
        Ok(())
    }

    pub(crate) fn link(&mut self, path: &Path, target: &Path) -> io::Result<()> {
        self.open()?.append_link(&mut header(EntryType::Symlink, 0o777, 0), path, target)
    }

    /// Ends the archive.
    pub(crate) fn finish(mut self) -> io::Result<W> {
        self.end(false)
    }

    /// Ends a piece of an archive, after which another piece or the end follows.
    pub(crate) fn leave_open(mut self) -> io::Result<W> {
        self.end(true)
    }

    fn end(&mut self, shut: bool) -> io::Result<W> {
        self.open()?.get_mut().shut = shut;
        let builder = self.builder.take().ok_or_else(finished)?;
        Ok(builder.into_inner()?.inner)
    }

    fn open(&mut self) -> io::Result<&mut tar::Builder<Gate<W>>> {
        self.builder.as_mut().ok_or_else(finished)
    }
}

fn finished() -> io::Error {
    io::Error::other("the archive is finished already")
}

struct Exact<R> {
    inner: io::Take<R>,
    missing: u64,
}

impl<R: Read> Read for Exact<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.missing = self.missing.saturating_sub(count as u64);
        Ok(count)
    }
}

fn header(kind: EntryType, mode: u32, size: u64) -> Header {
    let mut header = Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_size(size);
    header.set_mtime(0);
    header.set_uid(0);
    header.set_gid(0);
    header
}
