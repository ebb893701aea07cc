//! package.json, as far as a plan needs it. Read leniently: npm itself judges it.

use builder::plan::PlanError;
use builder::{Problem, SourceTree};
use serde_json::{Map, Value};

pub(super) struct Package {
    fields: Map<String, Value>,
}

/// Packages that are drivers of PostgreSQL.
const DRIVERS: [&str; 8] = ["@databases/pg", "pg", "pg-native", "pg-pool", "pg-promise", "postgres", "slonik", "ts-postgres"];
const DEPENDENCIES: [&str; 4] = ["dependencies", "optionalDependencies", "devDependencies", "peerDependencies"];

impl Package {
    pub(super) fn read(tree: &dyn SourceTree) -> Result<Option<Self>, PlanError> {
        let Some(text) = tree.text("package.json")? else { return Ok(None) };
        match serde_json::from_str(&text) {
            Ok(Value::Object(fields)) => Ok(Some(Self { fields })),
            Ok(_) => Err(Problem::new("node.package_invalid", "package.json holds no object")
                .fix("make one: npm init -y")
                .file("package.json")
                .into()),
            Err(error) => {
                Err(Problem::new("node.package_invalid", format!("package.json:{}:{}: it is not valid JSON", error.line(), error.column()))
                    .why(error.to_string())
                    .fix("correct it there; `npm pkg fix` helps with small mistakes")
                    .file("package.json")
                    .at(error.line(), error.column())
                    .into())
            }
        }
    }

    pub(super) fn script(&self, name: &str) -> Option<&str> {
        self.fields.get("scripts")?.get(name)?.as_str().filter(|script| !script.trim().is_empty())
    }

    /// `main`, if it names a file below the top.
    pub(super) fn main(&self) -> Option<&str> {
        let main = self.fields.get("main")?.as_str()?.trim_start_matches("./");
        let plain = |c: char| c.is_ascii_alphanumeric() || "/._-".contains(c);
        (main.chars().all(plain) && !main.split('/').any(|part| part == "..") && !main.starts_with(['/', '-'])).then_some(main)
    }

    pub(super) fn engine(&self) -> Option<&str> {
        self.fields.get("engines")?.get("node")?.as_str()
    }

    /// Drivers count where they are installed for production.
    pub(super) fn has_postgresql_driver(&self) -> bool {
        let tables = DEPENDENCIES[..2].iter().filter_map(|kind| self.table(kind));
        tables.flat_map(Map::keys).any(|name| DRIVERS.contains(&name.as_str()))
    }

    pub(super) fn has_dependencies(&self) -> bool {
        let any = |kind: &&str| self.table(kind).is_some_and(|table| !table.is_empty());
        DEPENDENCIES.iter().any(any) || self.fields.contains_key("workspaces")
    }

    pub(super) fn has_dev_dependencies(&self) -> bool {
        self.table("devDependencies").is_some_and(|table| !table.is_empty())
    }

    /// What of the file decides over `node_modules`.
    pub(super) fn dependencies_text(&self) -> String {
        let kinds = DEPENDENCIES.iter().chain(&["overrides", "workspaces", "bundleDependencies", "bundledDependencies"]);
        let parts: Vec<String> = kinds.filter_map(|kind| self.fields.get(*kind).map(|value| format!("{kind}={value}"))).collect();
        parts.join("\n")
    }

    fn table(&self, kind: &str) -> Option<&Map<String, Value>> {
        self.fields.get(kind)?.as_object()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use builder::MemoryTree;

    #[test]
    fn drivers_of_postgresql_count_where_they_are_installed_for_production() {
        let has_driver = |table: &str, name: &str| {
            let text = format!(r#"{{"{table}": {{"{name}": "^8"}}}}"#);
            let tree = MemoryTree::from([("package.json", text.as_str())]);
            Package::read(&tree).expect("reads").expect("a package").has_postgresql_driver()
        };
        assert!(has_driver("dependencies", "pg") && has_driver("dependencies", "@databases/pg"));
        assert!(has_driver("optionalDependencies", "pg-native"));
        assert!(!has_driver("devDependencies", "pg") && !has_driver("dependencies", "sequelize"));
    }
}
