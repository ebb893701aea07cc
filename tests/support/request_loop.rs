//! Requests without end in the background, each counted: what visitors of a busy app see.

use std::collections::BTreeMap;
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::host::Host;
use super::http::Request;

/// Visitors at once.
const VISITORS: usize = 2;
/// Pause of a visitor between two requests: the machine builds releases meanwhile.
const PAUSE: Duration = Duration::from_millis(15);
/// How many failures a report shows.
const SHOWN_FAILURES: usize = 10;

/// What was seen.
#[derive(Debug, Default)]
pub(crate) struct Report {
    /// Requests that were answered with 200.
    pub(crate) answered: usize,
    /// What went wrong, with the second since the start of the loop.
    pub(crate) failures: Vec<String>,
    /// Release → answers from it.
    pub(crate) releases: BTreeMap<String, usize>,
    /// The longest wait for an answer.
    pub(crate) longest: Duration,
}

/// Visitors that keep asking until they are stopped.
#[derive(Debug)]
pub(crate) struct RequestLoop {
    visitors: Vec<(Sender<()>, JoinHandle<Report>)>,
}

impl RequestLoop {
    /// Asks an app for the facts about itself, again and again.
    pub(crate) fn start(host: &Host, app: &str) -> Self {
        let (port, name) = (host.seat.http(), format!("{app}.localhost"));
        let visitor = |_| {
            let (stop, stopped) = mpsc::channel();
            let name = name.clone();
            let thread = std::thread::spawn(move || {
                let started = Instant::now();
                let mut report = Report::default();
                while stopped.recv_timeout(PAUSE) == Err(RecvTimeoutError::Timeout) {
                    ask(port, &name, started, &mut report);
                }
                report
            });
            (stop, thread)
        };
        Self { visitors: (0..VISITORS).map(visitor).collect() }
    }

    /// Stops asking and tells what was seen.
    pub(crate) fn stop(self) -> Report {
        let mut all = Report::default();
        for (stop, thread) in self.visitors {
            drop(stop);
            let report = thread.join().expect("a visitor");
            all.answered += report.answered;
            all.failures.extend(report.failures);
            all.longest = all.longest.max(report.longest);
            for (release, count) in report.releases {
                *all.releases.entry(release).or_default() += count;
            }
        }
        all
    }
}

fn ask(port: u16, name: &str, started: Instant, report: &mut Report) {
    let request = Request { headers: &["Accept: application/json"], ..Request::get(name, "/") };
    let asked = Instant::now();
    let outcome = request.send(port);
    report.longest = report.longest.max(asked.elapsed());
    let second = started.elapsed().as_secs_f32();
    match outcome {
        Ok(response) if response.status == 200 => {
            report.answered += 1;
            let release = response.json()["release"].as_str().unwrap_or("?").to_owned();
            *report.releases.entry(release).or_default() += 1;
        }
        Ok(response) => report.failures.push(format!("{second:.2} s: {} {}", response.status, response.body)),
        Err(error) => report.failures.push(format!("{second:.2} s: {error}")),
    }
}

impl Report {
    /// Fails the test if a single request failed, or if there were hardly any.
    #[track_caller]
    pub(crate) fn expect_no_failure(&self) -> &Self {
        let shown: Vec<_> = self.failures.iter().take(SHOWN_FAILURES).collect();
        assert!(self.failures.is_empty(), "{} of {} requests failed: {shown:#?}", self.failures.len(), self.answered + self.failures.len());
        assert!(self.answered > 0, "no request was made");
        self
    }
}
