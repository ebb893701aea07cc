-- Times are milliseconds since 1970 UTC. What must never change in place is guarded
-- by a trigger; what became of it is a row of its own (`…_outcomes`).
-- Sets of words that may grow (states, roles, codes) are closed in Rust, not here:
-- SQLite cannot change a CHECK without rebuilding its table.

-- Apps ------------------------------------------------------------------------

-- A destroyed app keeps its row, so that its number never returns.
CREATE TABLE apps (
    number            INTEGER PRIMARY KEY AUTOINCREMENT,
    name              TEXT    NOT NULL,
    created_unix_ms   INTEGER NOT NULL,
    destroyed_unix_ms INTEGER,
    -- When its folders, users and database were gone too.
    wiped_unix_ms     INTEGER,
    -- JSON array of branch names.
    deploy_branches   TEXT    NOT NULL,
    root              TEXT,
    port              INTEGER NOT NULL CHECK (port BETWEEN 1 AND 65535),
    database          TEXT    NOT NULL,
    stopped           INTEGER NOT NULL DEFAULT 0 CHECK (stopped IN (0, 1)),
    CHECK (wiped_unix_ms IS NULL OR destroyed_unix_ms IS NOT NULL)
) STRICT;
CREATE UNIQUE INDEX apps_name ON apps (name) WHERE destroyed_unix_ms IS NULL;
CREATE UNIQUE INDEX apps_port ON apps (port) WHERE destroyed_unix_ms IS NULL;

-- The scale as people last set it; a release keeps the one it was made with.
CREATE TABLE formation (
    app          INTEGER NOT NULL REFERENCES apps (number),
    process_type TEXT    NOT NULL,
    count        INTEGER NOT NULL CHECK (count >= 0),
    PRIMARY KEY (app, process_type)
) STRICT, WITHOUT ROWID;

-- 0 stands for the platform, so this does not refer to apps.
CREATE TABLE run_numbers (
    app  INTEGER PRIMARY KEY,
    next INTEGER NOT NULL CHECK (next > 0)
) STRICT;

-- Secrets ---------------------------------------------------------------------

CREATE TABLE config_sets (
    app             INTEGER NOT NULL REFERENCES apps (number),
    version         INTEGER NOT NULL CHECK (version > 0),
    created_unix_ms INTEGER NOT NULL,
    PRIMARY KEY (app, version)
) STRICT, WITHOUT ROWID;

CREATE TABLE config_values (
    app            INTEGER NOT NULL,
    config_version INTEGER NOT NULL,
    key            TEXT    NOT NULL,
    key_id         BLOB    NOT NULL CHECK (length(key_id) = 8),
    nonce          BLOB    NOT NULL CHECK (length(nonce) = 12),
    ciphertext     BLOB    NOT NULL,
    PRIMARY KEY (app, config_version, key),
    FOREIGN KEY (app, config_version) REFERENCES config_sets (app, version)
) STRICT;

CREATE TABLE addon_values (
    app        INTEGER NOT NULL REFERENCES apps (number),
    addon      TEXT    NOT NULL,
    key        TEXT    NOT NULL,
    key_id     BLOB    NOT NULL CHECK (length(key_id) = 8),
    nonce      BLOB    NOT NULL CHECK (length(nonce) = 12),
    ciphertext BLOB    NOT NULL,
    PRIMARY KEY (app, addon, key)
) STRICT;

CREATE TABLE platform_secrets (
    key        TEXT PRIMARY KEY,
    key_id     BLOB NOT NULL CHECK (length(key_id) = 8),
    nonce      BLOB NOT NULL CHECK (length(nonce) = 12),
    ciphertext BLOB NOT NULL
) STRICT;

-- Builds and slugs ------------------------------------------------------------

CREATE TABLE builds (
    app             INTEGER NOT NULL REFERENCES apps (number),
    number          INTEGER NOT NULL CHECK (number > 0),
    commit_id       TEXT    NOT NULL,
    actor           TEXT    NOT NULL,
    started_unix_ms INTEGER NOT NULL,
    PRIMARY KEY (app, number)
) STRICT;

-- How much of a build's output is kept.
CREATE TABLE build_logs (
    app     INTEGER NOT NULL,
    build   INTEGER NOT NULL,
    lines   INTEGER NOT NULL DEFAULT 0,
    bytes   INTEGER NOT NULL DEFAULT 0,
    cut     INTEGER NOT NULL DEFAULT 0 CHECK (cut IN (0, 1)),
    removed INTEGER NOT NULL DEFAULT 0 CHECK (removed IN (0, 1)),
    PRIMARY KEY (app, build),
    FOREIGN KEY (app, build) REFERENCES builds (app, number)
) STRICT;

CREATE TABLE build_lines (
    app   INTEGER NOT NULL,
    build INTEGER NOT NULL,
    line  INTEGER NOT NULL,
    text  TEXT    NOT NULL,
    PRIMARY KEY (app, build, line),
    FOREIGN KEY (app, build) REFERENCES build_logs (app, build)
) STRICT;

-- The manifest is JSON.
CREATE TABLE slugs (
    app             INTEGER NOT NULL REFERENCES apps (number),
    sha256          BLOB    NOT NULL CHECK (length(sha256) = 32),
    bytes           INTEGER NOT NULL,
    manifest        TEXT    NOT NULL,
    created_unix_ms INTEGER NOT NULL,
    PRIMARY KEY (app, sha256)
) STRICT;
CREATE INDEX slugs_sha256 ON slugs (sha256);

-- Which slugs lie on the disk. Two apps with the same bytes share one file.
CREATE TABLE slug_files (
    sha256         BLOB    PRIMARY KEY CHECK (length(sha256) = 32),
    bytes          INTEGER NOT NULL,
    stored_unix_ms INTEGER NOT NULL
) STRICT;

-- Releases --------------------------------------------------------------------

CREATE TABLE releases (
    app             INTEGER NOT NULL REFERENCES apps (number),
    version         INTEGER NOT NULL CHECK (version > 0),
    slug            BLOB    NOT NULL,
    config_version  INTEGER NOT NULL,
    -- The app's config version when this release was made: a config that was saved
    -- meanwhile must survive the switch.
    config_base     INTEGER NOT NULL,
    -- JSON object: process type → count.
    formation       TEXT    NOT NULL,
    -- JSON object with a `kind`.
    cause           TEXT    NOT NULL,
    parent          INTEGER,
    actor           TEXT    NOT NULL,
    created_unix_ms INTEGER NOT NULL,
    PRIMARY KEY (app, version),
    FOREIGN KEY (app, slug) REFERENCES slugs (app, sha256),
    FOREIGN KEY (app, config_version) REFERENCES config_sets (app, version),
    FOREIGN KEY (app, config_base) REFERENCES config_sets (app, version),
    FOREIGN KEY (app, parent) REFERENCES releases (app, version)
) STRICT;
CREATE INDEX releases_slug ON releases (app, slug);

-- A candidate has none; `switched` may be followed by `rolled_back`.
CREATE TABLE release_outcomes (
    app        INTEGER NOT NULL,
    version    INTEGER NOT NULL,
    outcome    TEXT    NOT NULL CHECK (outcome IN ('switched', 'failed', 'rolled_back')),
    at_unix_ms INTEGER NOT NULL,
    detail     TEXT,
    PRIMARY KEY (app, version, outcome),
    FOREIGN KEY (app, version) REFERENCES releases (app, version)
) STRICT, WITHOUT ROWID;

-- What serves, and the config that the next release takes.
CREATE TABLE app_current (
    app            INTEGER PRIMARY KEY REFERENCES apps (number),
    version        INTEGER,
    config_version INTEGER NOT NULL,
    FOREIGN KEY (app, version) REFERENCES releases (app, version),
    FOREIGN KEY (app, config_version) REFERENCES config_sets (app, version)
) STRICT;

CREATE TABLE build_outcomes (
    app           INTEGER NOT NULL,
    build         INTEGER NOT NULL,
    state         TEXT    NOT NULL,
    failure_code  TEXT,
    failure_what  TEXT,
    slug          BLOB,
    version       INTEGER,
    ended_unix_ms INTEGER NOT NULL,
    PRIMARY KEY (app, build),
    FOREIGN KEY (app, build) REFERENCES builds (app, number),
    FOREIGN KEY (app, slug) REFERENCES slugs (app, sha256),
    FOREIGN KEY (app, version) REFERENCES releases (app, version)
) STRICT;

-- "The hook said yes" → "the ref moved" is not atomic: a push without an outcome is
-- looked at when the server starts.
CREATE TABLE pushes (
    number           INTEGER PRIMARY KEY AUTOINCREMENT,
    app              INTEGER NOT NULL REFERENCES apps (number),
    build            INTEGER,
    reference        TEXT    NOT NULL,
    old_id           TEXT    NOT NULL,
    new_id           TEXT    NOT NULL,
    accepted_unix_ms INTEGER NOT NULL,
    FOREIGN KEY (app, build) REFERENCES builds (app, number)
) STRICT;

CREATE TABLE push_outcomes (
    push       INTEGER PRIMARY KEY REFERENCES pushes (number),
    moved      INTEGER NOT NULL CHECK (moved IN (0, 1)),
    at_unix_ms INTEGER NOT NULL
) STRICT;

-- Events ----------------------------------------------------------------------

CREATE TABLE events (
    number     INTEGER PRIMARY KEY AUTOINCREMENT,
    at_unix_ms INTEGER NOT NULL,
    app        INTEGER REFERENCES apps (number),
    actor      TEXT    NOT NULL,
    code       TEXT    NOT NULL,
    -- JSON.
    detail     TEXT    NOT NULL,
    text       TEXT    NOT NULL
) STRICT;
CREATE INDEX events_app ON events (app, number);

-- Access ----------------------------------------------------------------------

CREATE TABLE people (
    number          INTEGER PRIMARY KEY AUTOINCREMENT,
    name            TEXT    NOT NULL UNIQUE,
    created_unix_ms INTEGER NOT NULL
) STRICT;

CREATE TABLE keys (
    fingerprint     TEXT    PRIMARY KEY,
    person          INTEGER NOT NULL REFERENCES people (number) ON DELETE CASCADE,
    key_type        TEXT    NOT NULL,
    blob            BLOB    NOT NULL,
    created_unix_ms INTEGER NOT NULL
) STRICT;
CREATE INDEX keys_person ON keys (person);

-- Without an app: everywhere, for operators.
CREATE TABLE grants (
    person          INTEGER NOT NULL REFERENCES people (number) ON DELETE CASCADE,
    app             INTEGER REFERENCES apps (number),
    role            TEXT    NOT NULL,
    created_unix_ms INTEGER NOT NULL
) STRICT;
CREATE UNIQUE INDEX grants_of_an_app ON grants (person, app) WHERE app IS NOT NULL;
CREATE UNIQUE INDEX grants_everywhere ON grants (person) WHERE app IS NULL;
CREATE INDEX grants_app ON grants (app);

CREATE TABLE settings (
    key   TEXT PRIMARY KEY,
    value TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- Never updated in place ------------------------------------------------------

CREATE TRIGGER releases_are_not_updated BEFORE UPDATE ON releases
    BEGIN SELECT RAISE(ABORT, 'releases are never updated'); END;
CREATE TRIGGER releases_are_not_deleted BEFORE DELETE ON releases
    BEGIN SELECT RAISE(ABORT, 'releases are never deleted'); END;
CREATE TRIGGER release_outcomes_are_not_updated BEFORE UPDATE ON release_outcomes
    BEGIN SELECT RAISE(ABORT, 'outcomes are never updated'); END;
CREATE TRIGGER release_outcomes_are_not_deleted BEFORE DELETE ON release_outcomes
    BEGIN SELECT RAISE(ABORT, 'outcomes are never deleted'); END;
CREATE TRIGGER slugs_are_not_updated BEFORE UPDATE ON slugs
    BEGIN SELECT RAISE(ABORT, 'slugs are never updated'); END;
CREATE TRIGGER events_are_not_updated BEFORE UPDATE ON events
    BEGIN SELECT RAISE(ABORT, 'events are never updated'); END;
CREATE TRIGGER events_are_not_deleted BEFORE DELETE ON events
    BEGIN SELECT RAISE(ABORT, 'events are never deleted'); END;
CREATE TRIGGER builds_are_not_updated BEFORE UPDATE ON builds
    BEGIN SELECT RAISE(ABORT, 'builds are never updated'); END;
CREATE TRIGGER build_outcomes_are_not_updated BEFORE UPDATE ON build_outcomes
    BEGIN SELECT RAISE(ABORT, 'outcomes are never updated'); END;
CREATE TRIGGER push_outcomes_are_not_updated BEFORE UPDATE ON push_outcomes
    BEGIN SELECT RAISE(ABORT, 'outcomes are never updated'); END;
CREATE TRIGGER config_sets_are_not_updated BEFORE UPDATE ON config_sets
    BEGIN SELECT RAISE(ABORT, 'config sets are never updated'); END;
CREATE TRIGGER config_values_are_not_updated BEFORE UPDATE ON config_values
    BEGIN SELECT RAISE(ABORT, 'config values are never updated'); END;
CREATE TRIGGER apps_are_not_deleted BEFORE DELETE ON apps
    BEGIN SELECT RAISE(ABORT, 'apps are destroyed, never deleted: their numbers must not return'); END;
