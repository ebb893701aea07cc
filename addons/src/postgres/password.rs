//! Passwords that nobody types.

use std::fs::File;
use std::io::{self, Read};

use model::Secret;

use crate::limits::PASSWORD_BYTES;

/// A new password: 32 random bytes in hexadecimal, harmless in URLs, files and SQL.
pub fn generate_password() -> io::Result<Secret> {
    let mut bytes = [0; PASSWORD_BYTES];
    File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    let digits = bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]).map(|half| char::from(b"0123456789abcdef"[usize::from(half)]));
    Ok(Secret::new(digits.collect::<String>()))
}

/// What the server stores of a password. Hashed here, it appears in no statement, and so in
/// no log and no error of the server.
pub(super) fn verifier(password: &Secret) -> String {
    postgres_protocol::password::scram_sha_256(password.reveal().as_bytes())
}
