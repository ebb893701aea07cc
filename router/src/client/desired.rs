//! What should be served, and what of it a session has still to say.

use std::collections::BTreeMap;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use model::{AppName, AppRoutes, RunId, Traffic};
use tokio::sync::oneshot;

use crate::limits;
use crate::protocol::FromServer;

/// What a router is asked.
#[derive(Debug, Clone)]
pub(super) enum Question {
    /// How long ago the last byte of a run was seen.
    LastByte(RunId),
    /// How the requests of an app have ended.
    Traffic(AppName),
}

/// What it answers.
#[derive(Debug)]
pub(super) enum Answer {
    LastByte(Option<Duration>),
    Traffic(BTreeMap<RunId, Traffic>),
}

/// What should be served. Each change has a number; a session remembers how far it is.
#[derive(Debug, Default)]
pub(super) struct Desired {
    seq: u64,
    known: bool,
    apps: BTreeMap<AppName, (u64, AppRoutes)>,
    deleted: BTreeMap<u64, AppName>,
    /// Who has said less than this says everything.
    whole_below: u64,
    ports: BTreeMap<AppName, Port>,
    ports_changes: u64,
    queries: BTreeMap<u64, (Question, oneshot::Sender<Answer>)>,
    query: u64,
}

/// An app's lasting port.
#[derive(Debug)]
struct Port {
    change: u64,
    /// None: closed.
    listener: Option<Arc<OwnedFd>>,
    /// A router handed it back: only one that lacks it needs to hear of it.
    handed_back: bool,
}

/// How far a session is.
#[derive(Debug, Default)]
pub(super) struct Progress {
    seq: u64,
    ports_changes: u64,
    query: u64,
}

/// One thing to say.
#[derive(Debug)]
pub(super) struct Saying {
    pub(super) frame: FromServer,
    pub(super) descriptor: Option<Arc<OwnedFd>>,
}

impl Desired {
    pub(super) fn seq(&self) -> u64 {
        self.seq
    }

    pub(super) fn replace(&mut self, apps: Vec<AppRoutes>) {
        self.known = true;
        self.seq += 1;
        self.whole_below = self.seq;
        self.deleted.clear();
        self.apps = apps.into_iter().map(|routes| (routes.app.clone(), (self.seq, routes))).collect();
    }

    /// Has everybody say everything once more; its number, which is later than that of any
    /// change so far.
    pub(super) fn again(&mut self) -> u64 {
        self.seq += 1;
        self.whole_below = self.seq;
        self.seq
    }

    pub(super) fn put(&mut self, routes: AppRoutes) {
        self.seq += 1;
        self.apps.insert(routes.app.clone(), (self.seq, routes));
    }

    pub(super) fn delete(&mut self, app: &AppName) {
        self.seq += 1;
        self.apps.remove(app);
        self.deleted.insert(self.seq, app.clone());
        if self.deleted.len() > limits::DELETIONS_REMEMBERED_MAX
            && let Some((seq, _)) = self.deleted.pop_first()
        {
            self.whole_below = self.whole_below.max(seq);
        }
    }

    pub(super) fn listen(&mut self, app: &AppName, listener: Option<Arc<OwnedFd>>) {
        self.ports_changes += 1;
        self.ports.insert(app.clone(), Port { change: self.ports_changes, listener, handed_back: false });
    }

    /// A copy of what a router listens on, for the next one; what was said of this port
    /// since is newer.
    pub(super) fn keep(&mut self, app: AppName, listener: OwnedFd) {
        self.ports_changes += 1;
        let change = self.ports_changes;
        self.ports.entry(app).or_insert_with(|| Port { change, listener: Some(Arc::new(listener)), handed_back: true });
    }

    /// Apps whose lasting port this client can hand over by itself.
    pub(super) fn handed_over(&self) -> impl Iterator<Item = AppName> {
        self.ports.iter().filter(|(_, port)| port.listener.is_some()).map(|(app, _)| app.clone())
    }

    /// `None` when too many questions are open.
    pub(super) fn ask(&mut self, question: Question, answer: oneshot::Sender<Answer>) -> Option<u64> {
        if self.queries.len() >= limits::EVENTS_WAITING_MAX {
            return None;
        }
        self.query += 1;
        self.queries.insert(self.query, (question, answer));
        Some(self.query)
    }

    pub(super) fn forget(&mut self, query: u64) {
        self.queries.remove(&query);
    }

    pub(super) fn answer(&mut self, query: u64, answer: Answer) {
        if let Some((_, asked)) = self.queries.remove(&query) {
            // Whoever asked may have given up.
            let _ = asked.send(answer);
        }
    }

    /// What a session that is at `progress` has to say, and moves it on.
    pub(super) fn say(&self, progress: &mut Progress, has_port: impl Fn(&AppName) -> bool) -> Vec<Saying> {
        let mut sayings = Vec::new();
        if self.known && progress.seq < self.whole_below {
            let apps = self.apps.values().map(|(_, routes)| routes.into()).collect();
            sayings.push(plain(FromServer::Snapshot { seq: self.seq, apps }));
        } else if self.known {
            let puts = self.apps.values().filter(|(seq, _)| *seq > progress.seq);
            let deletes = self.deleted.range(progress.seq + 1..).filter(|(_, app)| !self.apps.contains_key(*app));
            let mut changes: Vec<_> = puts
                .map(|(seq, routes)| (*seq, FromServer::Put { seq: *seq, routes: routes.into() }))
                .chain(deletes.map(|(seq, app)| (*seq, FromServer::Delete { seq: *seq, app: app.to_string() })))
                .collect();
            changes.sort_by_key(|(seq, _)| *seq);
            sayings.extend(changes.into_iter().map(|(_, frame)| plain(frame)));
        }
        for (app, port) in self.ports.iter().filter(|(_, port)| port.change > progress.ports_changes) {
            let named = app.to_string();
            match &port.listener {
                // A new session: the router kept it from the last server, or has it already.
                Some(_) if (progress.ports_changes == 0 || port.handed_back) && has_port(app) => {}
                Some(listener) => {
                    sayings.push(Saying { frame: FromServer::Listen { app: named }, descriptor: Some(listener.clone()) });
                }
                None => sayings.push(plain(FromServer::Unlisten { app: named })),
            }
        }
        let queries = self.queries.range(progress.query + 1..);
        sayings.extend(queries.map(|(query, (question, _))| {
            plain(match question {
                Question::LastByte(run) => FromServer::LastByte { query: *query, run: run.into() },
                Question::Traffic(app) => FromServer::Traffic { query: *query, app: app.to_string() },
            })
        }));
        // Without a table nothing counts as said.
        let seq = if self.known { self.seq } else { 0 };
        *progress = Progress { seq, ports_changes: self.ports_changes, query: self.query };
        sayings
    }
}

fn plain(frame: FromServer) -> Saying {
    Saying { frame, descriptor: None }
}

#[cfg(test)]
mod tests {
    use model::Pool;

    use super::*;

    fn routes(app: &str) -> AppRoutes {
        AppRoutes { app: app.parse().expect("name"), number: model::AppNumber(1), hosts: Vec::new(), port: 8101, pool: Pool::Stopped }
    }

    fn said(desired: &Desired, progress: &mut Progress) -> Vec<String> {
        let describe = |saying: Saying| match saying.frame {
            FromServer::Snapshot { seq, apps } => format!("snapshot {seq} of {}", apps.len()),
            FromServer::Put { seq, routes } => format!("put {seq} {}", routes.app),
            FromServer::Delete { seq, app } => format!("delete {seq} {app}"),
            other => format!("{other:?}"),
        };
        desired.say(progress, |_| false).into_iter().map(describe).collect()
    }

    #[test]
    fn nothing_is_said_before_the_server_knows_its_apps() {
        let (mut desired, mut progress) = (Desired::default(), Progress::default());
        desired.put(routes("early"));
        assert!(said(&desired, &mut progress).is_empty());
        desired.replace(vec![routes("early"), routes("other")]);
        assert_eq!(said(&desired, &mut progress), ["snapshot 2 of 2"]);
    }

    #[test]
    fn only_the_last_state_of_each_app_is_said_in_order() {
        let (mut desired, mut progress) = (Desired::default(), Progress::default());
        desired.replace(Vec::new());
        said(&desired, &mut progress);
        for app in ["aa", "bb", "aa", "cc"] {
            desired.put(routes(app));
        }
        desired.delete(&"bb".parse().expect("name"));
        assert_eq!(said(&desired, &mut progress), ["put 4 aa", "put 5 cc", "delete 6 bb"]);
        assert!(said(&desired, &mut progress).is_empty());
        assert_eq!(said(&desired, &mut Progress::default()), ["snapshot 6 of 2"]);
    }

    #[test]
    fn a_port_that_a_router_handed_back_is_for_those_that_lack_it_and_never_newer_than_what_was_said() {
        let (mut desired, mut progress) = (Desired::default(), Progress::default());
        let (kept, closed): (AppName, AppName) = ("kept".parse().expect("name"), "closed".parse().expect("name"));
        let socket = || OwnedFd::from(std::net::TcpListener::bind("127.0.0.1:0").expect("bind"));
        desired.listen(&closed, None);
        said(&desired, &mut progress);
        desired.keep(kept.clone(), socket());
        desired.keep(closed.clone(), socket());
        assert!(desired.say(&mut progress, |app| *app == kept).is_empty(), "the router has it");
        assert!(desired.handed_over().eq([kept.clone()]));
        assert_eq!(said(&desired, &mut Progress::default()), [r#"Unlisten { app: "closed" }"#, r#"Listen { app: "kept" }"#]);
        desired.listen(&kept, None);
        assert_eq!(said(&desired, &mut progress), [r#"Unlisten { app: "kept" }"#]);
    }

    #[test]
    fn a_session_that_missed_forgotten_deletions_says_everything() {
        let mut desired = Desired::default();
        desired.replace(Vec::new());
        let (mut progress, mut behind) = (Progress::default(), Progress::default());
        said(&desired, &mut progress);
        said(&desired, &mut behind);
        for _ in 0..=limits::DELETIONS_REMEMBERED_MAX {
            desired.put(routes("aa"));
            desired.delete(&"aa".parse().expect("name"));
        }
        assert_eq!(said(&desired, &mut behind).len(), 1);
    }
}
