//! Every number of the front door, with its unit in its name.

/// Longest request line; longer is 414.
pub const REQUEST_LINE_BYTES_MAX: usize = 8 * 1024;
/// Largest head, request line included; larger is 431.
pub const HEAD_BYTES_MAX: usize = 64 * 1024;
/// Most header fields of one head; more is 431.
pub const HEAD_FIELDS_MAX: usize = 128;
/// Longest line of a chunk's size, its extension included.
pub const CHUNK_LINE_BYTES_MAX: usize = 256;
/// Largest trailer section of a chunked body.
pub const TRAILER_BYTES_MAX: usize = 16 * 1024;
/// Client bytes kept while its earlier request is still being answered.
pub const PIPELINED_BYTES_MAX: usize = 64 * 1024;
/// Shared buffer that each thread reads sockets into.
pub const READ_BYTES: usize = 64 * 1024;
/// A connection keeps no more buffer than this between bursts.
pub const BUFFER_KEPT_BYTES: usize = 4 * 1024;

/// A client has this long for a whole head, from its first byte (or from the accept).
pub const CLIENT_HEAD_MS: u64 = 30_000;
/// A client's connection without a request is closed after this.
pub const CLIENT_IDLE_MS: u64 = 90_000;
/// The app has this long for the first byte of its answer (H12).
pub const FIRST_BYTE_MS: u64 = 30_000;
/// After the first byte, no byte either way for this long ends it (H15).
pub const ROLLING_WINDOW_MS: u64 = 55_000;
/// A connect to an instance may take this long (H19).
pub const CONNECT_MS: u64 = 5_000;
/// Unread body of an answered request is read away for this long before the close.
pub const LINGER_MS: u64 = 2_000;
/// … and for this many bytes.
pub const LINGER_BYTES_MAX: u64 = 1024 * 1024;

/// Unused connections kept per instance.
pub const UPSTREAM_IDLE_CONNECTIONS_MAX: usize = 128;
/// An unused connection to an instance is closed after this: less than the shortest
/// common keep-alive timeout of app servers (gunicorn's 2 s), and short enough for a
/// server that answers one connection at a time.
pub const UPSTREAM_IDLE_MS: u64 = 1_500;
/// How often unused connections are looked at while there are any.
pub const UPSTREAM_SWEEP_MS: u64 = 500;
/// A connection that the app has not begun to answer for this long suggests that it
/// serves one connection at a time: used ones are then closed instead of kept.
pub const STARVED_MS: u64 = 200;
/// Times that a request is sent again after a reused connection turned out closed.
pub const RETRIES_MAX: u32 = 1;
/// Once every instance refuses, a request waits this long for new routes (H21 then).
pub const REFUSED_WAIT_MS: u64 = 2_000;

/// Requests held for one app; more are answered with H11.
pub const HELD_PER_APP_MAX: usize = 500;
/// Requests held in all.
pub const HELD_MAX: usize = 2_000;
/// The longest hold that a table may ask for.
pub const HOLD_MS_MAX: u64 = 60_000;

/// Connections of clients at once; more wait in the listen backlog.
pub const CLIENT_CONNECTIONS_MAX: usize = 40_000;
/// File descriptors kept back from clients and instances.
pub const DESCRIPTORS_RESERVED: usize = 256;
/// Pause of an accept loop after the system ran out of something.
pub const ACCEPT_PAUSE_MS: u64 = 100;
/// Requests in flight and tunnels have this long after SIGTERM, or after their run
/// left the table (tunnels only).
pub const DRAIN_MS: u64 = 30_000;

/// Largest frame between server and router: a table of some 50,000 apps.
pub const FRAME_BYTES_MAX: usize = 32 * 1024 * 1024;
/// How much of the conversation is read at once.
pub const FRAMES_READ_BYTES: usize = 16 * 1024;
/// Frames to the server that wait to be written; one more ends the conversation, and
/// the server starts it anew.
pub const FRAMES_WAITING_MAX: usize = 4_096;
/// Listening sockets that a server is handed back at once: fewer than may wait.
pub const LISTENERS_HANDED_BACK_MAX: usize = FRAMES_WAITING_MAX / 2;
/// Descriptors that came ahead of their frames.
pub const DESCRIPTORS_WAITING_MAX: usize = 16;
/// A server has this long to say hello.
pub const HELLO_MS: u64 = 5_000;
/// Deleted apps that the client remembers one by one; beyond, it sends the whole table.
pub const DELETIONS_REMEMBERED_MAX: usize = 256;
/// Events for the server that wait to be read; more are dropped.
pub const EVENTS_WAITING_MAX: usize = 1_024;
/// A router that has not said hello for this long counts as gone.
pub const ROUTER_HELLO_MS: u64 = 1_000;
/// First pause before connecting to a router again; doubles up to the next.
pub const RECONNECT_MS_MIN: u64 = 20;
/// Longest pause before connecting to a router again.
pub const RECONNECT_MS_MAX: u64 = 1_000;
/// A question to a router is given up after this.
pub const QUESTION_MS: u64 = 2_000;

/// One report of trouble per run in this time.
pub const TROUBLE_EVERY_MS: u64 = 1_000;
/// A visitor who leaves after this long without a byte is trouble.
pub const LEFT_AFTER_MS: u64 = 1_000;
/// Access lines that wait for the disk; more are dropped and counted.
pub const ACCESS_LINES_WAITING_MAX: usize = 8_192;
/// Longest path, host or address list in an access line.
pub const ACCESS_VALUE_BYTES_MAX: usize = 2_048;
/// Shortest `X-Request-Id` of a client that is kept.
pub const REQUEST_ID_CHARS_MIN: usize = 20;
/// Longest `X-Request-Id` of a client that is kept.
pub const REQUEST_ID_CHARS_MAX: usize = 200;
