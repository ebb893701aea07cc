//! What people and pipes say on standard input, bounded.

use std::io::{self, BufRead, IsTerminal, Read};

use api::{Failure, Kind};

use super::output::Output;
use crate::limits;

/// One line that a person types, without blanks around it.
pub fn answer() -> Result<String, Failure> {
    let mut line = String::new();
    io::stdin().lock().take(limits::ANSWER_BYTES_MAX).read_line(&mut line).map_err(|error| unreadable().caused_by(&error))?;
    Ok(line.trim().to_owned())
}

/// All of standard input as text. On a terminal it says what it waits for.
pub fn all(output: &Output, what: &str, bytes_max: u64) -> Result<String, Failure> {
    if io::stdin().is_terminal() {
        output.line(&format!("Type {what}, then Ctrl-D:"));
    }
    read_text(io::stdin().lock(), what, bytes_max)
}

/// All of a reader as text.
pub fn read_text(reader: impl Read, what: &str, bytes_max: u64) -> Result<String, Failure> {
    let mut bytes = Vec::new();
    reader.take(bytes_max + 1).read_to_end(&mut bytes).map_err(|error| unreadable().caused_by(&error))?;
    if bytes.len() as u64 > bytes_max {
        return Err(Failure::new(Kind::Usage, "input.too_large", format!("{what} is over {bytes_max} bytes")));
    }
    String::from_utf8(bytes).map_err(|_| {
        Failure::new(Kind::Usage, "input.not_text", format!("{what} is not UTF-8 text")).fix("encode binary data first: base64 FILE")
    })
}

fn unreadable() -> Failure {
    Failure::new(Kind::Host, "input.failed", "standard input cannot be read")
}
