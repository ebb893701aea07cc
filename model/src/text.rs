//! Text that an app, its build or its author wrote, made safe for a terminal.

/// How far the end of an escape string is looked for.
const ESCAPE_STRING_CHARS_MAX: usize = 1_024;

/// One line without control characters (C0, C1, bidi) and escape sequences, cut to
/// `chars_max` characters. Tabs become spaces; line breaks go like any control
/// character, so the result is one line.
///
/// ```
/// assert_eq!(model::text::clean("\u{1b}[31mred\u{1b}[0m\r\n", 80), "red");
/// ```
pub fn clean(text: &str, chars_max: usize) -> String {
    let mut clean = String::with_capacity(text.len().min(chars_max.saturating_mul(4)));
    let mut room = chars_max;
    let mut chars = text.chars();
    while let Some(char) = chars.next() {
        match char {
            '\u{1b}' => skip_escape(&mut chars),
            '\u{9b}' => skip_control_sequence(&mut chars),
            _ if is_unsafe(char) && char != '\t' => {}
            _ if room == 0 => {
                clean.pop();
                clean.push('…');
                return clean;
            }
            _ => {
                clean.push(if char == '\t' { ' ' } else { char });
                room -= 1;
            }
        }
    }
    clean
}

/// Bytes as [`clean`] text; what is not UTF-8 becomes `U+FFFD`.
pub fn clean_bytes(bytes: &[u8], chars_max: usize) -> String {
    clean(&String::from_utf8_lossy(bytes), chars_max)
}

/// Whether a character could drive a terminal or reorder what is read: C0, DEL, C1,
/// bidi controls, line and paragraph separators.
pub fn is_unsafe(char: char) -> bool {
    char.is_control()
        || matches!(char, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// What follows ESC: a control sequence, a string up to its end, or one character.
fn skip_escape(chars: &mut std::str::Chars<'_>) {
    let mut ahead = chars.clone();
    match ahead.next() {
        Some('[') => {
            *chars = ahead;
            skip_control_sequence(chars);
        }
        Some(']' | 'P' | 'X' | '^' | '_') => {
            // A string without its end would swallow the line: then only ESC goes.
            for _ in 0..ESCAPE_STRING_CHARS_MAX {
                let Some(char) = ahead.next() else { return };
                if char == '\u{7}' || char == '\u{9c}' {
                    *chars = ahead;
                    return;
                }
                if char == '\u{1b}' {
                    ahead.next();
                    *chars = ahead;
                    return;
                }
            }
        }
        _ => {}
    }
}

fn skip_control_sequence(chars: &mut std::str::Chars<'_>) {
    let mut ahead = chars.clone();
    while let Some(char) = ahead.next() {
        match char {
            ' '..='?' => {}
            '@'..='~' => {
                *chars = ahead;
                return;
            }
            _ => return,
        }
    }
}

/// A number of bytes as people read it: `12.4 MB` (powers of 1000).
pub fn bytes(count: u64) -> String {
    const UNITS: [(&str, u64); 4] = [("TB", 1_000_000_000_000), ("GB", 1_000_000_000), ("MB", 1_000_000), ("KB", 1_000)];
    for (unit, size) in UNITS {
        if count >= size {
            let tenths = count / (size / 10);
            return format!("{}.{} {unit}", tenths / 10, tenths % 10);
        }
    }
    format!("{count} B")
}

/// A time as people read it: `0.8 s`, `75 s`, `2 min 5 s`, `10 min`, `2 h 5 min`, `3 d`.
pub fn milliseconds(count: u64) -> String {
    let seconds = count / 1_000;
    let two = |large: u64, large_unit: &str, small: u64, small_unit: &str| match small {
        0 => format!("{large} {large_unit}"),
        _ => format!("{large} {large_unit} {small} {small_unit}"),
    };
    match seconds {
        0..10 => format!("{seconds}.{} s", count % 1_000 / 100),
        10..120 => format!("{seconds} s"),
        120..7_200 => two(seconds / 60, "min", seconds % 60, "s"),
        7_200..172_800 => two(seconds / 3_600, "h", seconds % 3_600 / 60, "min"),
        _ => two(seconds / 86_400, "d", seconds % 86_400 / 3_600, "h"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_drives_a_terminal_goes_and_text_stays() {
        assert_eq!(clean("a\u{1b}[1;31mb\u{1b}[0mc", 80), "abc");
        assert_eq!(clean("a\u{1b}]0;title\u{7}b\u{1b}]8;;x\u{1b}\\c", 80), "abc");
        assert_eq!(clean("one\r\n-----> two\u{202e}\u{85}\tü", 80), "one-----> two ü");
        assert_eq!(clean("\u{1b}]never ends", 80), "]never ends");
        assert_eq!(clean("\u{9b}31mred", 80), "red");
    }

    #[test]
    fn a_long_line_is_cut_and_says_so() {
        assert_eq!(clean("abcdef", 6), "abcdef");
        assert_eq!(clean("abcdefg", 6), "abcde…");
    }

    #[test]
    fn numbers_read_as_people_say_them() {
        let sizes = [999, 12_449_999, 1_000_000_000, 2_500_000_000_000].map(bytes);
        assert_eq!(sizes, ["999 B", "12.4 MB", "1.0 GB", "2.5 TB"]);
        let short = [0, 840, 9_999, 14_200, 75_000, 119_999].map(milliseconds);
        assert_eq!(short, ["0.0 s", "0.8 s", "9.9 s", "14 s", "75 s", "119 s"]);
        let long = [125_000, 600_000, 7_200_000, 11_520_000, 259_200_000].map(milliseconds);
        assert_eq!(long, ["2 min 5 s", "10 min", "2 h", "3 h 12 min", "3 d"]);
    }

    proptest! {
        #[test]
        fn no_text_keeps_an_unsafe_character_or_its_length(text in any::<String>(), max in 1_usize..50) {
            let clean = clean(&text, max);
            prop_assert!(!clean.chars().any(is_unsafe));
            prop_assert!(clean.chars().count() <= max);
        }
    }
}
