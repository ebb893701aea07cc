//! `checks` and `checks:run`.

use api::checks::{CheckRow, Checks, ChecksReply, Run, RunReply, TryRow};

use super::context::{Context, typed};
use super::text::{self, Color, View, paint};
use super::{End, Result};

/// What is checked, how, since when it passes.
pub fn show(context: &Context) -> Result {
    context.show(&Checks { app: context.app()? }, render)
}

fn render(reply: &ChecksReply, view: &View) -> String {
    if reply.instances.is_empty() {
        return format!("Nothing of {} runs, so nothing is checked\n", text::plain(&reply.app));
    }
    let mut lines = Vec::new();
    for instance in &reply.instances {
        let says = instance.status.as_ref().map(|status| format!(", says: {}", text::plain(status))).unwrap_or_default();
        let words = [&instance.name, &instance.state, &instance.release].map(|word| text::plain(word));
        lines.push(paint(&format!("=== {} {} ({}){says}", words[0], words[1], words[2]), Color::Bold, view.color));
        if instance.checks.is_empty() {
            lines.push("being alive is enough: nothing else is checked".to_owned());
        }
        lines.extend(instance.checks.iter().flat_map(|check| check_lines(check, view)));
        lines.push(String::new());
    }
    text::lines(lines)
}

fn check_lines(check: &CheckRow, view: &View) -> [String; 2] {
    let color = match check.state.as_str() {
        "passing" => Color::Green,
        "failing" => Color::Red,
        _ => Color::Yellow,
    };
    let state = paint(&text::plain(&check.state), color, view.color);
    let mut parts = vec![format!("{state} since {}", text::when(check.since_unix_ms, view))];
    if check.failures > 0 {
        parts.push(format!(
            "{} in a row",
            if check.failures == 1 { "1 failure".to_owned() } else { format!("{} failures", check.failures) }
        ));
    }
    if let Some(answer) = &check.answer {
        let took = check.took_ms.map(|took| format!(" in {took} ms")).unwrap_or_default();
        parts.push(format!("last: {}{took}", text::plain(answer)));
    }
    let head = format!("{:<11}{}: {}", text::plain(&check.kind), text::plain(&check.check), parts.join(", "));
    [head, format!("{:<11}{}", "", text::plain(&check.rule))]
}

/// Tries each check now. It ends with 1 if one of them fails.
pub fn run(context: &Context) -> Result {
    let value = context.call(&Run { app: context.app()? })?;
    let reply = typed::<Run>(value.clone())?;
    if context.output.json {
        context.output.json(&value)?;
    } else {
        context.output.data(&render_run(&reply, &context.output.view()))?;
    }
    let has_failed = reply.tries.iter().any(|tried| tried.passed == Some(false));
    if has_failed { Err(End::Exit(1)) } else { Ok(()) }
}

fn render_run(reply: &RunReply, view: &View) -> String {
    if reply.tries.is_empty() {
        return "There is nothing to try: no instance that runs has a check\n".to_owned();
    }
    text::lines(reply.tries.iter().flat_map(|tried| try_lines(tried, view)))
}

fn try_lines(tried: &TryRow, view: &View) -> [String; 2] {
    let (word, color) = match tried.passed {
        Some(true) => ("passed", Color::Green),
        Some(false) => ("failed", Color::Red),
        None => ("not made", Color::Yellow),
    };
    let [instance, kind, check, request, answer] =
        [&tried.instance, &tried.kind, &tried.check, &tried.request, &tried.answer].map(|word| text::plain(word));
    [format!("{instance} {kind} {check}: {} in {} ms", paint(word, color, view.color), tried.took_ms), format!("  {request} -> {answer}")]
}

#[cfg(test)]
mod tests {
    use api::checks::InstanceChecks;

    use super::super::text::tests::{hour_ago, view};
    use super::*;

    fn check(kind: &str, check: &str, state: &str, failures: u32, answer: Option<&str>) -> CheckRow {
        CheckRow {
            check: check.to_owned(),
            kind: kind.to_owned(),
            rule: "every 5 s, 5 s for an answer, 3 failures in a row count".to_owned(),
            warn: false,
            state: state.to_owned(),
            since_unix_ms: hour_ago(),
            answer: answer.map(str::to_owned),
            took_ms: answer.map(|_| 12),
            failures,
        }
    }

    #[test]
    fn each_check_is_shown_with_its_state_its_last_answer_and_its_rule() {
        let instance = |name: &str, state: &str, status: Option<&str>, checks| InstanceChecks {
            name: name.to_owned(),
            release: "v7".to_owned(),
            state: state.to_owned(),
            status: status.map(str::to_owned),
            checks,
        };
        let checks = vec![
            check("readiness", "GET /ready", "failing", 4, Some("503")),
            check("liveness", "queue\u{1b}[2J", "waiting", 1, Some("exited 1: stuck")),
            check("default", "GET /", "passing", 0, None),
        ];
        let instances = vec![instance("web.1", "unready", None, checks), instance("worker.1", "up", Some("12 jobs"), vec![])];
        insta::assert_snapshot!(render(&ChecksReply { app: "hello".to_owned(), instances }, &view()), @r"
        === web.1 unready (v7)
        readiness  GET /ready: failing since 2026/01/02 15:04:05 +0000 (~ 1h ago), 4 failures in a row, last: 503 in 12 ms
                   every 5 s, 5 s for an answer, 3 failures in a row count
        liveness   queue: waiting since 2026/01/02 15:04:05 +0000 (~ 1h ago), 1 failure in a row, last: exited 1: stuck in 12 ms
                   every 5 s, 5 s for an answer, 3 failures in a row count
        default    GET /: passing since 2026/01/02 15:04:05 +0000 (~ 1h ago)
                   every 5 s, 5 s for an answer, 3 failures in a row count

        === worker.1 up (v7), says: 12 jobs
        being alive is enough: nothing else is checked
        ");
    }

    #[test]
    fn a_try_is_shown_with_its_request_its_answer_and_its_time() {
        let tried = |check: &str, answer: &str, passed| TryRow {
            instance: "web.1".to_owned(),
            release: "v7".to_owned(),
            check: check.to_owned(),
            kind: "liveness".to_owned(),
            request: "GET http://127.0.0.1:20017/healthz, Host: hello.box".to_owned(),
            answer: answer.to_owned(),
            passed,
            took_ms: 7,
        };
        let tries = vec![tried("GET /healthz", "503", Some(false)), tried("alive", "200", Some(true)), tried("x", "launch is away", None)];
        insta::assert_snapshot!(render_run(&RunReply { tries }, &view()), @r"
        web.1 liveness GET /healthz: failed in 7 ms
          GET http://127.0.0.1:20017/healthz, Host: hello.box -> 503
        web.1 liveness alive: passed in 7 ms
          GET http://127.0.0.1:20017/healthz, Host: hello.box -> 200
        web.1 liveness x: not made in 7 ms
          GET http://127.0.0.1:20017/healthz, Host: hello.box -> launch is away
        ");
    }
}
