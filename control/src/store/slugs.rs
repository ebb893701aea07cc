//! Slugs: what they say of themselves is kept for ever, their files only while a
//! release may need them.

use std::collections::{BTreeMap, BTreeSet};

use model::{AppNumber, SlugId, SlugManifest};
use rusqlite::{Connection, named_params, params};

use super::{Store, StoreError, apps, limits, sql, stored};

/// A slug that was received, checked and stored.
#[derive(Debug, Clone)]
pub struct NewSlug {
    /// Its name.
    pub slug: SlugId,
    /// Size of the file in bytes.
    pub bytes: u64,
    /// What it says of itself.
    pub manifest: SlugManifest,
}

/// A slug as it is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SlugRecord {
    /// Its name.
    pub slug: SlugId,
    /// Size of the file in bytes.
    pub bytes: u64,
    /// What it says of itself.
    pub manifest: SlugManifest,
    /// When this app first made it, in milliseconds since 1970 UTC.
    pub created_unix_ms: i64,
    /// Whether its file is still there.
    pub is_stored: bool,
}

impl Store {
    /// Notes a slug whose file is in its place and synced. The same bytes again are no error.
    pub async fn insert_slug(&self, app: AppNumber, slug: NewSlug, at_unix_ms: i64) -> Result<(), StoreError> {
        let manifest = stored::manifest_text(&slug.manifest)?;
        if manifest.len() > limits::MANIFEST_BYTES_MAX {
            let limit = format!("{} bytes", limits::MANIFEST_BYTES_MAX);
            return Err(StoreError::TooLarge { what: "the slug's manifest", limit });
        }
        self.write("note a slug", move |db, _| {
            apps::living(db, app)?;
            let bytes = sql::integer(slug.bytes);
            sql::execute(
                db,
                "INSERT INTO slugs (app, sha256, bytes, manifest, created_unix_ms)
                 VALUES (:app, :sha256, :bytes, :manifest, :at) ON CONFLICT DO NOTHING",
                named_params! {
                    ":app": app.0, ":sha256": slug.slug.0, ":bytes": bytes,
                    ":manifest": manifest, ":at": at_unix_ms,
                },
            )?;
            sql::execute(
                db,
                "INSERT INTO slug_files (sha256, bytes, stored_unix_ms) VALUES (?1, ?2, ?3)
                 ON CONFLICT (sha256) DO UPDATE SET stored_unix_ms = excluded.stored_unix_ms",
                params![slug.slug.0, bytes, at_unix_ms],
            )?;
            Ok(())
        })
        .await
    }

    /// A slug of an app; one that the app never had is [`StoreError::SlugGone`].
    pub async fn slug(&self, app: AppNumber, slug: SlugId) -> Result<SlugRecord, StoreError> {
        self.read("find a slug", move |db, _| find(db, app, slug)?.ok_or(StoreError::SlugGone(slug))).await
    }

    /// Every slug that has a file, with its size in bytes. A file that is not among
    /// them was left by a killed server.
    pub async fn stored_slugs(&self) -> Result<BTreeMap<SlugId, u64>, StoreError> {
        self.read("list slugs", |db, _| {
            let found = sql::rows(db, "SELECT sha256, bytes FROM slug_files", [], |row| {
                Ok((sql::slug(row, "sha256")?, sql::bytes(row, "bytes")?))
            })?;
            Ok(found.into_iter().collect())
        })
        .await
    }

    /// The slugs that must stay: of each living app those of its last 10 releases that
    /// served, of the current one, and of candidates.
    pub async fn kept_slugs(&self) -> Result<BTreeSet<SlugId>, StoreError> {
        self.read("list the slugs to keep", |db, _| kept(db)).await
    }

    /// Forgets the files of slugs that no kept release names and that were stored before
    /// `stored_before_unix_ms` (a build may be about to release a younger one), and
    /// returns them. The caller removes the files afterwards, while no build stores one.
    pub async fn take_garbage_slugs(&self, stored_before_unix_ms: i64) -> Result<Vec<SlugId>, StoreError> {
        self.write("forget old slugs", move |db, _| {
            let kept = kept(db)?;
            let old = sql::rows(
                db,
                "SELECT sha256 FROM slug_files WHERE stored_unix_ms < ?1 ORDER BY stored_unix_ms",
                [stored_before_unix_ms],
                |row| sql::slug(row, "sha256"),
            )?;
            let garbage: Vec<SlugId> = old.into_iter().filter(|slug| !kept.contains(slug)).collect();
            for slug in &garbage {
                forget(db, *slug)?;
            }
            Ok(garbage)
        })
        .await
    }

    /// The file of this slug is gone, whoever removed it: nothing rolls back to it any more.
    pub async fn forget_slug_file(&self, slug: SlugId) -> Result<(), StoreError> {
        self.write("forget a slug", move |db, _| forget(db, slug)).await
    }
}

fn find(db: &Connection, app: AppNumber, slug: SlugId) -> Result<Option<SlugRecord>, StoreError> {
    sql::row(
        db,
        "SELECT sha256, bytes, manifest, created_unix_ms,
                EXISTS (SELECT 1 FROM slug_files f WHERE f.sha256 = s.sha256) AS is_stored
         FROM slugs s WHERE app = ?1 AND sha256 = ?2",
        params![app.0, slug.0],
        |row| {
            Ok(SlugRecord {
                slug: sql::slug(row, "sha256")?,
                bytes: sql::bytes(row, "bytes")?,
                manifest: stored::manifest(&row.get::<_, String>("manifest")?)?,
                created_unix_ms: row.get("created_unix_ms")?,
                is_stored: row.get("is_stored")?,
            })
        },
    )
}

fn forget(db: &Connection, slug: SlugId) -> Result<(), StoreError> {
    sql::execute(db, "DELETE FROM slug_files WHERE sha256 = ?1", [slug.0])?;
    Ok(())
}

/// Whether the file of an app's slug is there.
pub(super) fn is_stored(db: &Connection, app: AppNumber, slug: SlugId) -> Result<bool, StoreError> {
    sql::value(
        db,
        "SELECT EXISTS (SELECT 1 FROM slugs JOIN slug_files USING (sha256) WHERE app = ?1 AND sha256 = ?2)",
        params![app.0, slug.0],
    )
}

fn kept(db: &Connection) -> Result<BTreeSet<SlugId>, StoreError> {
    let slugs = sql::rows(
        db,
        "WITH living AS (
             SELECT r.app, r.version, r.slug FROM releases r JOIN apps a ON a.number = r.app
             WHERE a.destroyed_unix_ms IS NULL
         ), served AS (
             SELECT l.slug, row_number() OVER (PARTITION BY l.app ORDER BY l.version DESC) AS age
             FROM living l JOIN release_outcomes o ON o.app = l.app AND o.version = l.version
             WHERE o.outcome = 'switched'
         )
         SELECT slug FROM served WHERE age <= ?1
         UNION SELECT l.slug FROM living l JOIN app_current c ON c.app = l.app AND c.version = l.version
         UNION SELECT l.slug FROM living l WHERE NOT EXISTS
             (SELECT 1 FROM release_outcomes o WHERE o.app = l.app AND o.version = l.version)",
        [limits::SLUGS_KEPT_RELEASES],
        |row| sql::slug(row, "slug"),
    )?;
    Ok(slugs.into_iter().collect())
}
