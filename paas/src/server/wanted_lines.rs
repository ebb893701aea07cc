//! Which log lines are asked for, one record at a time: nothing is read into memory to be
//! searched there.

use api::logs::{Line, Logs};
use api::{Failure, Kind};
use logs::Stream;
use logs::record::Record;
use model::AppNumber;
use regex::bytes::{Regex, RegexBuilder};

use super::app_logs::PLATFORM_FOLDER;

/// Bytes that a compiled pattern may take. Its time is linear in the text whatever it says.
const PATTERN_BYTES_MAX: usize = 1024 * 1024;
/// Longest pattern, in bytes.
const PATTERN_TEXT_BYTES_MAX: usize = 1_000;

/// Which lines are asked for.
pub(super) struct Wanted {
    /// What the router writes about the app: its number.
    subject: String,
    process: Option<String>,
    source: Option<String>,
    release: Option<String>,
    pattern: Option<Regex>,
}

impl Wanted {
    /// The lines of an app that a question is about.
    pub(super) fn new(number: AppNumber, query: &Logs) -> Result<Self, Failure> {
        let (process, source) = (query.process.clone(), query.source.clone());
        let release = query.release.as_ref().map(|release| if release.starts_with('v') { release.clone() } else { format!("v{release}") });
        let pattern = query.grep.as_deref().map(pattern).transpose()?;
        Ok(Self { subject: number.to_string(), process, source, release, pattern })
    }

    /// A record as the line that people see, if it is asked for.
    pub(super) fn line(&self, folder: &str, record: &Record) -> Option<Line> {
        // `-s router` picks it, but it is a part of paas: `paas[router]: …`, as on Heroku.
        let (picked_by, source, process) = match record.stamp.stream {
            Stream::Router if record.subject != self.subject => return None,
            Stream::Router => ("router", "paas", "router"),
            Stream::Platform if folder == PLATFORM_FOLDER => ("paas", "paas", record.subject.as_str()),
            Stream::Platform => ("paas", "paas", folder),
            Stream::Stdout | Stream::Stderr => ("app", "app", folder),
        };
        let type_of = process.rsplit_once('.').map_or(process, |(process_type, _)| process_type);
        if self.source.as_ref().is_some_and(|s| s != picked_by) || self.process.as_ref().is_some_and(|p| p != process && p != type_of) {
            return None;
        }
        let release = release_of(&record.subject).filter(|_| picked_by == "app");
        if self.release.as_deref().is_some_and(|wanted| release != Some(wanted)) {
            return None;
        }
        if self.pattern.as_ref().is_some_and(|pattern| !pattern.is_match(&record.text)) {
            return None;
        }
        Some(Line {
            at_unix_us: record.stamp.time_unix_us,
            source: source.to_owned(),
            process: process.to_owned(),
            release: release.map(str::to_owned),
            text: String::from_utf8_lossy(&record.text).into_owned(),
        })
    }
}

fn pattern(text: &str) -> Result<Regex, Failure> {
    let refused = |why: String| {
        Failure::new(Kind::Usage, "logs.pattern", "the pattern of --grep is no regular expression that can be searched for")
            .why(why)
            .fix(r"put a backslash before what is meant as it is: --grep 'GET /x\?y'")
    };
    if text.len() > PATTERN_TEXT_BYTES_MAX {
        return Err(refused(format!("it is longer than {PATTERN_TEXT_BYTES_MAX} bytes")));
    }
    RegexBuilder::new(text).size_limit(PATTERN_BYTES_MAX).build().map_err(|error| refused(error.to_string()))
}

/// `web.1-v7-42`, as the shim stamps each line of a run → `v7`.
fn release_of(subject: &str) -> Option<&str> {
    let (_, release) = subject.rsplit_once('-')?.0.rsplit_once('-')?;
    release.strip_prefix('v').filter(|number| !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()))?;
    Some(release)
}

#[cfg(test)]
mod tests {
    use super::*;
    use logs::record::Stamp;

    fn record(stream: Stream, subject: &str, text: &str) -> Record {
        let stamp = Stamp { sequence: 1, time_unix_us: 5, stream, partial: false, lost: false };
        Record { stamp, subject: subject.to_owned(), text: text.as_bytes().to_vec() }
    }

    fn query() -> Logs {
        Logs {
            app: "hello".to_owned(),
            lines: 10,
            tail: false,
            process: None,
            source: None,
            since_unix_us: None,
            until_unix_us: None,
            release: None,
            grep: None,
        }
    }

    fn is_wanted(query: &Logs, folder: &str, record: &Record) -> bool {
        Wanted::new(AppNumber(17), query).expect("a pattern").line(folder, record).is_some()
    }

    #[test]
    fn a_release_picks_what_its_processes_said() {
        let seven = Logs { release: Some("v7".to_owned()), ..query() };
        assert!(is_wanted(&seven, "web.1", &record(Stream::Stdout, "web.1-v7-42", "x")));
        assert!(is_wanted(&Logs { release: Some("7".to_owned()), ..query() }, "run.3", &record(Stream::Stderr, "run.3-v7-9", "x")));
        assert!(!is_wanted(&seven, "web.1", &record(Stream::Stdout, "web.1-v70-43", "x")));
        assert!(!is_wanted(&seven, "paas", &record(Stream::Platform, "web.1", "x")), "paas's own lines are of no release");
        assert!(is_wanted(&query(), "web.1", &record(Stream::Stdout, "", "a line from before releases were stamped")));
    }

    #[test]
    fn a_pattern_picks_lines_whatever_bytes_they_hold() {
        let grep = |pattern: &str| Logs { grep: Some(pattern.to_owned()), ..query() };
        let mut line = record(Stream::Stdout, "web.1-v7-42", "Error 500 at /x");
        assert!(is_wanted(&grep(r"(?i)error \d+"), "web.1", &line));
        assert!(!is_wanted(&grep("^500"), "web.1", &line));
        line.text.insert(0, 0xff);
        assert!(is_wanted(&grep("Error"), "web.1", &line));
    }

    #[test]
    fn a_pattern_that_would_cost_too_much_is_refused() {
        for pattern in ["(", "(a{1000}){1000}", &"a".repeat(2_000)] {
            let failure = Wanted::new(AppNumber(17), &Logs { grep: Some(pattern.to_owned()), ..query() }).err().expect("refused");
            assert_eq!(failure.code, "logs.pattern");
        }
    }
}
