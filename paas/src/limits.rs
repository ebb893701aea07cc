//! Limits of the binary's own conversations, each with its unit.

/// How long one side may stall inside a frame that it has begun, in seconds.
pub const FRAME_STALL_S: u64 = 30;
/// Descriptors that may come with one frame.
pub const FRAME_DESCRIPTORS_MAX: usize = 3;
/// Longest SSH command that the door looks at, in bytes.
pub const SSH_COMMAND_BYTES_MAX: usize = 64 * 1024;
/// Words of an SSH command.
pub const SSH_COMMAND_WORDS_MAX: usize = 256;
/// How much of a wrong word a message repeats, in characters.
pub const SHOWN_WORD_CHARS_MAX: usize = 80;
/// Longest `GIT_PROTOCOL` that is looked at, in bytes.
pub const GIT_PROTOCOL_BYTES_MAX: usize = 256;
/// Refs that one push may move.
pub const PUSH_REFS_MAX: usize = 4_096;
/// Longest line that git hands to the hook, in bytes: two object ids and a ref name.
pub const PUSH_REF_LINE_BYTES_MAX: usize = 4_096;
/// Options (`git push -o`) of one push.
pub const PUSH_OPTIONS_MAX: usize = 32;
/// Longest option of a push, in bytes.
pub const PUSH_OPTION_BYTES_MAX: usize = 1_024;
/// Longest line that the hook shows to the author, in bytes; git cuts packets near 64 KiB.
pub const PUSH_LINE_BYTES_MAX: usize = 4_096;
/// Largest pack that one push may send, in bytes: the limit of a source tree.
pub const PUSH_PACK_BYTES_MAX: u64 = 1024 * 1024 * 1024;
/// Largest `.env` that `config:import` reads, in bytes: all config vars of an app and room for comments.
pub const DOTENV_BYTES_MAX: u64 = 4 * 1024 * 1024;
/// Largest public key file that `access:add` reads, in bytes.
pub const PUBLIC_KEY_BYTES_MAX: u64 = 16 * 1024;
/// Longest answer to a question on the terminal, in bytes.
pub const ANSWER_BYTES_MAX: u64 = 4_096;
/// What the pump of a terminal session moves at once, in bytes.
pub const SESSION_CHUNK_BYTES: usize = 16 * 1024;
/// How long the output of an ended session may still trickle, in milliseconds.
pub const SESSION_DRAIN_MS: u64 = 250;
/// Signals that a session passes on before the client itself leaves.
pub const SESSION_SIGNALS_MAX: u32 = 3;
/// Lines that `logs` shows when none are asked for.
pub const LOG_LINES_DEFAULT: usize = 100;
/// Lines that `logs` shows of those that are searched for; the server sends no more.
pub const LOG_LINES_SEARCHED: usize = 10_000;
/// Events that `events` shows when none are asked for.
pub const EVENT_LINES_DEFAULT: usize = 100;
