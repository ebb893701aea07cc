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
/// Largest `app.json` that is read.
pub const APP_JSON_BYTES_MAX: usize = 256 * 1024;
/// Checks of one process type.
pub const CHECKS_PER_TYPE_MAX: usize = 10;
/// Dokku's default for failures in a row that count.
pub const CHECK_ATTEMPTS: u32 = 3;
/// Most failures in a row that a check may wait for.
pub const CHECK_ATTEMPTS_MAX: u32 = 1_000;
/// Dokku's default for one try, in seconds.
pub const CHECK_TIMEOUT_S: u32 = 5;
/// Longest try of a check, in seconds.
pub const CHECK_TIMEOUT_S_MAX: u32 = 600;
/// Dokku's default between two tries, in seconds.
pub const CHECK_WAIT_S: u32 = 5;
/// Shortest wait between two tries, in seconds: a check is no load test.
pub const CHECK_WAIT_S_MIN: u32 = 1;
/// Longest wait, delay or uptime of a check, in seconds.
pub const CHECK_DELAY_S_MAX: u32 = 3_600;
/// Header lines that a check may add.
pub const CHECK_HEADERS_MAX: usize = 16;
/// Words of a check's command.
pub const CHECK_WORDS_MAX: usize = 64;
/// Longest name, path, header line, word or content of a check, in bytes.
pub const CHECK_TEXT_BYTES_MAX: usize = 2_048;
/// Paths of an app that last.
pub const KEPT_PATHS_MAX: usize = 16;
/// Longest of them.
pub const KEPT_PATH_BYTES_MAX: usize = 200;
/// Leavings of a run that are told by name.
pub const LEAVINGS_TOLD_MAX: usize = 8;
/// Longest name of one that is shown.
pub const LEAVING_CHARS_MAX: usize = 100;
