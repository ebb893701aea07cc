//! Ranges of versions as npm writes them: `20.x`, `>=18 <21`, `^20.1`, `18 || 20`.

use std::str::FromStr;

use builder::toolchains::Version;

use crate::limits;

/// Alternatives, each a list of intervals that must all hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Range(Vec<Vec<Interval>>);

/// From the first version on, up to but without the second.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Interval {
    from: Version,
    below: Option<Version>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct NotARange;

const ZERO: Version = Version { major: 0, minor: 0, patch: 0 };

impl Range {
    pub(super) fn holds(&self, version: Version) -> bool {
        let inside = |interval: &Interval| version >= interval.from && interval.below.is_none_or(|below| version < below);
        self.0.iter().any(|all| all.iter().all(inside))
    }

    /// Whether an alternative begins in this major version: `20.11.1` names 20.
    pub(super) fn names_major(&self, major: u32) -> bool {
        self.0.iter().any(|all| all.iter().map(|interval| interval.from).max().is_some_and(|from| from.major == major && from != ZERO))
    }
}

impl FromStr for Range {
    type Err = NotARange;

    fn from_str(text: &str) -> Result<Self, NotARange> {
        let alternatives: Result<Vec<_>, _> = text.split("||").take(limits::RANGE_COMPARATORS_MAX).map(alternative).collect();
        alternatives.map(Self)
    }
}

fn alternative(text: &str) -> Result<Vec<Interval>, NotARange> {
    if let Some((low, high)) = text.split_once(" - ") {
        let (low, high) = (Partial::parse(low)?, Partial::parse(high)?);
        return Ok(vec![Interval { from: low.lowest(), below: high.above() }]);
    }
    // `>= 18` is written with and without the space.
    let mut joined = text.trim().to_owned();
    for operator in [">=", "<=", ">", "<", "^", "~", "="] {
        while joined.contains(&format!("{operator} ")) {
            joined = joined.replace(&format!("{operator} "), operator);
        }
    }
    if joined.is_empty() {
        return Ok(vec![Interval { from: ZERO, below: None }]);
    }
    joined.split([' ', ',']).filter(|word| !word.is_empty()).take(limits::RANGE_COMPARATORS_MAX).map(comparator).collect()
}

fn comparator(word: &str) -> Result<Interval, NotARange> {
    let at = word.find(|c: char| !"<>=^~".contains(c)).ok_or(NotARange)?;
    let (operator, version) = word.split_at(at);
    let partial = Partial::parse(version)?;
    let from = partial.lowest();
    let (from, below) = match operator {
        "" | "=" => (from, partial.above()),
        ">=" => (from, None),
        ">" => (partial.above().ok_or(NotARange)?, None),
        "<" => (ZERO, Some(from)),
        "<=" => (ZERO, partial.above()),
        "~" | "~>" => (from, partial.up_to(partial.minor.map_or(0, |_| 1))),
        "^" if from.major > 0 || partial.minor.is_none() => (from, partial.up_to(0)),
        "^" if from.minor > 0 || partial.patch.is_none() => (from, partial.up_to(1)),
        "^" => (from, partial.up_to(2)),
        _ => return Err(NotARange),
    };
    Ok(Interval { from, below })
}

/// A version whose last numbers may be missing or `x`.
#[derive(Debug, Clone, Copy)]
struct Partial {
    major: Option<u32>,
    minor: Option<u32>,
    patch: Option<u32>,
}

impl Partial {
    fn parse(text: &str) -> Result<Self, NotARange> {
        let text = text.trim().trim_start_matches(['v', '=']);
        let text = text.split(['-', '+']).next().unwrap_or_default();
        let mut numbers = [None; 3];
        for (index, part) in text.split('.').enumerate() {
            let slot = numbers.get_mut(index).ok_or(NotARange)?;
            *slot = match part {
                "x" | "X" | "*" => break,
                number if number.len() <= 6 => Some(number.parse().map_err(|_| NotARange)?),
                _ => return Err(NotARange),
            };
        }
        Ok(Self { major: numbers[0], minor: numbers[1], patch: numbers[2] })
    }

    fn lowest(self) -> Version {
        Version::new(self.major.unwrap_or(0), self.minor.unwrap_or(0), self.patch.unwrap_or(0))
    }

    /// The first version after everything that this one stands for.
    fn above(self) -> Option<Version> {
        match (self.major, self.minor, self.patch) {
            (None, _, _) => None,
            (Some(_), None, _) => self.up_to(0),
            (Some(_), Some(_), None) => self.up_to(1),
            (Some(_), Some(_), Some(_)) => self.up_to(2),
        }
    }

    /// The lowest version with the number at this place raised by one.
    fn up_to(self, place: u32) -> Option<Version> {
        let Version { major, minor, patch } = self.lowest();
        self.major?;
        Some(match place {
            0 => Version::new(major + 1, 0, 0),
            1 => Version::new(major, minor + 1, 0),
            _ => Version::new(major, minor, patch + 1),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_hold_what_npm_says_they_hold() {
        let cases: [(&str, &[&str], &[&str]); 17] = [
            ("20", &["20.0.0", "20.20.2"], &["19.9.9", "21.0.0"]),
            ("20.x", &["20.5.0"], &["21.0.0"]),
            ("v20.11.1", &["20.11.1"], &["20.11.2"]),
            (">=18", &["18.0.0", "22.1.0"], &["17.9.9"]),
            (">= 18 < 21", &["18.0.0", "20.9.9"], &["21.0.0"]),
            (">=18.0.0 <21.0.0", &["20.1.0"], &["21.0.0", "17.0.0"]),
            ("^20.1", &["20.1.0", "20.9.0"], &["20.0.9", "21.0.0"]),
            ("~20.1", &["20.1.9"], &["20.2.0"]),
            ("~20", &["20.9.9"], &["21.0.0"]),
            ("^0.8.1", &["0.8.9"], &["0.9.0"]),
            ("^0.0.3", &["0.0.3"], &["0.0.4"]),
            ("18 || 20", &["18.2.0", "20.2.0"], &["19.0.0"]),
            ("16 - 18", &["16.0.0", "18.9.9"], &["19.0.0"]),
            ("*", &["0.1.0", "99.0.0"], &[]),
            ("", &["20.0.0"], &[]),
            (">20", &["21.0.0"], &["20.9.9"]),
            ("<=20", &["20.9.9"], &["21.0.0"]),
        ];
        for (text, inside, outside) in cases {
            let range: Range = text.parse().expect(text);
            for version in inside {
                assert!(range.holds(version.parse().expect("version")), "{version} in {text}");
            }
            for version in outside {
                assert!(!range.holds(version.parse().expect("version")), "{version} not in {text}");
            }
        }
    }

    #[test]
    fn what_is_no_range_is_none() {
        for bad in ["lts/*", "node", "latest", "1.2.3.4", ">", "><1", "99999999999"] {
            assert_eq!(bad.parse::<Range>(), Err(NotARange), "{bad}");
        }
    }

    #[test]
    fn an_exact_version_names_its_major() {
        let names = |text: &str, major| text.parse::<Range>().expect(text).names_major(major);
        assert!(names("20.11.1", 20) && names("^20.99", 20) && names("18 || 20.99.1", 20));
        assert!(!names(">=22", 20) && !names("<18", 0) && !names("*", 0));
    }
}
