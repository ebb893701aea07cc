//! The output of builds: what is kept of it, and for how long.

use model::AppNumber;
use rusqlite::{Connection, params};

use super::{Store, StoreError, limits, sql};

/// Stands at the end of an output that was cut.
const CUT_LINE: &str = " !     the rest of the output is not kept (20,000 lines, 4 MiB)";

/// The output of a build, as the author saw it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct BuildOutput {
    /// Its lines without their ends.
    pub lines: Vec<String>,
    /// More came than is kept.
    pub is_cut: bool,
    /// It was removed to make room for younger ones.
    pub is_removed: bool,
}

impl Store {
    /// Adds lines to the output of a build, a batch at a time: each call waits for the
    /// disk. What is over the limits is dropped, and a last line says so.
    pub async fn append_build_lines(&self, app: AppNumber, build: u32, lines: Vec<String>) -> Result<(), StoreError> {
        self.write("keep the output of a build", move |db, _| append(db, app, build, lines)).await
    }

    /// The output of a build, as far as it is kept.
    pub async fn build_output(&self, app: AppNumber, build: u32) -> Result<BuildOutput, StoreError> {
        self.read("read the output of a build", move |db, _| {
            let sql = "SELECT cut, removed FROM build_logs WHERE app = ?1 AND build = ?2";
            let (is_cut, is_removed) =
                sql::row(db, sql, [app.0, build], |row| Ok((row.get(0)?, row.get(1)?)))?.ok_or(StoreError::NoSuchBuild(build))?;
            let sql = "SELECT text FROM build_lines WHERE app = ?1 AND build = ?2 ORDER BY line";
            let lines = sql::rows(db, sql, [app.0, build], |row| Ok(row.get(0)?))?;
            Ok(BuildOutput { lines, is_cut, is_removed })
        })
        .await
    }
}

/// Keeps room for one build within the budget of an app.
pub(super) fn remove_oldest(db: &Connection, app: AppNumber) -> Result<(), StoreError> {
    let over = sql::rows(
        db,
        "SELECT build FROM (
             SELECT build, bytes, sum(bytes) OVER (ORDER BY build DESC) AS total FROM build_logs WHERE app = ?1)
         WHERE total > ?2 AND bytes > 0",
        params![app.0, limits::APP_BUILD_OUTPUT_BYTES_MAX - limits::BUILD_OUTPUT_BYTES_MAX],
        |row| Ok(row.get::<_, u32>(0)?),
    )?;
    for build in over {
        sql::execute(db, "DELETE FROM build_lines WHERE app = ?1 AND build = ?2", [app.0, build])?;
        let sql = "UPDATE build_logs SET lines = 0, bytes = 0, removed = 1 WHERE app = ?1 AND build = ?2";
        sql::execute(db, sql, [app.0, build])?;
    }
    Ok(())
}

fn append(db: &Connection, app: AppNumber, build: u32, lines: Vec<String>) -> Result<(), StoreError> {
    let sql = "SELECT lines, bytes, cut, removed FROM build_logs WHERE app = ?1 AND build = ?2";
    let (mut count, mut bytes, is_cut, is_removed): (i64, i64, bool, bool) =
        sql::row(db, sql, [app.0, build], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?)))?
            .ok_or(StoreError::NoSuchBuild(build))?;
    if is_cut || is_removed {
        return Ok(());
    }
    let mut cut = false;
    for line in lines {
        let mut line = sql::cut(line, limits::BUILD_LINE_BYTES_MAX);
        let size = i64::try_from(line.len()).unwrap_or(i64::MAX);
        // The last line and its bytes belong to the notice.
        cut = count + 1 >= limits::BUILD_LINES_MAX || bytes + size + 100 > limits::BUILD_OUTPUT_BYTES_MAX;
        if cut {
            CUT_LINE.clone_into(&mut line);
        }
        count += 1;
        bytes += i64::try_from(line.len()).unwrap_or(i64::MAX);
        let sql = "INSERT INTO build_lines (app, build, line, text) VALUES (?1, ?2, ?3, ?4)";
        sql::execute(db, sql, params![app.0, build, count, line])?;
        if cut {
            break;
        }
    }
    let sql = "UPDATE build_logs SET lines = ?3, bytes = ?4, cut = ?5 WHERE app = ?1 AND build = ?2";
    sql::execute(db, sql, params![app.0, build, count, bytes, cut])?;
    Ok(())
}
