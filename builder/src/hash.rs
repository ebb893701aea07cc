//! SHA-256 in hexadecimal.

use std::io::{self, Read, Write};

use sha2::{Digest, Sha256};

pub(crate) fn hex(content: &[u8]) -> String {
    in_hex(&Sha256::digest(content))
}

/// The digest of everything that a reader still holds, and how much that was.
pub(crate) fn of_reader(reader: &mut impl Read) -> io::Result<(String, u64)> {
    let mut hasher = Hashing::new(io::sink());
    io::copy(reader, &mut hasher)?;
    let (_, digest, bytes) = hasher.finish();
    Ok((digest, bytes))
}

/// A writer that hashes and counts what goes through it.
pub(crate) struct Hashing<W> {
    inner: W,
    hasher: Sha256,
    bytes: u64,
}

impl<W: Write> Hashing<W> {
    pub(crate) fn new(inner: W) -> Self {
        Self { inner, hasher: Sha256::new(), bytes: 0 }
    }

    pub(crate) fn finish(self) -> (W, String, u64) {
        (self.inner, in_hex(&self.hasher.finalize()), self.bytes)
    }
}

impl<W: Write> Write for Hashing<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.inner.write(bytes)?;
        self.hasher.update(&bytes[..count]);
        self.bytes += count as u64;
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

fn in_hex(digest: &[u8]) -> String {
    let mut text = String::with_capacity(digest.len() * 2);
    for byte in digest {
        for nibble in [byte >> 4, byte & 15] {
            text.push(char::from_digit(u32::from(nibble), 16).unwrap_or('0'));
        }
    }
    text
}
