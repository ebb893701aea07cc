//! The last lines that a run said.

use std::path::Path;

use crate::limits::{LAST_LINE_BYTES_MAX, LAST_LINES};

/// The last lines of a run in its instance's log folder, bounded and without control
/// characters. A folder that cannot be read has none: the end of a run is told anyway.
pub fn last_lines(folder: &Path, run: &str, since_unix_ms: i64) -> Vec<String> {
    let said_by_it = |_: usize, record: &logs::record::Record| record.subject == run;
    let since_unix_us = Some(since_unix_ms.saturating_mul(1_000));
    let query = logs::reader::Query { records: LAST_LINES, since_unix_us, keep: Some(&said_by_it), ..Default::default() };
    match logs::reader::tail(&[folder], &query) {
        Ok(tail) => tail.lines.iter().map(|line| shown(&line.record.text)).collect(),
        Err(error) => {
            tracing::debug!(%error, folder = %folder.display(), "the last lines of a run cannot be read");
            Vec::new()
        }
    }
}

fn shown(text: &[u8]) -> String {
    let text = &text[..text.len().min(LAST_LINE_BYTES_MAX)];
    String::from_utf8_lossy(text).chars().map(|c| if c == '\t' { ' ' } else { c }).filter(|c| !c.is_control()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_shown_without_control_characters_and_not_for_ever() {
        assert_eq!(shown(b"\x1b[31mred\x07\tend"), "[31mred end");
        assert_eq!(shown(&[b'x'; 10_000]).len(), LAST_LINE_BYTES_MAX);
        assert!(shown(&[0xff, 0xfe]).contains('\u{fffd}'));
    }

    #[test]
    fn no_folder_means_no_lines() {
        assert!(last_lines(Path::new("/nonexistent/logs"), "web.1-v7-42", 0).is_empty());
    }
}
