//! What a server does with the runs of an earlier one.

use std::time::Duration;

use model::ExitStatus;
use runner::runs::{Adopted, StartError};

use crate::scenarios::{APP, Server};

impl Server {
    pub(crate) async fn start_and_leave(&self) {
        self.prepare().await;
        let run = self.start("web.1-v1-1", "echo up; sleep 1000").await;
        self.wait_for_line("web.1-v1-1", "up").await;
        std::fs::write(self.root.join("runs/1/last-shim"), run.shim_pid().to_string()).expect("note");
    }

    pub(crate) async fn adopt_and_stop(&self) {
        let Ok(Adopted::Live(run)) = self.runs.adopt(APP, "web.1-v1-1").await else { panic!("it lives") };
        let noted = std::fs::read_to_string(self.root.join("runs/1/last-shim")).expect("note");
        assert_eq!(run.shim_pid().to_string(), noted);
        assert!(self.runs.forget(APP, "web.1-v1-1").is_err(), "a live run is not forgotten");
        run.stop(Duration::from_secs(20)).await.expect("stop");
        let end = run.gone().await;
        assert_eq!(end.status, ExitStatus::Signal { signal: 15, core: false });
        let Ok(Adopted::Ended(again)) = self.runs.adopt(APP, "web.1-v1-1").await else { panic!("it is over") };
        assert_eq!(again, end);
        let next = self.run("web.1-v1-2", "exit 8").await;
        assert_eq!(next.status, ExitStatus::Code(8), "launch serves the next server");
    }

    pub(crate) async fn adopt_lost(&self) {
        // The signal may not have done its work yet.
        let end = match self.runs.adopt(APP, "web.1-v1-1").await.expect("adopt") {
            Adopted::Live(run) => run.gone().await,
            Adopted::Ended(end) => end,
        };
        assert_eq!((end.status, end.shim_lost, end.rebooted), (ExitStatus::Unknown, true, false));
        let Ok(Adopted::Ended(again)) = self.runs.adopt(APP, "web.1-v1-1").await else { panic!("it stays over") };
        assert_eq!(again, end);
        self.runs.forget(APP, "web.1-v1-1").expect("forget");
    }

    /// The run that was left ends and leaves no record; its shim's number then belongs to
    /// somebody else, here to a run that has another folder.
    pub(crate) async fn adopt_stranger(&self) {
        let Ok(Adopted::Live(run)) = self.runs.adopt(APP, "web.1-v1-1").await else { panic!("it lives") };
        let stranger = self.start("web.1-v1-2", "echo up; sleep 1000").await;
        self.wait_for_line("web.1-v1-2", "up").await;
        let folder = self.root.join("runs/1/web.1-v1-1");
        let text = std::fs::read_to_string(folder.join("process")).expect("process");
        assert!(text.contains(&run.shim_pid().to_string()), "{text}");
        let reused = text.replace(&run.shim_pid().to_string(), &stranger.shim_pid().to_string());
        std::fs::remove_file(folder.join("process")).expect("the shim's own file");
        std::fs::write(folder.join("process"), reused).expect("a number that was used again");
        // While its lock is held nobody can say whose number that is: it is neither over
        // nor somebody to send signals to.
        match self.runs.adopt(APP, "web.1-v1-1").await {
            Ok(Adopted::Live(mistaken)) => panic!("{} was taken for it", mistaken.shim_pid()),
            Ok(Adopted::Ended(end)) => panic!("it is over while its lock is held: {end:?}"),
            Err(_) => {}
        }
        run.kill().await.expect("kill");
        run.gone().await;
        drop(std::fs::remove_file(folder.join("exit")));
        let Ok(Adopted::Ended(end)) = self.runs.adopt(APP, "web.1-v1-1").await else { panic!("it is over") };
        assert!(end.shim_lost);
        let Ok(Adopted::Live(again)) = self.runs.adopt(APP, "web.1-v1-2").await else { panic!("the stranger was hit") };
        again.kill().await.expect("kill");
        again.gone().await;
    }

    pub(crate) async fn adopt_mute(&self) {
        std::fs::remove_file(self.root.join("runs/1/web.1-v1-1/sock")).expect("nobody can be reached");
        let Ok(Adopted::Live(run)) = self.runs.adopt(APP, "web.1-v1-1").await else { panic!("it lives") };
        run.stop(Duration::ZERO).await.expect_err("nobody listens");
        run.kill().await.expect("kill");
        let end = run.gone().await;
        assert_eq!((end.status, end.shim_lost), (ExitStatus::Unknown, true));
    }

    pub(crate) async fn adopt_unclear(&self) {
        let folder = self.root.join("runs/1/web.1-v1-1");
        let process = std::fs::read(folder.join("process")).expect("process");
        std::fs::remove_file(folder.join("process")).expect("the shim's own file");
        std::fs::write(folder.join("process"), b"\xff\xfe").expect("broken");
        let error = self.runs.adopt(APP, "web.1-v1-1").await.expect_err("it may live or not");
        assert_ne!(error.kind(), std::io::ErrorKind::NotFound);
        std::fs::write(folder.join("process"), process).expect("whole again");
        let Ok(Adopted::Live(run)) = self.runs.adopt(APP, "web.1-v1-1").await else { panic!("it lives") };
        std::fs::write(folder.join("process"), b"\xff\xfe").expect("broken");
        run.kill().await.expect("kill");
        run.gone().await;
        let Ok(Adopted::Ended(end)) = self.runs.adopt(APP, "web.1-v1-1").await else { panic!("nobody holds its lock") };
        assert_eq!(end.status, ExitStatus::Signal { signal: 9, core: false });
        std::fs::remove_file(folder.join("exit")).expect("exit");
        std::fs::create_dir(folder.join("exit")).expect("what cannot be read or replaced");
        let Ok(Adopted::Ended(end)) = self.runs.adopt(APP, "web.1-v1-1").await else { panic!("it is over whatever the disk says") };
        assert!(end.shim_lost);
    }

    pub(crate) async fn launch_gone(&self) {
        let error = self.runs.start(Self::request("web.1-v1-9", "exit 0")).await.expect_err("no launch");
        assert!(matches!(error, StartError::LaunchGone), "{error}");
        assert_eq!(self.runs.folders(APP).expect("folders"), ["web.1-v1-1"]);
    }

    pub(crate) async fn reboot(&self) {
        self.prepare().await;
        let run = self.start("web.1-v1-1", "sleep 1000").await;
        run.kill().await.expect("kill");
        run.gone().await;
        let folder = self.root.join("runs/1/web.1-v1-1");
        std::fs::remove_file(folder.join("exit")).expect("as if it had not been written");
        let text = std::fs::read_to_string(folder.join("process")).expect("process");
        let boot = text.lines().find_map(|line| line.strip_prefix("boot_id ")).expect("boot id");
        let other = text.replace(boot, "00000000-0000-0000-0000-000000000000");
        std::fs::remove_file(folder.join("process")).expect("the shim's own file");
        std::fs::write(folder.join("process"), other).expect("another boot");
        let Ok(Adopted::Ended(end)) = self.runs.adopt(APP, "web.1-v1-1").await else { panic!("it is over") };
        assert_eq!((end.status, end.shim_lost, end.rebooted), (ExitStatus::Unknown, false, true));
    }
}
