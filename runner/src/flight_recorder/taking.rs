//! Taking down what happens to a run: probes with their times, a look at its processes
//! before it is stopped, and what the port doctor says.

use std::time::Duration;

use model::engine::LastEnd;
use model::{Hostname, ProbeSeen};
use tokio::time::{Instant, timeout};

use crate::checks::ProbeOutcome;
use crate::host::Live;
use crate::instance_task::{self, Done, Subject};
use crate::limits::{LOOK_MAX, PORT_DOCTOR_AFTER};
use crate::listener::Address;
use crate::port_doctor::{self, Finding};
use crate::run_look::RunLook;
use crate::runs::Over;

impl Subject {
    /// Probes, and notes what came of it and how long it took.
    pub(crate) async fn probe_once(&self, port: u16, host_name: Hostname, first_byte_within: Duration) -> ProbeOutcome {
        let (at_unix_ms, begin) = (self.host.unix_ms(), Instant::now());
        let outcome = self.host.probe(self.number, port, host_name, first_byte_within).await;
        let took_ms = u64::try_from(begin.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.recorder.probed(self.run.number, ProbeSeen { at_unix_ms, text: outcome.describe(), took_ms });
        outcome
    }

    /// Tells a run to stop. One that nobody asked to stop is looked at first: a hang can
    /// only be understood while it lasts.
    pub(crate) async fn stop(self, live: Live, grace: Duration, look_first: bool, abort: bool) -> Done {
        if look_first {
            self.look_at(&live).await;
        }
        if abort { instance_task::abort(live, self.run, grace).await } else { instance_task::stop(live, self.run, grace).await }
    }

    /// The same for one that is killed.
    pub(crate) async fn kill(self, live: Live, look_first: bool) -> Done {
        if look_first {
            self.look_at(&live).await;
        }
        instance_task::kill(live, self.run).await
    }

    async fn look_at(&self, live: &Live) {
        let Some(shim_pid) = live.shim_pid() else { return };
        let Ok(look) = timeout(LOOK_MAX, self.host.look(self.number, shim_pid)).await else { return };
        if let Some(Finding::Elsewhere(hint)) = self.diagnosis(&look) {
            self.recorder.hint(self.run.number, hint);
        }
        self.recorder.looked(self.run.number, look, self.host.unix_ms());
    }

    /// Looks where a web instance listens that has not bound its port: soon after its start,
    /// then further and further apart, until it has or something is found.
    pub(crate) async fn diagnose(self, live: Live) -> Done {
        let mut wait = PORT_DOCTOR_AFTER;
        let gone = live.gone();
        tokio::pin!(gone);
        loop {
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                _ = &mut gone => return Done::Nothing,
            }
            wait *= 2;
            let Some(shim_pid) = live.shim_pid() else { return Done::Nothing };
            let look = self.host.look(self.number, shim_pid).await;
            match self.diagnosis(&look) {
                Some(Finding::Nowhere) => {}
                Some(Finding::Elsewhere(hint)) => {
                    self.recorder.hint(self.run.number, hint.clone());
                    return Done::Diagnosed(self.key, self.run.number, hint);
                }
                Some(Finding::Bound) | None => return Done::Nothing,
            }
        }
    }

    /// `None`: it has no port.
    fn diagnosis(&self, look: &RunLook) -> Option<Finding> {
        let flight = self.recorder.of(self.run.number)?;
        let port = flight.port?;
        if look.is_exact {
            return Some(port_doctor::diagnose(port, &look.listens, &flight.fix));
        }
        // Told by the app's user alone: what belongs to its other instances is left out.
        let others = self.recorder.ports_of_others(self.run.number);
        let is_others = |at: &Address| matches!(at, Address::Tcp(address) if others.contains(&Some(address.port())));
        let listens: Vec<_> = look.listens.iter().filter(|socket| !is_others(&socket.at)).cloned().collect();
        let finding = port_doctor::diagnose(port, &listens, &flight.fix);
        Some(if others.is_empty() { finding } else { finding.of_somebody_in(&self.run.instance.app, port) })
    }

    /// What the doctor says of a run that ended because its address was taken.
    pub(crate) async fn explain(&self, lines: &[String]) {
        let Some(flight) = self.recorder.of(self.run.number) else { return };
        let Some(own_port) = flight.port.filter(|_| port_doctor::says_in_use(lines)) else { return };
        let port = port_doctor::port_in_use(lines);
        let holder = match port {
            Some(port) => self.host.holder(self.number, port, self.recorder.others(self.run.number)).await,
            None => None,
        };
        self.recorder.hint(self.run.number, port_doctor::taken(own_port, port, holder.as_deref(), &flight.fix));
    }

    /// Keeps the end of a run that never was.
    pub(crate) async fn keep(self, end: LastEnd) -> Done {
        self.host.keep_end(self.number, end).await;
        Done::Nothing
    }

    /// Keeps the end of a run, then removes what the run left behind.
    pub(crate) async fn keep_and_tidy(self, end: Option<LastEnd>, over: Option<Over>) -> Done {
        if let Some(end) = end.filter(super::is_kept) {
            self.host.keep_end(self.number, end).await;
        }
        self.tidy(over).await
    }
}
