//! Every limit of the build plane, with its unit in its name.

use std::time::Duration;

/// Unpacked size of a source tree, in bytes.
pub const SOURCE_BYTES_MAX: u64 = 1_000_000_000;
/// One file of a source tree, in bytes.
pub const SOURCE_FILE_BYTES_MAX: u64 = 500_000_000;
/// Files, folders and links of a source tree.
pub const SOURCE_ENTRIES_MAX: u64 = 200_000;
/// One git tree object (one folder), in bytes: about 100,000 names.
pub const TREE_OBJECT_BYTES_MAX: usize = 8 * 1024 * 1024;
/// One git commit object, in bytes.
pub const COMMIT_OBJECT_BYTES_MAX: usize = 1024 * 1024;
/// Files from this size on are read through `git cat-file`, in bytes: libgit2 would
/// take twice their size in memory.
pub const STREAMED_BLOB_BYTES_MIN: usize = 1024 * 1024;

/// Warnings of one export.
pub const EXPORT_WARNINGS_MAX: usize = 20;

/// Folders below each other.
pub const PATH_DEPTH_MAX: usize = 64;
/// Longest path, in bytes.
pub const PATH_BYTES_MAX: usize = 3_072;
/// Longest name of a file, in bytes: what Linux file systems take.
pub const NAME_BYTES_MAX: usize = 255;
/// Longest target of a symbolic link, in bytes.
pub const LINK_BYTES_MAX: usize = 3_072;

/// Entries of a slug.
pub const SLUG_ENTRIES_MAX: u64 = 1_000_000;
/// Unpacked size of a slug, in bytes.
pub const SLUG_UNPACKED_BYTES_MAX: u64 = 8_000_000_000;
/// Packed size of a slug that draws a warning, in bytes.
pub const SLUG_WARNING_BYTES: u64 = 500_000_000;
/// The manifest inside a slug, in bytes: 64 commands of 16 KiB and room for escapes.
pub const MANIFEST_BYTES_MAX: u64 = 4 * 1024 * 1024;
/// Environment defaults of a manifest.
pub const MANIFEST_ENV_MAX: usize = 200;
/// Folders, libraries and other lists of a manifest.
pub const MANIFEST_LIST_MAX: usize = 1_000;
/// One text of a manifest that is no command and no env value, in bytes.
pub const MANIFEST_TEXT_BYTES_MAX: usize = 4_096;

/// A small file that a plan reads (Procfile, requirements.txt, package.json), in bytes.
pub const PLAN_FILE_BYTES_MAX: u64 = 1024 * 1024;
/// A lockfile, which is only hashed, in bytes.
pub const LOCK_FILE_BYTES_MAX: u64 = 64 * 1024 * 1024;
/// Names of one folder that a plan looks at.
pub const PLAN_NAMES_MAX: usize = 10_000;
/// Lines of a `.slugignore`.
pub const SLUGIGNORE_LINES_MAX: usize = 1_000;
/// `**` in one line of it.
pub const SLUGIGNORE_DOUBLE_STARS_MAX: usize = 3;

/// The spec on a build's stdin, in bytes: config vars of 1 MiB with JSON escapes.
pub const SPEC_BYTES_MAX: u64 = 16 * 1024 * 1024;
/// One line of events, in bytes.
pub const EVENT_LINE_BYTES_MAX: usize = 256 * 1024;
/// Texts longer than this are cut when they are received, in characters.
pub const EVENT_TEXT_CHARS_MAX: usize = 2_000;
/// Lines of the reason of a failure.
pub const PROBLEM_LINES_MAX: usize = 20;
/// Entries of a table of an event.
pub const EVENT_LIST_MAX: usize = 200;
/// One line of a build's output, in bytes; the rest of it is dropped.
pub const OUTPUT_LINE_BYTES_MAX: usize = 4_096;
/// Lines of output that one build shows and keeps.
pub const OUTPUT_LINES_MAX: u64 = 20_000;
/// Lines that wait between the reader and the build.
pub const OUTPUT_QUEUE_LINES_MAX: usize = 256;
/// Last lines of a command that its hints look at.
pub const OUTPUT_TAIL_LINES: usize = 200;

/// A build that says nothing for this long is ended.
pub const SILENCE_MAX: Duration = Duration::from_mins(15);
/// A build that takes longer in all is ended.
pub const BUILD_MAX: Duration = Duration::from_hours(2);
/// After this long without a line the author is told that the step goes on.
pub const HEARTBEAT: Duration = Duration::from_secs(10);
/// How long output may trickle in after a command has ended.
pub const DRAIN_MAX: Duration = Duration::from_secs(2);
/// A tool that does not tell its version within this time is not used.
pub const PROBE_MAX: Duration = Duration::from_secs(10);
/// What a tool may print when it is asked for its version, in bytes.
pub const PROBE_OUTPUT_BYTES_MAX: u64 = 4_096;
/// Interpreters that are looked at.
pub const PROBES_MAX: usize = 64;

/// Warnings about files that stay out of a slug.
pub const SLUG_WARNINGS_MAX: usize = 20;

/// gzip level of slugs: 55 MB where level 6 makes 53 MB in half as long again.
pub const GZIP_LEVEL: u32 = 3;
/// Config vars shorter than this are not looked for in a build's output, in bytes.
pub const MASKED_VALUE_BYTES_MIN: usize = 8;
/// The record of a cache, in bytes.
pub const CACHE_RECORD_BYTES_MAX: u64 = 1024 * 1024;
