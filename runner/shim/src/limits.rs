//! Every limit of the shim, with its unit.

/// Largest spec: what exec takes by default is 2 MiB, half of it for the environment.
pub const SPEC_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Largest list of operations.
pub const OPERATIONS_BYTES_MAX: usize = 1024 * 1024;
/// Operations of one list.
pub const OPERATIONS_MAX: usize = 1_000;
/// Largest record in a run folder (`process`, `exit`).
pub const RECORD_BYTES_MAX: usize = 4 * 1024;
/// Largest control frame and largest report.
pub const FRAME_BYTES_MAX: usize = 4 * 1024;
/// Longest text of a report's detail, in bytes; what is longer is cut.
pub const DETAIL_BYTES_MAX: usize = 1024;
/// Longest line of output that is kept whole, in bytes. What is longer becomes several
/// records, all but the last of them marked as partial.
pub const LINE_BYTES_MAX: usize = 64 * 1024;
/// Bytes read from an output at once.
pub const READ_BYTES: usize = 64 * 1024;
/// What is allotted for that: the C library maps what is at least 128 KiB, instead of
/// taking and clearing a part of the heap.
pub const READ_BUFFER_BYTES: usize = 256 * 1024;
/// A line without its end is handed on after this long without another byte, in milliseconds.
pub const PARTIAL_LINE_IDLE_MS: u64 = 1_000;
/// How long the outputs are read after everything of the run has ended, in milliseconds.
pub const DRAIN_MS: u64 = 1_000;
/// Conversations on `sock` at once; more wait in the queue of the socket.
pub const CONVERSATIONS_MAX: usize = 8;
/// Conversations that wait to be taken.
pub const BACKLOG: i32 = 16;
/// Pause after `accept` failed, so that no loop spins on an error, in milliseconds.
pub const ACCEPT_PAUSE_MS: u64 = 1_000;
/// Longest grace period of a stop, in milliseconds.
pub const GRACE_MS_MAX: u64 = 24 * 60 * 60 * 1_000;
/// Descriptors that a child can be given from 3 on.
pub const CHILD_DESCRIPTORS_MAX: usize = 64;
/// Where descriptors are put aside while 0, 1, 2, 3 … are being filled.
pub const ASIDE_DESCRIPTOR: i32 = 200;
/// Descriptors of one packet: those of the child and launch's own.
pub const PACKET_DESCRIPTORS_MAX: usize = 80;
/// How long a command inside a live run may need to die with everything it started, in
/// milliseconds; whatever is left then ends with the run.
pub const JOINED_KILL_MS: u64 = 2_000;
/// Pause between two rounds of killing its children, whose children come to light only
/// then, in milliseconds.
pub const JOINED_KILL_ROUND_MS: u64 = 20;
/// Largest datagram on `NOTIFY_SOCKET`; what is longer is cut.
pub const NOTIFY_BYTES_MAX: usize = 4 * 1024;
/// Longest `STATUS=` that is kept, in bytes.
pub const NOTIFY_STATUS_BYTES_MAX: usize = 256;
/// Datagrams that are read per second; more wait, and with them whoever sends them.
pub const NOTIFY_DATAGRAMS_PER_S_MAX: u32 = 200;
/// Changes are told to the server at least this far apart, in milliseconds.
pub const NOTIFY_TELL_APART_MS: u64 = 100;
/// How deep folders that are kept may be nested.
pub const KEPT_DEPTH_MAX: usize = 64;
