//! What a run executes. Control makes it, the child alone reads it whole.

use crate::limits::SPEC_BYTES_MAX;
use crate::wire::{Encoder, Fields, Malformed};

const ARGUMENT: u16 = 1;
const VARIABLE: u16 = 2;
const WORKING_DIRECTORY: u16 = 3;
const STOP_SIGNAL: u16 = 4;
const OPEN_FILES: u16 = 5;
const HOSTNAME: u16 = 6;
const LOG_SUBJECT: u16 = 7;
const KEPT: u16 = 8;

/// What to execute and how. Made by control, read only after the user was dropped.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Spec {
    /// Command and arguments; the first is looked up in the spec's own `PATH`.
    pub argv: Vec<Vec<u8>>,
    /// Environment, whole: nothing else is inherited.
    pub env: Vec<(Vec<u8>, Vec<u8>)>,
    /// Working directory inside the sandbox.
    pub working_directory: Vec<u8>,
    /// The signal of a stop; 15 unless the program wants another (PostgreSQL: 2).
    pub stop_signal: i32,
    /// Soft limit of open files.
    pub open_files: u64,
    /// The host name inside.
    pub hostname: Vec<u8>,
    /// What each logged line is said to be about: the run. Two runs of an instance share
    /// its log folder during a switch. At most 255 bytes; empty for none.
    pub log_subject: Vec<u8>,
    /// What of `/app` lasts: see [`crate::kept`].
    pub kept: Vec<Vec<u8>>,
}

/// The few fields that the supervisor needs; nothing else is looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SupervisorFields {
    /// [`Spec::stop_signal`].
    pub stop_signal: i32,
    /// [`Spec::log_subject`].
    pub log_subject: String,
}

impl Spec {
    /// The durable form: unknown fields of a later version are ignored by this one.
    pub fn encode(&self) -> Vec<u8> {
        let mut encoder = Encoder::default();
        for argument in &self.argv {
            encoder = encoder.bytes(ARGUMENT, argument);
        }
        for (name, value) in &self.env {
            let mut variable = name.clone();
            variable.push(b'=');
            variable.extend_from_slice(value);
            encoder = encoder.bytes(VARIABLE, &variable);
        }
        if !self.log_subject.is_empty() {
            encoder = encoder.bytes(LOG_SUBJECT, &self.log_subject);
        }
        for path in &self.kept {
            encoder = encoder.bytes(KEPT, path);
        }
        encoder
            .bytes(WORKING_DIRECTORY, &self.working_directory)
            .signed(STOP_SIGNAL, i64::from(self.stop_signal))
            .number(OPEN_FILES, self.open_files)
            .bytes(HOSTNAME, &self.hostname)
            .finish()
    }

    /// Reads the durable form.
    pub fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        if bytes.len() > SPEC_BYTES_MAX {
            return Err(Malformed::TooMuch);
        }
        let mut spec = Self::default();
        for field in Fields::new(bytes) {
            let field = field?;
            match field.tag {
                ARGUMENT => spec.argv.push(field.bytes.to_vec()),
                VARIABLE => {
                    let end = field.bytes.iter().position(|b| *b == b'=').ok_or(Malformed::Field(VARIABLE))?;
                    spec.env.push((field.bytes[..end].to_vec(), field.bytes[end + 1..].to_vec()));
                }
                WORKING_DIRECTORY => spec.working_directory = field.bytes.to_vec(),
                STOP_SIGNAL => spec.stop_signal = to_signal(field.signed()?)?,
                OPEN_FILES => spec.open_files = field.number()?,
                HOSTNAME => spec.hostname = field.bytes.to_vec(),
                LOG_SUBJECT => spec.log_subject = field.bytes.to_vec(),
                KEPT => spec.kept.push(field.bytes.to_vec()),
                _ => {}
            }
        }
        if spec.argv.is_empty() {
            return Err(Malformed::Missing("the command"));
        }
        Ok(spec)
    }

    /// Reads what the supervisor needs.
    pub fn decode_for_supervisor(bytes: &[u8]) -> Result<SupervisorFields, Malformed> {
        let (mut stop_signal, mut log_subject) = (None, String::new());
        for field in Fields::new(bytes) {
            let field = field?;
            match field.tag {
                STOP_SIGNAL => stop_signal = Some(to_signal(field.signed()?)?),
                LOG_SUBJECT => log_subject = String::from_utf8_lossy(field.bytes).into_owned(),
                _ => {}
            }
        }
        let stop_signal = stop_signal.ok_or(Malformed::Missing("the stop signal"))?;
        Ok(SupervisorFields { stop_signal, log_subject })
    }
}

fn to_signal(number: i64) -> Result<i32, Malformed> {
    i32::try_from(number).ok().filter(|signal| (1..=64).contains(signal)).ok_or(Malformed::Field(STOP_SIGNAL))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec() -> Spec {
        Spec {
            argv: vec![b"sh".to_vec(), b"-c".to_vec(), b"exit 3".to_vec()],
            env: vec![(b"K".to_vec(), b"a=b\n".to_vec()), (b"EMPTY".to_vec(), Vec::new())],
            working_directory: b"/app".to_vec(),
            stop_signal: 15,
            open_files: 10_000,
            hostname: b"web-1".to_vec(),
            log_subject: b"web.1-v7-42".to_vec(),
            kept: vec![b"app.db".to_vec(), b"uploads/".to_vec()],
        }
    }

    #[test]
    fn a_spec_reads_back_and_ignores_what_it_does_not_know() {
        let mut bytes = spec().encode();
        bytes.extend(Encoder::default().bytes(999, b"later").finish());
        assert_eq!(Spec::decode(&bytes), Ok(spec()));
        let fields = SupervisorFields { stop_signal: 15, log_subject: "web.1-v7-42".to_owned() };
        assert_eq!(Spec::decode_for_supervisor(&bytes), Ok(fields));
    }

    #[test]
    fn a_spec_without_command_or_with_a_wrong_signal_is_refused() {
        assert!(Spec::decode(&Spec { argv: Vec::new(), ..spec() }.encode()).is_err());
        assert!(Spec::decode(&Spec { stop_signal: 0, ..spec() }.encode()).is_err());
        assert!(Spec::decode(b"\x01").is_err());
    }
}
