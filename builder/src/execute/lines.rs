//! Bytes of a command's output as lines, each of bounded length.

use crate::limits;

/// Collects bytes into lines. A carriage return starts the line again, as on a terminal.
#[derive(Default)]
pub(super) struct Lines {
    line: Vec<u8>,
    returned: bool,
}

impl Lines {
    /// Takes the next bytes and hands each complete line on.
    pub(super) fn push(&mut self, bytes: &[u8], mut line: impl FnMut(&[u8])) {
        for &byte in bytes {
            match byte {
                b'\n' => {
                    line(&self.line);
                    self.line.clear();
                    self.returned = false;
                }
                b'\r' => self.returned = true,
                _ => {
                    if std::mem::take(&mut self.returned) {
                        self.line.clear();
                    }
                    if self.line.len() < limits::OUTPUT_LINE_BYTES_MAX {
                        self.line.push(byte);
                    }
                }
            }
        }
    }

    /// What came after the last line break.
    pub(super) fn rest(self) -> Option<Vec<u8>> {
        Some(self.line).filter(|line| !line.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_cut_by_line_feeds_overwritten_by_returns_and_bounded() {
        let mut lines = Lines::default();
        let mut seen = Vec::new();
        for chunk in [&b"one\r\ntw"[..], b"o\n10%\r50%\r100%\n", &[b'x'; 9_000], b"\nrest"] {
            lines.push(chunk, |line| seen.push(String::from_utf8_lossy(line).into_owned()));
        }
        assert_eq!(&seen[..3], ["one", "two", "100%"]);
        assert_eq!(seen[3].len(), limits::OUTPUT_LINE_BYTES_MAX);
        assert_eq!(lines.rest().as_deref(), Some(&b"rest"[..]));
    }
}
