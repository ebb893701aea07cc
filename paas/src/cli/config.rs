//! `config` and its like.

use std::collections::BTreeMap;

use api::config::{self, GetReply};
use api::{Failure, Kind};
use clap::Args;
use model::EnvKey;

use super::context::{Context, typed};
use super::text::{self, Color, View, paint};
use super::{Result, dotenv, input};
use crate::git::words;
use crate::limits;

/// What stands for a value that is not shown.
const MASK: &str = "********";

/// `config`.
#[derive(Debug, Args)]
pub struct Show {
    /// Show the values on a terminal too
    #[arg(long = "show")]
    unmasked: bool,
    /// As lines that a shell reads: K='v'
    #[arg(short, long)]
    shell: bool,
    /// As one JSON object of names and values
    #[arg(short)]
    j: bool,
}

/// Shows all config vars. On a terminal the table hides values; the forms that
/// programs read never do.
pub fn show(context: &Context, arguments: &Show) -> Result {
    let app = context.app()?;
    let value = context.call(&config::Get { app: app.clone() })?;
    if context.output.json {
        return context.output.json(&value);
    }
    let reply = typed::<config::Get>(value)?;
    if arguments.j {
        return context.output.json(&serde_json::json!(all_vars(&reply)));
    }
    if arguments.shell {
        return context.output.data(&render_shell(&reply));
    }
    let view = context.output.view();
    let masked = view.terminal && !arguments.unmasked;
    context.output.data(&render(&app, &reply, masked, &view))?;
    if masked && !(reply.vars.is_empty() && reply.addon_vars.is_empty()) {
        context.output.line("Values are hidden on a terminal: --show shows them, config:get NAME prints one.");
    }
    Ok(())
}

fn render(app: &str, reply: &GetReply, masked: bool, view: &View) -> String {
    if reply.vars.is_empty() && reply.addon_vars.is_empty() {
        return format!("No config vars on {app}: paas config:set NAME=value\n");
    }
    let shown = |value: &str| if masked { MASK.to_owned() } else { value.replace('\n', "\\n") };
    let own = reply.vars.iter().map(|(name, value)| vec![format!("{name}:"), shown(value)]);
    let addons = reply
        .addon_vars
        .iter()
        .filter(|(name, _)| !reply.vars.contains_key(*name))
        .map(|(name, value)| vec![format!("{name}:"), format!("{} (add-on)", shown(value))]);
    let mut rows: Vec<Vec<String>> = own.chain(addons).collect();
    rows.sort();
    format!("{}\n{}", paint(&format!("=== {app} Config Vars"), Color::Bold, view.color), text::table(&rows))
}

/// What a process finds: config vars win over add-on values.
fn all_vars(reply: &GetReply) -> BTreeMap<String, String> {
    let mut vars = reply.addon_vars.clone();
    vars.extend(reply.vars.clone());
    vars
}

fn render_shell(reply: &GetReply) -> String {
    text::lines(all_vars(reply).iter().map(|(name, value)| format!("{name}={}", words::quote_if_needed(value))))
}

/// `config:get`.
#[derive(Debug, Args)]
pub struct Get {
    /// The name
    name: String,
}

/// Prints one value exactly, with a line end behind it.
pub fn get(context: &Context, arguments: &Get) -> Result {
    let app = context.app()?;
    let reply = typed::<config::Get>(context.call(&config::Get { app: app.clone() })?)?;
    let Some(value) = reply.vars.get(&arguments.name).or_else(|| reply.addon_vars.get(&arguments.name)) else {
        return Err(Failure::new(Kind::NotFound, "config.not_set", format!("{app} has no config var {}", arguments.name))
            .fix(format!("`paas config -a {app}` lists them"))
            .into());
    };
    if context.output.json {
        return context.output.json(&serde_json::Value::String(value.clone()));
    }
    context.output.data(&format!("{value}\n"))
}

/// `config:set`.
#[derive(Debug, Args)]
pub struct Set {
    /// K=V; K=- reads the value from standard input (one line end at its end is dropped)
    #[arg(required = true, value_name = "K=V")]
    vars: Vec<String>,
    /// Save without a restart: used from the next release on
    #[arg(long)]
    no_restart: bool,
}

/// Sets config vars.
pub fn set(context: &Context, arguments: &Set) -> Result {
    let app = context.app()?;
    let mut set = parse_assignments(&arguments.vars)?;
    let from_input: Vec<String> = set.iter().filter(|(_, value)| *value == "-").map(|(name, _)| name.clone()).collect();
    match from_input.as_slice() {
        [] => {}
        [name] => {
            let value = input::all(&context.output, &format!("the value of {name}"), model::limits::ENV_VALUE_BYTES_MAX as u64 + 1)?;
            set.insert(name.clone(), value.strip_suffix('\n').map(str::to_owned).unwrap_or(value));
        }
        [..] => {
            return Err(Failure::new(
                Kind::Usage,
                "config.one_input",
                "standard input holds one value, and several are to be read from it",
            )
            .fix("paas config:import < .env sets many at once")
            .into());
        }
    }
    change(context, "Setting", &config::Change { app, set, unset: Vec::new(), no_restart: arguments.no_restart })
}

/// `K=V` words. A word without `=` is what is left of a value that fell apart.
fn parse_assignments(words: &[String]) -> Result<BTreeMap<String, String>, Failure> {
    let mut set = BTreeMap::new();
    for word in words {
        let Some((name, value)) = word.split_once('=') else { return Err(stray_word(word)) };
        name.parse::<EnvKey>()?;
        if set.insert(name.to_owned(), value.to_owned()).is_some() {
            return Err(Failure::new(Kind::Usage, "config.twice", format!("{name} is given twice")).fix("give it once"));
        }
    }
    Ok(set)
}

fn stray_word(word: &str) -> Failure {
    Failure::new(
        Kind::Usage,
        "config.stray_word",
        format!("`{}` is not NAME=value", text::cut(&text::plain(word), limits::SHOWN_WORD_CHARS_MAX)),
    )
    .why("a value with blanks fell apart: the shell, and ssh once more, split at blanks that are not quoted")
    .fix("hand the value over on standard input: paas config:set NAME=- < FILE, or many: paas config:import < .env")
}

/// `config:unset`.
#[derive(Debug, Args)]
pub struct Unset {
    /// The names
    #[arg(required = true, value_name = "NAME")]
    names: Vec<String>,
    /// Save without a restart: used from the next release on
    #[arg(long)]
    no_restart: bool,
}

/// Removes config vars.
pub fn unset(context: &Context, arguments: Unset) -> Result {
    for name in &arguments.names {
        name.parse::<EnvKey>().map_err(Failure::from)?;
    }
    let app = context.app()?;
    change(context, "Unsetting", &config::Change { app, set: BTreeMap::new(), unset: arguments.names, no_restart: arguments.no_restart })
}

/// `config:import`.
#[derive(Debug, Args)]
pub struct Import {
    /// Save without a restart: used from the next release on
    #[arg(long)]
    no_restart: bool,
}

/// Sets what a `.env` file on standard input holds.
pub fn import(context: &Context, arguments: &Import) -> Result {
    let app = context.app()?;
    let set = dotenv::read(&input::all(&context.output, "the .env file", limits::DOTENV_BYTES_MAX)?)?;
    if set.is_empty() {
        return Err(Failure::new(Kind::Usage, "dotenv.empty", "there is no NAME=value on standard input")
            .fix("paas config:import < .env")
            .into());
    }
    change(context, "Setting", &config::Change { app, set, unset: Vec::new(), no_restart: arguments.no_restart })
}

fn change(context: &Context, verb: &str, operation: &config::Change) -> Result {
    let names: Vec<&str> = operation.set.keys().chain(&operation.unset).map(String::as_str).collect();
    let restarting = if operation.no_restart { "on" } else { "and restarting" };
    let step = format!("{verb} {} {restarting} {}", names.join(", "), operation.app);
    context
        .change(&step, operation, |reply| match &reply.release {
            _ if reply.unchanged => "done, nothing was different".to_owned(),
            Some(release) => format!("done, {release}"),
            None => "done".to_owned(),
        })
        .map(drop)
}

#[cfg(test)]
mod tests {
    use super::super::text::tests::view;
    use super::*;

    fn reply() -> GetReply {
        let map = |pairs: &[(&str, &str)]| pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        GetReply {
            vars: map(&[("KEY", "it's $HOME\nand more"), ("A", "plain-1.2"), ("EMPTY", "")]),
            addon_vars: map(&[("DATABASE_URL", "postgresql://u:p@127.0.0.1/d")]),
        }
    }

    #[test]
    fn the_table_of_config_vars_hides_values_on_a_terminal() {
        insta::assert_snapshot!(render("hello", &reply(), false, &view()), @r"
        === hello Config Vars
        A:             plain-1.2
        DATABASE_URL:  postgresql://u:p@127.0.0.1/d (add-on)
        EMPTY:
        KEY:           it's $HOME\nand more
        ");
        let masked = render("hello", &reply(), true, &view());
        assert!(masked.contains(MASK) && !masked.contains("plain-1.2") && !masked.contains("postgresql"));
    }

    #[test]
    fn the_shell_form_comes_back_through_a_shell_unchanged() {
        let script = format!("{}printf '%s|' \"$KEY\" \"$A\" \"$EMPTY\" \"$DATABASE_URL\"", render_shell(&reply()));
        let output = std::process::Command::new("sh").args(["-c", &script]).output().expect("sh");
        assert_eq!(String::from_utf8_lossy(&output.stdout), "it's $HOME\nand more|plain-1.2||postgresql://u:p@127.0.0.1/d|");
    }

    #[test]
    fn all_vars_are_one_object_in_which_config_vars_win() {
        let mut reply = reply();
        reply.vars.insert("DATABASE_URL".to_owned(), "mine".to_owned());
        let all = all_vars(&reply);
        assert_eq!(all.get("DATABASE_URL").map(String::as_str), Some("mine"));
        assert_eq!(all.len(), 4);
    }

    #[test]
    fn a_stray_word_is_refused_with_the_hint_and_never_guessed() {
        let failure = parse_assignments(&["GREETING=hello".to_owned(), "world".to_owned()]).expect_err("stray");
        assert_eq!(failure.code, "config.stray_word");
        assert!(failure.fix.expect("fix").contains("config:import"));
        for bad in ["1A=x", "=x", "A B=x"] {
            assert!(parse_assignments(&[bad.to_owned()]).is_err(), "{bad:?} was taken");
        }
        let set = parse_assignments(&["A=b=c".to_owned(), "B=".to_owned()]).expect("taken");
        assert_eq!((set["A"].as_str(), set["B"].as_str()), ("b=c", ""));
    }
}
