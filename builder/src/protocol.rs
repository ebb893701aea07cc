//! What the server and a build say to each other: one spec in, lines of events out.
//!
//! Both ends come from the same binary, but the events are read as hostile input: a
//! build runs what its author wrote.

use std::collections::BTreeMap;
use std::io::Read as _;

use model::text::clean;
use serde::{Deserialize, Serialize};

use crate::{Problem, limits};

/// What to build. Written as JSON to the build's stdin. No `Debug`: it holds secrets.
#[derive(Clone, Default, Serialize, Deserialize)]
pub struct BuildSpec {
    /// The app.
    pub app: String,
    /// Number of the build within the app.
    pub number: u32,
    /// The commit, 40 hexadecimal digits.
    pub commit: String,
    /// The app's config vars.
    #[serde(default)]
    pub config: BTreeMap<String, String>,
    /// What [`crate::environment::allowed_from_host`] left of the host's environment.
    #[serde(default)]
    pub host_environment: BTreeMap<String, String>,
    /// pyenv and nvm folders, single installations.
    #[serde(default)]
    pub toolchain_roots: Vec<String>,
    /// Buildpacks to use, in order; none means detecting.
    #[serde(default)]
    pub buildpacks: Vec<String>,
    /// Whether kept dependencies may be used. New ones are kept either way.
    pub use_cache: bool,
    /// Ends after the plan (`git push -o dry-run`).
    #[serde(default)]
    pub plan_only: bool,
    /// Process type → count of the release that serves, to name what vanishes.
    #[serde(default)]
    pub formation: BTreeMap<String, u32>,
}

impl BuildSpec {
    /// Reads a spec.
    pub fn read(reader: impl std::io::Read) -> Result<Self, ProtocolError> {
        let mut bytes = Vec::new();
        std::io::Read::take(reader, limits::SPEC_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(ProtocolError::Read)?;
        if bytes.len() as u64 > limits::SPEC_BYTES_MAX {
            return Err(ProtocolError::TooLong);
        }
        serde_json::from_slice(&bytes).map_err(ProtocolError::Malformed)
    }
}

/// What a build tells, one JSON line each. `Failed` or `Done` is the last one; after
/// `Planned` of a dry run nothing more comes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BuildEvent {
    /// A new step: `-----> Using Python 3.11.7`.
    Step(String),
    /// A line below the step.
    Detail(String),
    /// Something is odd: ` !     …`.
    Problem(String),
    /// A line that a command printed.
    Output(String),
    /// The step still goes on.
    Progress(String),
    /// What will be done.
    Planned(Planned),
    /// The slug is written.
    Done(Done),
    /// It failed.
    Failed(Problem),
}

/// What the server must know of the plan.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Planned {
    /// The app has a PostgreSQL driver among its dependencies.
    pub needs_postgresql: bool,
}

/// What the server must know of the result; all else is in the manifest inside the slug.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Done {
    /// Step → milliseconds.
    pub timings_ms: BTreeMap<String, u64>,
}

/// A message that cannot be understood.
#[derive(Debug, thiserror::Error)]
pub enum ProtocolError {
    /// It cannot be read.
    #[error("the message cannot be read")]
    Read(#[source] std::io::Error),
    /// It is over its limit.
    #[error("the message is too long")]
    TooLong,
    /// Its JSON is not what was expected.
    #[error("the message is not understood")]
    Malformed(#[source] serde_json::Error),
}

impl BuildEvent {
    /// The event as a line, its end included.
    pub fn encode(&self) -> Result<Vec<u8>, ProtocolError> {
        let mut line = serde_json::to_vec(self).map_err(ProtocolError::Malformed)?;
        line.push(b'\n');
        Ok(line)
    }

    /// An event from a line; its texts are cleaned and cut.
    pub fn decode(line: &[u8]) -> Result<Self, ProtocolError> {
        if line.len() > limits::EVENT_LINE_BYTES_MAX {
            return Err(ProtocolError::TooLong);
        }
        serde_json::from_slice::<Self>(line).map(Self::cleaned).map_err(ProtocolError::Malformed)
    }

    /// The lines that people see, `----->` and indentation included. `Planned` and
    /// `Done` have none.
    pub fn render(&self) -> Vec<String> {
        match self {
            Self::Step(text) => vec![format!("-----> {text}")],
            Self::Detail(text) | Self::Output(text) | Self::Progress(text) => vec![format!("       {text}")],
            Self::Problem(text) => vec![format!(" !     {text}")],
            Self::Planned(_) | Self::Done(_) => Vec::new(),
            Self::Failed(problem) => {
                let why = problem.why.iter().flat_map(|why| why.split('\n'));
                let lines = std::iter::once(problem.what.as_str()).chain(why).chain(problem.fix.as_deref());
                lines.map(|line| format!(" !     {line}")).collect()
            }
        }
    }

    fn cleaned(self) -> Self {
        match self {
            Self::Step(text) => Self::Step(line(&text)),
            Self::Detail(text) => Self::Detail(line(&text)),
            Self::Problem(text) => Self::Problem(line(&text)),
            Self::Output(text) => Self::Output(line(&text)),
            Self::Progress(text) => Self::Progress(line(&text)),
            Self::Planned(planned) => Self::Planned(planned),
            Self::Done(done) => Self::Done(Done {
                timings_ms: done.timings_ms.into_iter().take(limits::EVENT_LIST_MAX).map(|(name, ms)| (line(&name), ms)).collect(),
            }),
            Self::Failed(problem) => Self::Failed(Problem {
                code: line(&problem.code).into(),
                what: line(&problem.what),
                // The only text of several lines: a line of a file and the caret below it.
                why: problem.why.map(|why| why.split('\n').take(limits::PROBLEM_LINES_MAX).map(line).collect::<Vec<_>>().join("\n")),
                fix: problem.fix.as_deref().map(line),
                file: problem.file.as_deref().map(|file| line(file).into()),
                ..problem
            }),
        }
    }
}

fn line(text: &str) -> String {
    clean(text, limits::EVENT_TEXT_CHARS_MAX)
}

/// Cuts a stream of bytes into events, however the bytes arrive.
#[derive(Debug, Default)]
pub struct EventParser {
    pending: Vec<u8>,
    skipping: bool,
}

impl EventParser {
    /// Takes the next bytes and returns the events that they complete. A line that is
    /// too long or not understood is an error of its own; later ones are still read.
    pub fn push(&mut self, bytes: &[u8]) -> Vec<Result<BuildEvent, ProtocolError>> {
        let mut events = Vec::new();
        for chunk in bytes.split_inclusive(|byte| *byte == b'\n') {
            let (text, complete) = chunk.strip_suffix(b"\n").map_or((chunk, false), |text| (text, true));
            if self.pending.len() + text.len() > limits::EVENT_LINE_BYTES_MAX {
                if !self.skipping {
                    events.push(Err(ProtocolError::TooLong));
                }
                self.skipping = true;
                self.pending = Vec::new();
            } else if !self.skipping {
                self.pending.extend_from_slice(text);
            }
            if complete {
                if !self.skipping && !self.pending.is_empty() {
                    events.push(BuildEvent::decode(&self.pending));
                }
                self.pending.clear();
                self.skipping = false;
            }
        }
        events
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn an_event_survives_its_way_and_renders_as_the_author_sees_it() {
        let failed = BuildEvent::Failed(Problem::new("x", "what").why("web gunicorn\n    ^").fix("fix"));
        for event in [BuildEvent::Step("a".to_owned()), BuildEvent::Done(Done::default()), failed.clone()] {
            assert_eq!(BuildEvent::decode(event.encode().expect("encodes").trim_ascii_end()).expect("decodes"), event);
        }
        assert_eq!(failed.render(), [" !     what", " !     web gunicorn", " !         ^", " !     fix"]);
        assert_eq!(BuildEvent::Step("Python app detected".to_owned()).render(), ["-----> Python app detected"]);
        assert_eq!(BuildEvent::Output("x".to_owned()).render(), ["       x"]);
    }

    #[test]
    fn output_cannot_forge_a_step() {
        let hostile = BuildEvent::Output("x\r\n\u{1b}[2K-----> Switched traffic".to_owned());
        let received = BuildEvent::decode(&hostile.encode().expect("encodes")).expect("decodes");
        assert_eq!(received.render(), ["       x-----> Switched traffic"]);
    }

    #[test]
    fn a_line_that_is_too_long_costs_itself_only() {
        let mut parser = EventParser::default();
        let mut results = parser.push(&vec![b'x'; limits::EVENT_LINE_BYTES_MAX + 1]);
        results.extend(parser.push(b"more of it\n{\"step\":\"a\"}\nnot json\n{\"detail\":"));
        results.extend(parser.push(b"\"b\"}\n"));
        let texts: Vec<_> = results.into_iter().map(|r| r.map_err(|e| e.to_string())).collect();
        assert_eq!(texts.len(), 4);
        assert_eq!(texts[1], Ok(BuildEvent::Step("a".to_owned())));
        assert!(texts[0].is_err() && texts[2].is_err());
        assert_eq!(texts[3], Ok(BuildEvent::Detail("b".to_owned())));
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_parser_panic_or_grow(chunks in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..200), 0..20)) {
            let mut parser = EventParser::default();
            for chunk in chunks {
                parser.push(&chunk);
                prop_assert!(parser.pending.len() <= limits::EVENT_LINE_BYTES_MAX);
            }
        }
    }
}
