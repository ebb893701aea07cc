//! Answers of the router itself: a page for browsers, JSON for programs that ask for
//! it, plain text for everyone else. No assets from elsewhere.

use std::fmt::Write;

use crate::failure::{Failure, reason};

/// What a client wants to read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Html,
    Json,
    Text,
}

const STYLE: &str = ":root{color-scheme:light dark}body{font:16px/1.5 system-ui,sans-serif;max-width:36rem;margin:15vh auto;padding:0 1.5rem;\
background:#fff;color:#1c1c1e}h1{font-size:1.5rem;margin:0 0 .5rem}code{font:.9em ui-monospace,monospace;background:#0001;padding:.15em .4em;border-radius:.3em}\
small{color:#6b6b70}@media(prefers-color-scheme:dark){body{background:#161618;color:#ececf0}code{background:#fff2}small{color:#9a9aa2}}";

/// How an answer of ours is framed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Manner<'a> {
    /// The client's `Accept`.
    pub(crate) accept: &'a [u8],
    /// It asked with HEAD.
    pub(crate) is_head: bool,
    /// Its connection stays open.
    pub(crate) keep_alive: bool,
    /// The HTTP/1 minor version it speaks.
    pub(crate) minor: u8,
}

/// The whole answer for a failure. `app` names the app in the command for its owner.
pub(crate) fn failure(failure: &Failure, app: Option<&str>, request_id: &str, manner: Manner<'_>) -> Vec<u8> {
    let command = failure.command.zip(app).map(|(command, app)| format!("paas {command} -a {app}"));
    let code = failure.code.unwrap_or("");
    let form = form(manner.accept);
    let body = match form {
        Form::Json => format!(
            "{{\"error\":\"{}\",\"code\":\"{code}\",\"message\":\"{}\",\"request_id\":\"{}\"}}\n",
            failure.heading,
            failure.meaning,
            escape(request_id)
        ),
        Form::Text => {
            let mut text = format!("{}\n{}\n", failure.heading, failure.meaning);
            if let Some(command) = &command {
                // Writing to a String cannot fail.
                let _ = writeln!(text, "{code}. If it is yours: {command}");
            }
            text
        }
        Form::Html => {
            let mut body = format!("<h1>{}</h1><p>{}</p>", escape(failure.heading), escape(failure.meaning));
            if let Some(command) = &command {
                let _ = write!(body, "<p>If it is yours, run <code>{}</code></p>", escape(command));
            }
            let _ = write!(body, "<p><small>{} {} &middot; {}</small></p>", failure.status, code, escape(request_id));
            page(failure.heading, &body)
        }
    };
    let retry = failure.retry_after_s.map(|seconds| format!("Retry-After: {seconds}\r\n")).unwrap_or_default();
    answer(failure.status, form, &format!("{retry}X-Request-Id: {request_id}\r\n"), &body, manner)
}

/// The page for whoever opens the box by its address.
pub(crate) fn welcome(manner: Manner<'_>) -> Vec<u8> {
    let form = form(manner.accept);
    let body = match form {
        Form::Json => "{\"paas\":\"ready\"}\n".to_owned(),
        Form::Text => "paas is running here.\nMake an app: paas apps:create\n".to_owned(),
        Form::Html => page(
            "paas",
            "<h1>paas is running here</h1><p>Apps answer to their own names and ports.</p><p>Make one: <code>paas apps:create</code>, then <code>git push paas main</code></p>",
        ),
    };
    answer(200, form, "", &body, manner)
}

fn answer(status: u16, form: Form, more: &str, body: &str, manner: Manner<'_>) -> Vec<u8> {
    let kind = match form {
        Form::Html => "text/html; charset=utf-8",
        Form::Json => "application/json",
        Form::Text => "text/plain; charset=utf-8",
    };
    let connection = match (manner.keep_alive, manner.minor) {
        (false, _) => "Connection: close\r\n",
        (true, 0) => "Connection: keep-alive\r\n",
        (true, _) => "",
    };
    let allow = if status == 405 { "Allow: GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS\r\n" } else { "" };
    let mut answer = format!(
        "HTTP/1.1 {status} {}\r\nContent-Type: {kind}\r\nContent-Length: {}\r\nCache-Control: no-store\r\n{allow}{more}{connection}\r\n",
        reason(status),
        body.len()
    );
    if !manner.is_head {
        answer.push_str(body);
    }
    answer.into_bytes()
}

fn form(accept: &[u8]) -> Form {
    let names = |kind: &str| {
        accept.split(|byte| *byte == b',').any(|range| {
            let range = range.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii();
            range.eq_ignore_ascii_case(kind.as_bytes())
        })
    };
    if names("text/html") {
        Form::Html
    } else if names("application/json") {
        Form::Json
    } else {
        Form::Text
    }
}

fn page(title: &str, body: &str) -> String {
    format!(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width\"><title>{}</title><style>{STYLE}</style>{body}\n",
        escape(title)
    )
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::failure::{HELD_TOO_LONG, UNKNOWN_HOST};

    const MANNER: Manner<'static> = Manner { accept: b"*/*", is_head: false, keep_alive: true, minor: 1 };

    #[test]
    fn each_kind_of_client_reads_its_own_form() {
        let shown = |accept: &'static [u8]| {
            String::from_utf8(failure(&HELD_TOO_LONG, Some("shop"), "ID", Manner { accept, ..MANNER })).expect("utf-8")
        };
        let html = shown(b"text/html,application/xhtml+xml;q=0.9");
        assert!(html.contains("<code>paas ps -a shop</code>") && html.contains("H20") && html.contains("Retry-After: 10\r\n"));
        assert!(!html.contains("http://") && !html.contains("https://"));
        assert!(shown(b"application/json").ends_with("\"request_id\":\"ID\"}\n"));
        assert!(shown(b"*/*").ends_with("H20. If it is yours: paas ps -a shop\n"));
    }

    #[test]
    fn an_unknown_host_learns_nothing() {
        let text = String::from_utf8(failure(&UNKNOWN_HOST, None, "ID", MANNER)).expect("utf-8");
        assert!(text.starts_with("HTTP/1.1 404 Not Found\r\n") && !text.contains("paas"));
    }

    #[test]
    fn a_head_answer_has_the_length_and_no_body() {
        let manner = Manner { is_head: true, ..MANNER };
        let text = String::from_utf8(failure(&UNKNOWN_HOST, None, "ID", manner)).expect("utf-8");
        assert!(text.contains("Content-Length: 51\r\n") && text.ends_with("\r\n\r\n"), "{text}");
    }
}
