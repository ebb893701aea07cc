//! Limits of what plans look at.

/// Files that requirements files may include.
pub const REQUIREMENTS_FILES_MAX: usize = 50;
/// Python files at the top that are searched for a web application.
pub const SEARCHED_MODULES_MAX: usize = 50;
/// Comparators of one range of versions.
pub const RANGE_COMPARATORS_MAX: usize = 50;
/// Versions that an error lists.
pub const SHOWN_VERSIONS_MAX: usize = 12;
