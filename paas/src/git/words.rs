//! The words of an SSH command, split as a POSIX shell would and never run by one.

use std::path::Path;
use std::str::FromStr;

use api::git::{Git, Verb};
use api::{Failure, Kind};
use model::AppName;

use crate::limits;

/// Why a text is no list of words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum WordsError {
    /// A quote is opened and never closed.
    #[error("a quote is not closed")]
    OpenQuote,
    /// A backslash with nothing after it.
    #[error("a backslash stands at the end")]
    LooseBackslash,
    /// An unquoted sign that a shell would act on.
    #[error("`{0}` would need a shell, and there is none here")]
    ShellSign(char),
    /// A control character outside quotes.
    #[error("a control character stands between the words")]
    Control,
    /// Over the limit.
    #[error("the command is too long")]
    TooLong,
}

/// Splits a text into words: blanks, single and double quotes, backslashes. Signs
/// that a shell would act on are refused, not interpreted.
pub fn split(text: &str) -> Result<Vec<String>, WordsError> {
    if text.len() > limits::SSH_COMMAND_BYTES_MAX {
        return Err(WordsError::TooLong);
    }
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut signs = text.chars();
    while let Some(sign) = signs.next() {
        match sign {
            ' ' | '\t' => words.extend(word.take()),
            '\'' => single_quoted(&mut signs, word.get_or_insert_default())?,
            '"' => double_quoted(&mut signs, word.get_or_insert_default())?,
            '\\' => word.get_or_insert_default().push(signs.next().ok_or(WordsError::LooseBackslash)?),
            '|' | '&' | ';' | '<' | '>' | '(' | ')' | '$' | '`' => return Err(WordsError::ShellSign(sign)),
            _ if sign.is_control() => return Err(WordsError::Control),
            _ => word.get_or_insert_default().push(sign),
        }
        if words.len() > limits::SSH_COMMAND_WORDS_MAX {
            return Err(WordsError::TooLong);
        }
    }
    words.extend(word);
    Ok(words)
}

fn single_quoted(signs: &mut std::str::Chars<'_>, word: &mut String) -> Result<(), WordsError> {
    loop {
        match signs.next().ok_or(WordsError::OpenQuote)? {
            '\'' => return Ok(()),
            sign => word.push(sign),
        }
    }
}

fn double_quoted(signs: &mut std::str::Chars<'_>, word: &mut String) -> Result<(), WordsError> {
    loop {
        match signs.next().ok_or(WordsError::OpenQuote)? {
            '"' => return Ok(()),
            '\\' => match signs.next().ok_or(WordsError::OpenQuote)? {
                sign @ ('"' | '\\' | '$' | '`') => word.push(sign),
                '\n' => {}
                sign => word.extend(['\\', sign]),
            },
            sign @ ('$' | '`') => return Err(WordsError::ShellSign(sign)),
            sign => word.push(sign),
        }
    }
}

/// A word as a POSIX shell reads it back unchanged.
pub fn quote(word: &str) -> String {
    format!("'{}'", word.replace('\'', r"'\''"))
}

/// A word quoted only if a shell would read it otherwise.
pub fn quote_if_needed(word: &str) -> String {
    let plain = !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-./:,@%+=".contains(&byte));
    if plain { word.to_owned() } else { quote(word) }
}

/// The command that git or sshd runs through a shell to come to the door: `rest` is words of
/// our own.
pub fn door_command(program: &Path, root: &Path, rest: &str) -> String {
    let quoted = |path: &Path| quote(&path.to_string_lossy());
    format!("{} --root {} internal door {rest}", quoted(program), quoted(root))
}

/// What an SSH command asks of git.
pub fn git_request(command: &str, protocol: Option<&str>) -> Result<Git, Failure> {
    let words = split(command)
        .map_err(|error| Failure::new(Kind::Usage, "door.words", "this command cannot be read").why(error.to_string()).fix(COMMANDS))?;
    let mut words = words.iter().map(String::as_str);
    // `git receive-pack` in two words is what some clients send.
    let verb = match words.next() {
        Some("git") => words.next().map(|verb| format!("git-{verb}")),
        verb => verb.map(str::to_owned),
    };
    let verb = match verb.as_deref() {
        Some("git-receive-pack") => Verb::ReceivePack,
        Some("git-upload-pack") => Verb::UploadPack,
        Some("git-lfs-authenticate" | "git-lfs-transfer") => return Err(no_large_files()),
        other => return Err(unknown_command(other)),
    };
    let (Some(repository), None) = (words.next(), words.next()) else {
        return Err(Failure::new(Kind::Usage, "door.repository", "git names one repository, and this command does not").fix(COMMANDS));
    };
    request(verb, repository, protocol)
}

/// A git verb on a repository word; both ways to the door end here.
pub fn request(verb: Verb, repository: &str, protocol: Option<&str>) -> Result<Git, Failure> {
    Ok(Git { repository: repository_app(repository)?.to_string(), verb, protocol: protocol.and_then(protocol_version) })
}

/// The app that a repository word names: `hello`, `/hello`, `~/hello`, `hello.git`.
pub fn repository_app(word: &str) -> Result<AppName, Failure> {
    let name = word.strip_prefix("~/").or_else(|| word.strip_prefix('/')).unwrap_or(word);
    let name = name.strip_suffix('/').unwrap_or(name);
    let name = name.strip_suffix(".git").unwrap_or(name);
    AppName::from_str(name).map_err(|invalid| Failure::from(invalid).fix("the path of the git remote is the app's name: paas@box:hello"))
}

/// Only `version=1` and `version=2` reach git.
fn protocol_version(variable: &str) -> Option<String> {
    if variable.len() > limits::GIT_PROTOCOL_BYTES_MAX {
        return None;
    }
    variable.split(':').find(|part| matches!(*part, "version=1" | "version=2")).map(str::to_owned)
}

const COMMANDS: &str = "over SSH there are: git push, git fetch and git clone of paas@box:APP";

fn unknown_command(verb: Option<&str>) -> Failure {
    match verb {
        None => Failure::new(Kind::Usage, "door.no_shell", "you are known here, and there is no shell").fix(COMMANDS),
        Some(verb) => {
            let shown: String = verb.chars().filter(|sign| !sign.is_control()).take(limits::SHOWN_WORD_CHARS_MAX).collect();
            Failure::new(Kind::Usage, "door.unknown_command", format!("there is no command `{shown}` here")).fix(COMMANDS)
        }
    }
}

fn no_large_files() -> Failure {
    Failure::new(Kind::Refused, "door.lfs", "Git LFS is not served here")
        .why("a large file would be an LFS pointer in the slug, not the file")
        .fix("take the files out of LFS (`git lfs migrate export --include='*'`) or have the app fetch them, then push again; `git push --no-verify` skips the upload")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: &[&str]) {
        assert_eq!(split(text).expect(text), expected, "{text:?}");
    }

    #[test]
    fn words_are_split_as_a_shell_would() {
        check("", &[]);
        check("  a\t b ", &["a", "b"]);
        check("git-receive-pack '/hello'", &["git-receive-pack", "/hello"]);
        check(r#"a'b c'"d e"\ f"#, &["ab cd e f"]);
        check(r#""\$x \" \\ \n""#, &[r#"$x " \ \n"#]);
        check("'' \"\"", &["", ""]);
        check(r"'it'\''s'", &["it's"]);
    }

    #[test]
    fn what_would_need_a_shell_is_refused() {
        for text in ["a;b", "a|b", "a&b", "$(id)", "`id`", "\"$(id)\"", "a>b", "a\nb", "'a", "\"a", "\"a\\", "a\\"] {
            assert!(split(text).is_err(), "{text:?} was taken");
        }
        assert_eq!(split(&"x".repeat(limits::SSH_COMMAND_BYTES_MAX + 1)), Err(WordsError::TooLong));
        assert_eq!(split(&"x ".repeat(limits::SSH_COMMAND_WORDS_MAX + 2)), Err(WordsError::TooLong));
    }

    #[test]
    fn a_repository_word_is_an_app_name_after_one_unquoting() {
        for word in ["hello", "/hello", "~/hello", "hello.git", "/hello.git", "/hello/"] {
            assert_eq!(repository_app(word).expect(word).as_str(), "hello");
        }
        for word in ["", "/", "//hello", "../hello", "hello/../x", "--upload-pack=x", "'hello'", "he llo", "hello.git.git", "/srv/hello"] {
            assert!(repository_app(word).is_err(), "{word:?} was taken");
        }
    }

    #[test]
    fn only_two_verbs_pass_and_each_refusal_says_what_there_is() {
        let push = git_request("git-receive-pack '/hello'", None).expect("push");
        assert_eq!((push.repository.as_str(), push.verb), ("hello", Verb::ReceivePack));
        let fetch = git_request("git upload-pack 'hello.git'", Some("version=2:bad")).expect("fetch");
        assert_eq!((fetch.verb, fetch.protocol.as_deref()), (Verb::UploadPack, Some("version=2")));
        for command in [
            "",
            "git-upload-archive 'hello'",
            "ls",
            "git-receive-pack",
            "git-receive-pack a b",
            "git",
            "rm -rf /",
            "git-receive-pack --help",
            "git-receive-pack 'hello' --x",
        ] {
            let failure = git_request(command, None).expect_err(command);
            assert!(failure.fix.is_some(), "{command:?} has no fix");
        }
        let failure = git_request("git-lfs-authenticate hello upload", None).expect_err("LFS");
        assert_eq!(failure.code, "door.lfs");
        assert!(failure.why.is_some() && failure.fix.is_some());
    }

    #[test]
    fn only_a_plain_protocol_version_is_passed_on() {
        assert_eq!(protocol_version("version=2"), Some("version=2".to_owned()));
        for bad in ["", "version=3", "version=2\n", "side-band", "version=22", &"version=2:".repeat(100)] {
            assert_eq!(protocol_version(bad), None, "{bad:?}");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_split_or_refused_and_quoting_comes_back(text in "\\PC*|[ -~]{0,80}") {
            let _ = split(&text);
            let _ = git_request(&text, Some(&text));
            proptest::prop_assert_eq!(split(&quote(&text)), Ok(vec![text.clone()]));
            proptest::prop_assert_eq!(split(&quote_if_needed(&text)), Ok(vec![text]));
        }
    }
}
