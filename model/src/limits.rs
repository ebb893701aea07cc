//! Every number that the words carry, with its unit in its name.

/// How much of a wrong word an error repeats.
pub const SHOWN_INVALID_CHARS_MAX: usize = 80;
/// Heroku's limit for app names.
pub const APP_NAME_CHARS_MAX: usize = 30;
/// Shortest app name.
pub const APP_NAME_CHARS_MIN: usize = 2;
/// Longest process type; it is part of folder names and log prefixes.
pub const PROCESS_TYPE_CHARS_MAX: usize = 32;
/// Longest config var name.
pub const ENV_KEY_CHARS_MAX: usize = 256;
/// Longest config var value: Linux refuses more than 128 KiB in one string of exec.
pub const ENV_VALUE_BYTES_MAX: usize = 96 * 1024;
/// All config vars of an app together: half of what exec takes by default.
pub const CONFIG_BYTES_MAX: usize = 1024 * 1024;
/// Config vars of one app.
pub const CONFIG_VARS_MAX: usize = 1_000;
/// Largest Procfile that is read.
pub const PROCFILE_BYTES_MAX: usize = 64 * 1024;
/// Process types of one Procfile.
pub const PROCESS_TYPES_MAX: usize = 64;
/// Longest command of a Procfile line.
pub const COMMAND_BYTES_MAX: usize = 16 * 1024;
/// Instances of one process type.
pub const INSTANCES_PER_TYPE_MAX: u32 = 100;
/// Longest host name (RFC 1035).
pub const HOSTNAME_CHARS_MAX: usize = 253;
/// Longest git ref name that is taken.
pub const REF_NAME_CHARS_MAX: usize = 200;
