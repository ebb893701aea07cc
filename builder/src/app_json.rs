//! The `app.json` of a source tree.

use std::collections::BTreeMap;

use model::ProcessType;
use model::author::{AppJson, AppJsonError};

use crate::{Problem, SourceTree};

/// Reads it, if there is one; with it come lines about what is odd.
pub(crate) fn read(tree: &dyn SourceTree) -> Result<(AppJson, Vec<String>), Problem> {
    let unreadable = |error| Problem::system("app_json.unreadable", "app.json cannot be read", &error);
    let Some(bytes) = tree.read("app.json", crate::limits::PLAN_FILE_BYTES_MAX).map_err(unreadable)? else {
        return Ok(Default::default());
    };
    let (app_json, odd) = AppJson::parse(&bytes).map_err(|error| Problem::from(&error))?;
    Ok((app_json, odd.into_iter().map(|text| format!("app.json: {text}")).collect()))
}

/// What it says of process types that there are not.
pub(crate) fn unknown_types(app_json: &AppJson, commands: &BTreeMap<ProcessType, String>) -> Vec<String> {
    let named = app_json.checks.keys().map(|name| ("healthchecks", name)).chain(app_json.formation.keys().map(|name| ("formation", name)));
    let unknown = named.filter(|(_, name)| !commands.contains_key(*name));
    unknown.map(|(key, name)| format!("app.json: `{key}.{name}` is about a process type that is not declared")).collect()
}

impl From<&AppJsonError> for Problem {
    fn from(error: &AppJsonError) -> Self {
        Self::new("app_json.invalid", error.to_string()).fix(error.fix.clone()).file("app.json").at(error.line, error.column)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::MemoryTree;

    #[test]
    fn a_broken_app_json_is_a_problem_with_its_place_and_none_is_no_problem() {
        assert_eq!(read(&MemoryTree::from([] as [(&str, &str); 0])).expect("none"), Default::default());
        let tree = MemoryTree::from([("app.json", "{\n  \"healthchecks\": {,}\n}")]);
        let problem = read(&tree).expect_err("refused");
        assert_eq!((&*problem.code, problem.line, problem.column), ("app_json.invalid", Some(2), Some(20)));
    }

    #[test]
    fn checks_of_processes_that_are_not_declared_are_told() {
        let tree = MemoryTree::from([(
            "app.json",
            r#"{"healthchecks": {"wbe": [{"uptime": 5}]}, "formation": {"web": {"quantity": 1}}, "x": 1}"#,
        )]);
        let (app_json, odd) = read(&tree).expect("read");
        assert_eq!(odd, ["app.json: `x` is not known and does nothing"]);
        let commands = BTreeMap::from([(ProcessType::web(), "x".to_owned())]);
        assert_eq!(unknown_types(&app_json, &commands), ["app.json: `healthchecks.wbe` is about a process type that is not declared"]);
    }
}
