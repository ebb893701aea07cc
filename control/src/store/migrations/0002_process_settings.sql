-- What people set for a process type beside its count. A type without a row, and a
-- column without a value, have the defaults.
CREATE TABLE process_settings (
    app            INTEGER NOT NULL REFERENCES apps (number),
    process_type   TEXT    NOT NULL,
    overlap        INTEGER CHECK (overlap IN (0, 1)),
    boot_timeout_s INTEGER CHECK (boot_timeout_s > 0),
    stop_timeout_s INTEGER CHECK (stop_timeout_s > 0),
    PRIMARY KEY (app, process_type)
) STRICT, WITHOUT ROWID;
