//! `ps:why`: the story of an instance, from what the flight recorder kept.

use api::ps::{self, EndStory, InstanceRow, InstanceStory, LookRow, WhyReply};
use clap::Args;

use super::Result;
use super::context::Context;
use super::ps::{seconds_until, state_color};
use super::text::{self, View, paint};

/// `ps:why`.
#[derive(Debug, Args)]
pub struct Why {
    /// The instance; none tells of all of them
    instance: Option<String>,
}

/// Tells the story of an instance, or of all.
pub fn why(context: &Context, arguments: Why) -> Result {
    context.show(&ps::Why { app: context.app()?, instance: arguments.instance }, render)
}

fn render(reply: &WhyReply, view: &View) -> String {
    if reply.instances.is_empty() {
        return format!("Nothing runs on {} and nothing has ended yet: git push paas main\n", text::plain(&reply.app));
    }
    let stories: Vec<String> = reply.instances.iter().map(|story| text::lines(instance(story, view))).collect();
    stories.join("\n")
}

fn instance(story: &InstanceStory, view: &View) -> Vec<String> {
    let mut told = match &story.now {
        Some(now) => present(now, view),
        None => vec![format!("{} is not there any more.", text::plain(&story.name))],
    };
    if let Some(left) = &story.left {
        told.push(format!("A run of {} left in /app and lost: {}.", text::plain(&left.release), text::plain(&left.what)));
        told.extend(left.fix.as_ref().map(|fix| format!("From now on it stays with: {}", text::plain(fix))));
    }
    let Some((last, earlier)) = story.ends.split_first() else {
        told.push("None of its runs has ended yet.".to_owned());
        return told;
    };
    told.extend(end_of_run(last, view));
    if !earlier.is_empty() {
        told.extend([String::new(), "Before that:".to_owned()]);
        told.extend(earlier.iter().map(|end| earlier_end(end, view)));
    }
    told
}

fn present(now: &InstanceRow, view: &View) -> Vec<String> {
    let state = paint(&text::plain(&now.state), state_color(&now.state), view.color);
    let restarts = match now.restarts {
        0 => String::new(),
        1 => ", restarted once".to_owned(),
        count => format!(", restarted {count} times"),
    };
    let since = text::when(now.since_unix_ms, view);
    let mut told = vec![format!("{} is {state} since {since}, release {}{restarts}.", text::plain(&now.name), text::plain(&now.release))];
    told.extend(now.hint.as_ref().map(|hint| format!("It {}.", text::plain(hint))));
    told.extend(now.check.as_ref().map(|check| format!("The last check that passed: {}.", text::plain(check))));
    told.extend(now.next_start_unix_ms.map(|start| format!("It starts again in {}.", seconds_until(start, view))));
    told
}

/// `  2026/01/02 15:04:05 +0000  v7  exited 1 after 0.2 s`
fn earlier_end(end: &EndStory, view: &View) -> String {
    let code = end.code.as_ref().map(|code| format!(" ({})", text::plain(code))).unwrap_or_default();
    let ran = text::duration(end.ran_ms);
    format!(
        "  {}  {}  {}{code}, {}, ran {ran}",
        text::date(end.at_unix_ms, view),
        text::plain(&end.release),
        text::plain(&end.reason),
        text::plain(&end.status)
    )
}

fn end_of_run(end: &EndStory, view: &View) -> Vec<String> {
    let code = end.code.as_ref().map(|code| format!(" ({code})")).unwrap_or_default();
    let mut facts = vec![("  Why", format!("{}{code}", end.reason))];
    facts.extend(end.hint.as_ref().map(|hint| ("  Found", format!("it {hint}"))));
    facts.extend(end.fix.as_ref().map(|fix| ("  Fix", fix.clone())));
    facts.push(("  How", end.status.clone()));
    if end.out_of_memory {
        facts.push(("  Memory", "the machine ran out of it meanwhile, and the kernel ended processes".to_owned()));
    }
    facts.push(("  Release", end.release.clone()));
    facts.push(("  Ran for", text::duration(end.ran_ms)));
    let mut story = vec![String::new(), format!("Its last run ended {}:", text::when(end.at_unix_ms, view))];
    story.extend(text::pairs(&facts).lines().map(str::to_owned));
    if let Some(look) = &end.look {
        story.extend(processes(look));
    }
    if !end.probes.is_empty() {
        story.push("Its last checks:".to_owned());
        let row = |probe: &ps::ProbeRow| {
            vec![format!("  {}", text::date(probe.at_unix_ms, view)), probe.text.clone(), format!("after {}", milliseconds(probe.took_ms))]
        };
        story.extend(text::table(&end.probes.iter().map(row).collect::<Vec<_>>()).lines().map(str::to_owned));
    }
    story.push(if end.last_lines.is_empty() { "It had written nothing.".to_owned() } else { "Its last lines:".to_owned() });
    story.extend(end.last_lines.iter().map(|line| format!("  | {}", text::plain(line))));
    story
}

/// What its processes did before it was stopped.
fn processes(look: &LookRow) -> Vec<String> {
    let kind = if look.memory_is_share { "PSS" } else { "RSS" };
    let count = if look.processes == 1 { "1 process".to_owned() } else { format!("{} processes", look.processes) };
    let memory = look.memory_bytes.map(|bytes| format!(", {} of memory ({kind})", text::bytes(bytes)));
    let peak = look.memory_peak_bytes.map(|bytes| format!(", {} at most", text::bytes(bytes)));
    let files = look.open_files.map_or_else(|| ", open files not known".to_owned(), |count| format!(", {count} open files"));
    let mut told = vec![format!("Before it was stopped it was {count}{}{}{files}:", memory.unwrap_or_default(), peak.unwrap_or_default())];
    told.extend(look.threads.iter().map(|threads| format!("  {}", text::plain(threads))));
    if !look.peers.is_empty() {
        told.push(format!("  connected with {}", text::plain(&look.peers.join(", "))));
    }
    told
}

fn milliseconds(count: u64) -> String {
    if count < 1_000 { format!("{count} ms") } else { text::duration(count) }
}

#[cfg(test)]
mod tests {
    use super::super::ps::tests::instance as row;
    use super::super::text::tests::{hour_ago, view};
    use super::*;

    #[test]
    fn why_tells_a_story_that_cannot_drive_the_terminal() {
        let probe = |text: &str, took_ms| ps::ProbeRow { at_unix_ms: hour_ago(), text: text.to_owned(), took_ms };
        let last = EndStory {
            release: "v7".to_owned(),
            reason: "silent for 60 s (GET / -> no byte within 5 s)".to_owned(),
            status: "killed by SIGKILL".to_owned(),
            at_unix_ms: hour_ago(),
            ran_ms: 7_500_000,
            last_lines: vec!["starting".to_owned(), "\u{1b}[31mstuck\r-----> forged".to_owned()],
            probes: vec![probe("GET / -> 200", 3), probe("GET / -> no byte within 5 s", 5_000)],
            look: Some(LookRow {
                at_unix_ms: hour_ago(),
                processes: 1,
                memory_bytes: Some(31_400_000),
                memory_is_share: true,
                memory_peak_bytes: Some(40_000_000),
                open_files: Some(9),
                threads: vec!["python3: 2 threads waiting in futex_wait_queue".to_owned()],
                peers: vec!["127.0.0.1:5432".to_owned()],
            }),
            ..EndStory::default()
        };
        let earlier = EndStory {
            release: "v6".to_owned(),
            reason: "did not answer on $PORT within 60 s of its start".to_owned(),
            status: "killed by SIGKILL".to_owned(),
            code: Some("R10".to_owned()),
            at_unix_ms: hour_ago() - 60_000,
            ran_ms: 60_000,
            ..EndStory::default()
        };
        let now = InstanceRow { restarts: 2, check: Some("GET / -> 200".to_owned()), port: Some(20_017), ..row("web.1", "up") };
        let web = InstanceStory { name: "web.1".to_owned(), now: Some(now), left: None, ends: vec![last, earlier] };
        let left = ps::LeftRow {
            release: "v6".to_owned(),
            what: "app.db (12.3 KB)".to_owned(),
            fix: Some("paas storage:keep app.db -a hello".to_owned()),
        };
        let bot = InstanceStory { name: "bot.1".to_owned(), now: Some(row("bot.1", "up")), left: Some(left), ends: Vec::new() };
        let reply = WhyReply { app: "hello".to_owned(), instances: vec![bot, web] };
        insta::assert_snapshot!(render(&reply, &view()), @r"
        bot.1 is up since 2026/01/02 15:04:05 +0000 (~ 1h ago), release v7.
        A run of v6 left in /app and lost: app.db (12.3 KB).
        From now on it stays with: paas storage:keep app.db -a hello
        None of its runs has ended yet.

        web.1 is up since 2026/01/02 15:04:05 +0000 (~ 1h ago), release v7, restarted 2 times.
        The last check that passed: GET / -> 200.

        Its last run ended 2026/01/02 15:04:05 +0000 (~ 1h ago):
          Why:      silent for 60 s (GET / -> no byte within 5 s)
          How:      killed by SIGKILL
          Release:  v7
          Ran for:  2 h 5 min
        Before it was stopped it was 1 process, 31.4 MB of memory (PSS), 40.0 MB at most, 9 open files:
          python3: 2 threads waiting in futex_wait_queue
          connected with 127.0.0.1:5432
        Its last checks:
          2026/01/02 15:04:05 +0000  GET / -> 200                 after 3 ms
          2026/01/02 15:04:05 +0000  GET / -> no byte within 5 s  after 5.0 s
        Its last lines:
          | starting
          | stuck-----> forged

        Before that:
          2026/01/02 15:03:05 +0000  v6  did not answer on $PORT within 60 s of its start (R10), killed by SIGKILL, ran 1 min 0 s
        ");
    }

    #[test]
    fn what_the_port_doctor_found_stands_with_its_fix() {
        let end = EndStory {
            reason: "did not answer on $PORT within 60 s of its start".to_owned(),
            code: Some("R10".to_owned()),
            hint: Some("listens on 127.0.0.1:5000, not on $PORT=20017".to_owned()),
            fix: Some("start it with `flask run --host 0.0.0.0 --port $PORT`".to_owned()),
            status: "killed by SIGKILL".to_owned(),
            release: "v7".to_owned(),
            at_unix_ms: hour_ago(),
            ..EndStory::default()
        };
        let story = InstanceStory { name: "web.1".to_owned(), now: None, left: None, ends: vec![end] };
        insta::assert_snapshot!(render(&WhyReply { app: "hello".to_owned(), instances: vec![story] }, &view()), @r"
        web.1 is not there any more.

        Its last run ended 2026/01/02 15:04:05 +0000 (~ 1h ago):
          Why:      did not answer on $PORT within 60 s of its start (R10)
          Found:    it listens on 127.0.0.1:5000, not on $PORT=20017
          Fix:      start it with `flask run --host 0.0.0.0 --port $PORT`
          How:      killed by SIGKILL
          Release:  v7
          Ran for:  0.0 s
        It had written nothing.
        ");
    }
}
