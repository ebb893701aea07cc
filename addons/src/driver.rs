//! Whether an app brings a PostgreSQL driver: such an app cannot live on SQLite.

use crate::limits::MANIFEST_BYTES_MAX;

/// Drivers for Python, in normal form.
const PYTHON_DRIVERS: [&str; 11] = [
    "aiopg",
    "asyncpg",
    "pg8000",
    "psycopg",
    "psycopg-binary",
    "psycopg-c",
    "psycopg2",
    "psycopg2-binary",
    "psycopg2cffi",
    "py-postgresql",
    "psqlpy",
];
/// Drivers for Node.js.
const NODE_DRIVERS: [&str; 7] = ["pg", "pg-native", "pg-promise", "postgres", "slonik", "ts-postgres", "@databases/pg"];
/// What an extra of another Python package is called when it pulls in a driver.
const PYTHON_EXTRAS: [&str; 6] = ["postgresql", "postgres", "asyncpg", "postgresql-asyncpg", "postgresql-psycopg", "psycopg"];

/// The PostgreSQL driver that a manifest or lockfile names. `file` is its name without
/// folder; a file of another kind, or one that cannot be read, names none.
pub fn postgres_driver(file: &str, text: &str) -> Option<String> {
    if text.len() > MANIFEST_BYTES_MAX {
        return None;
    }
    match file {
        "package.json" => in_json(text, &["dependencies", "optionalDependencies"], &NODE_DRIVERS),
        "Pipfile.lock" => in_json(text, &["default"], &PYTHON_DRIVERS),
        "pyproject.toml" => in_pyproject(text),
        "uv.lock" | "poetry.lock" | "pdm.lock" => in_toml_packages(text),
        "requirements.txt" => text.lines().find_map(in_requirement),
        _ => None,
    }
}

fn in_json(text: &str, tables: &[&str], drivers: &[&str]) -> Option<String> {
    let manifest: serde_json::Value = serde_json::from_str(text).ok()?;
    let names = tables.iter().filter_map(|table| manifest.get(table)?.as_object()).flat_map(|table| table.keys());
    names.into_iter().find(|name| drivers.contains(&name.as_str())).cloned()
}

fn in_pyproject(text: &str) -> Option<String> {
    let manifest: toml::Table = text.parse().ok()?;
    let listed = manifest.get("project").and_then(|project| project.get("dependencies")?.as_array());
    let listed = listed.into_iter().flatten().find_map(|line| in_requirement(line.as_str()?));
    let poetry = manifest.get("tool").and_then(|tool| tool.get("poetry")?.get("dependencies")?.as_table());
    listed.or_else(|| poetry?.keys().find_map(|name| in_requirement(name)))
}

fn in_toml_packages(text: &str) -> Option<String> {
    let lock: toml::Table = text.parse().ok()?;
    let packages = lock.get("package")?.as_array()?;
    packages.iter().find_map(|package| in_requirement(package.get("name")?.as_str()?))
}

/// One line of a requirements file: `psycopg[binary] >= 3; python_version > "3.8"`.
fn in_requirement(line: &str) -> Option<String> {
    let line = line.trim_start();
    let end = line.find(|c: char| !(c.is_ascii_alphanumeric() || "-_.".contains(c))).unwrap_or(line.len());
    let name = normal(&line[..end]);
    if PYTHON_DRIVERS.contains(&name.as_str()) {
        return Some(name);
    }
    let extras = line[end..].trim_start().strip_prefix('[')?.split(']').next()?;
    let pulls_driver = extras.split(',').any(|extra| PYTHON_EXTRAS.contains(&normal(extra.trim()).as_str()));
    pulls_driver.then(|| format!("{name}[{extras}]"))
}

/// The name by which the package index knows a project: lower case, `-` for `-`, `_`, `.`.
fn normal(name: &str) -> String {
    name.to_ascii_lowercase().replace(['_', '.'], "-")
}

#[cfg(test)]
mod tests {
    use super::postgres_driver;

    #[test]
    fn python_drivers_are_found_in_every_spelling() {
        for line in [
            "psycopg2",
            "psycopg2-binary==2.9.9",
            "Psycopg2_Binary>=2",
            "  asyncpg ~= 0.29",
            "psycopg[binary,pool]>=3.1",
            "pg8000;python_version>'3.8'",
            "psycopg @ https://example.org/x.whl",
            "sqlalchemy[asyncio,postgresql]>=2",
            "databases[postgresql]",
            "psycopg2-binary --hash=sha256:00",
        ] {
            let text = format!("# an app\nflask==3.0\n{line}\ngunicorn\n");
            assert!(postgres_driver("requirements.txt", &text).is_some(), "{line}");
        }
        for line in ["flask", "# psycopg2", "psycopg2x", "my-psycopg2", "sqlalchemy", "-r psycopg2.txt", "sqlalchemy[asyncio]", "pg"] {
            assert_eq!(postgres_driver("requirements.txt", line), None, "{line}");
        }
    }

    #[test]
    fn node_drivers_count_where_they_are_installed_for_production() {
        let with = |table: &str, name: &str| postgres_driver("package.json", &format!(r#"{{"{table}": {{"{name}": "^8"}}}}"#));
        assert_eq!(with("dependencies", "pg").as_deref(), Some("pg"));
        assert_eq!(with("dependencies", "postgres").as_deref(), Some("postgres"));
        assert_eq!(with("optionalDependencies", "pg-native").as_deref(), Some("pg-native"));
        assert_eq!(with("devDependencies", "pg"), None);
        assert_eq!(with("dependencies", "sequelize"), None);
        assert_eq!(postgres_driver("package.json", r#"{"dependencies": []}"#), None);
        assert_eq!(postgres_driver("package.json", "{"), None);
    }

    #[test]
    fn manifests_and_lockfiles_of_other_tools_are_read() {
        let pyproject = "[project]\ndependencies = [\"flask\", \"psycopg[binary]>=3\"]\n";
        assert_eq!(postgres_driver("pyproject.toml", pyproject).as_deref(), Some("psycopg"));
        let poetry = "[tool.poetry.dependencies]\npython = \"^3.11\"\nasyncpg = \"*\"\n";
        assert_eq!(postgres_driver("pyproject.toml", poetry).as_deref(), Some("asyncpg"));
        let lock = "version = 1\n[[package]]\nname = \"flask\"\n[[package]]\nname = \"psycopg2-binary\"\n";
        assert_eq!(postgres_driver("uv.lock", lock).as_deref(), Some("psycopg2-binary"));
        assert_eq!(postgres_driver("Pipfile.lock", r#"{"default": {"pg8000": {}}}"#).as_deref(), Some("pg8000"));
        assert_eq!(postgres_driver("README.md", "psycopg2"), None);
    }
}
