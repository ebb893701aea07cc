//! What text needs before a terminal gets it: control characters out, times and
//! sizes in people's words, columns aligned.

use jiff::Timestamp;
use jiff::tz::TimeZone;

/// What rendering depends on besides the reply.
#[derive(Debug, Clone)]
pub struct View {
    /// Now.
    pub now: Timestamp,
    /// Where the reader is.
    pub zone: TimeZone,
    /// Whether to colour.
    pub color: bool,
    /// Whether standard output is a terminal.
    pub terminal: bool,
}

/// A colour; it never carries meaning alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Color {
    /// Trouble.
    Red,
    /// All well.
    Green,
    /// Worth a look.
    Yellow,
    /// Less important.
    Dim,
    /// A heading.
    Bold,
    /// One of six that tell processes apart.
    Process(usize),
}

const PROCESS_CODES: [&str; 6] = ["36", "33", "32", "35", "34", "96"];

/// Colours a text if the reader wants it.
pub fn paint(text: &str, color: Color, wanted: bool) -> String {
    let code = match color {
        Color::Red => "31",
        Color::Green => "32",
        Color::Yellow => "33",
        Color::Dim => "2",
        Color::Bold => "1",
        Color::Process(number) => PROCESS_CODES[number % PROCESS_CODES.len()],
    };
    if wanted { format!("\u{1b}[{code}m{text}\u{1b}[0m") } else { text.to_owned() }
}

/// How wide a tab is shown.
const TAB: &str = "    ";

/// A text without anything that could drive a terminal: escape sequences, control
/// characters, marks that turn the direction of writing. Tabs become blanks.
pub fn plain(text: &str) -> String {
    model::text::clean(&text.replace('\t', TAB), usize::MAX)
}

/// The beginning of a text, at most so many bytes, whole characters only.
pub fn cut(text: &str, bytes_max: usize) -> &str {
    &text[..text.floor_char_boundary(bytes_max)]
}

/// `2026/01/02 15:04:05 +0000 (~ 1h ago)`.
pub fn when(unix_ms: i64, view: &View) -> String {
    format!("{} (~ {} ago)", date(unix_ms, view), duration_short((view.now.as_millisecond() - unix_ms) / 1_000))
}

/// `2026/01/02 15:04:05 +0000`.
pub fn date(unix_ms: i64, view: &View) -> String {
    Timestamp::from_millisecond(unix_ms)
        .map_or_else(|_| "?".to_owned(), |at| at.to_zoned_datetime(view.zone.clone()).strftime("%Y/%m/%d %H:%M:%S %z").to_string())
}

/// `45s`, `3m`, `1h`, `2d`.
pub fn duration_short(seconds: i64) -> String {
    match seconds {
        ..0 => "0s".to_owned(),
        0..60 => format!("{seconds}s"),
        60..3_600 => format!("{}m", seconds / 60),
        3_600..86_400 => format!("{}h", seconds / 3_600),
        _ => format!("{}d", seconds / 86_400),
    }
}

/// `0.8 s`, `6.2 s`, `2 min 5 s`, `3 h 12 min`.
pub fn duration(milliseconds: u64) -> String {
    let seconds = milliseconds / 1_000;
    match seconds {
        0..60 => format!("{seconds}.{} s", milliseconds % 1_000 / 100),
        60..3_600 => format!("{} min {} s", seconds / 60, seconds % 60),
        3_600..86_400 => format!("{} h {} min", seconds / 3_600, seconds % 3_600 / 60),
        _ => format!("{} d {} h", seconds / 86_400, seconds % 86_400 / 3_600),
    }
}

/// `12.4 MB`.
pub fn bytes(bytes: u64) -> String {
    let units = [(1_000_000_000_000, "TB"), (1_000_000_000, "GB"), (1_000_000, "MB"), (1_000, "kB")];
    match units.into_iter().find(|(size, _)| bytes >= *size) {
        None => format!("{bytes} B"),
        Some((size, unit)) => format!("{}.{} {unit}", bytes / size, bytes % size / (size / 10)),
    }
}

/// The short form of a commit.
pub fn commit(commit: &str) -> String {
    plain(cut(commit, 7))
}

/// Rows in columns two blanks apart; the last column is never padded. Cells are made
/// plain, so whatever an app wrote stays in its cell.
pub fn table(rows: &[Vec<String>]) -> String {
    let rows: Vec<Vec<String>> = rows.iter().map(|row| row.iter().map(|cell| plain(cell)).collect()).collect();
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns)
        .map(|column| rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max().unwrap_or(0))
        .collect();
    let mut text = String::new();
    for row in &rows {
        let cells: Vec<String> = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        text.push_str(cells.join("  ").trim_end());
        text.push('\n');
    }
    text
}

/// Lines joined to a text, each with its end.
pub fn lines<T: std::fmt::Display>(lines: impl IntoIterator<Item = T>) -> String {
    lines.into_iter().fold(String::new(), |mut text, line| {
        text.push_str(&line.to_string());
        text.push('\n');
        text
    })
}

/// Names and values in two columns: `Name:  value`.
pub fn pairs(pairs: &[(&str, String)]) -> String {
    table(&pairs.iter().map(|(name, value)| vec![format!("{name}:"), value.clone()]).collect::<Vec<_>>())
}

#[cfg(test)]
pub mod tests {
    use super::*;

    /// 2026-01-02 16:04:05 UTC, without colour.
    pub fn view() -> View {
        View { now: "2026-01-02T16:04:05Z".parse().expect("time"), zone: TimeZone::UTC, color: false, terminal: false }
    }

    /// An hour before now, in milliseconds since 1970.
    pub fn hour_ago() -> i64 {
        view().now.as_millisecond() - 3_600_000
    }

    #[test]
    fn nothing_that_drives_a_terminal_is_left() {
        for (text, expected) in [
            ("plain\ttext ünï", "plain    text ünï"),
            ("\u{1b}[31mred\u{1b}[0m", "red"),
            ("a\rb\u{8}c\u{7}", "abc"),
            ("\u{1b}]0;title\u{7}x", "x"),
            ("\u{202e}abc\u{2066}", "abc"),
        ] {
            assert_eq!(plain(text), expected, "{text:?}");
        }
    }

    #[test]
    fn times_and_sizes_read_as_people_say_them() {
        assert_eq!(when(hour_ago(), &view()), "2026/01/02 15:04:05 +0000 (~ 1h ago)");
        assert_eq!(duration_short(-5), "0s");
        assert_eq!(duration_short(200_000), "2d");
        assert_eq!((duration(845), duration(125_000)), ("0.8 s".to_owned(), "2 min 5 s".to_owned()));
        for (count, expected) in
            [(0, "0 B"), (999, "999 B"), (1_000, "1.0 kB"), (12_400_000, "12.4 MB"), (999_999, "999.9 kB"), (5_000_000_000_000, "5.0 TB")]
        {
            assert_eq!(bytes(count), expected);
        }
    }

    #[test]
    fn columns_are_aligned_and_cells_cannot_break_out() {
        let rows = [vec!["a".to_owned(), "x\n\u{1b}[2Jy".to_owned(), String::new()], vec!["long".to_owned(), "z".to_owned()]];
        assert_eq!(table(&rows), "a     xy\nlong  z\n");
    }

    proptest::proptest! {
        #[test]
        fn any_text_becomes_plain(text in ".*|(\u{1b}|\\[|\\]|m|\u{7}|;|é){0,20}") {
            let plain = plain(&text);
            proptest::prop_assert!(!plain.chars().any(model::text::is_unsafe));
        }
    }
}
