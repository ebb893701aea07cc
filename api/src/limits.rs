//! Limits of the conversation between a client and the server.

/// Largest frame either side reads: config vars of 1 MiB fit with room for JSON escapes.
pub const FRAME_BYTES_MAX: usize = 8 * 1024 * 1024;
/// Descriptors that come with a request: stdin, stdout, stderr.
pub const REQUEST_DESCRIPTORS_MAX: usize = 3;
/// Words of one command.
pub const COMMAND_WORDS_MAX: usize = 256;
