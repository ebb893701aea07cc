-- What of an app's /app lasts: app.db, uploads/ (a slash: a folder in any case). It
-- belongs to the app and not to a release.
CREATE TABLE kept_paths (
    app           INTEGER NOT NULL REFERENCES apps (number),
    path          TEXT    NOT NULL,
    since_unix_ms INTEGER NOT NULL,
    PRIMARY KEY (app, path)
) STRICT, WITHOUT ROWID;
