//! A private SSH server on a loopback port, with keys of its own and no account of its
//! own: root lends it a second `/etc/passwd` that only its processes see.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use super::host::Host;
use super::{SOON, tools, wait_until};

/// The server and where its keys are.
#[derive(Debug)]
pub(crate) struct Sshd {
    server: Child,
    port: u16,
    folder: PathBuf,
    user: String,
}

impl Sshd {
    /// Starts it for the login user of a host.
    pub(crate) fn start(host: &Host) -> Self {
        let folder = host.path("sshd");
        fs::create_dir(&folder).expect("folder of sshd");
        host.give_to_caller(&folder);
        make_key(host, &folder.join("host_key"));
        let settings = format!(
            "Port {}\nListenAddress 127.0.0.1\nHostKey {key}\nPidFile none\nAuthorizedKeysFile {keys}\nStrictModes no\nUsePAM no\n\
             PasswordAuthentication no\nKbdInteractiveAuthentication no\nAcceptEnv GIT_PROTOCOL\nClientAliveInterval 3\nClientAliveCountMax 2\n",
            host.seat.sshd(),
            key = folder.join("host_key").display(),
            keys = host.root().join("ssh/authorized_keys").display(),
        );
        fs::write(folder.join("config"), settings).expect("settings of sshd");
        // Debian's sshd wants it and makes it only when systemd starts it.
        drop(fs::create_dir("/run/sshd"));
        let log = fs::File::create(folder.join("log")).expect("log of sshd");
        let sshd = tools::find("sshd");
        let mut words = host.with_passwd();
        words.extend([sshd.to_string_lossy().into_owned(), "-D".into(), "-e".into(), "-f".into()]);
        let mut command = Command::new(&words[0]);
        command.args(&words[1..]).arg(folder.join("config")).stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        let server = command.spawn().expect("sshd starts");
        let sshd = Self { server, port: host.seat.sshd(), folder, user: host.login_user() };
        wait_until("sshd listens", SOON, || std::net::TcpStream::connect(("127.0.0.1", sshd.port)).ok());
        sshd
    }

    /// Makes a person's key pair and returns the file of the public half.
    pub(crate) fn key(&self, host: &Host, person: &str) -> PathBuf {
        let file = self.folder.join(person);
        make_key(host, &file);
        file.with_extension("pub")
    }

    /// What GIT_SSH_COMMAND must be for a person.
    pub(crate) fn ssh_command(&self, person: &str) -> String {
        format!("ssh {}", self.client_words(person).join(" "))
    }

    /// Words of an ssh client for a person, the destination excluded.
    pub(crate) fn client_words(&self, person: &str) -> Vec<String> {
        let key = self.folder.join(person);
        let options = ["StrictHostKeyChecking=no", "UserKnownHostsFile=/dev/null", "IdentitiesOnly=yes", "BatchMode=yes", "LogLevel=ERROR"];
        let mut words: Vec<String> = vec!["-F".into(), "none".into(), "-i".into(), key.to_string_lossy().into_owned()];
        words.extend(options.iter().flat_map(|option| ["-o".to_owned(), (*option).to_owned()]));
        words.extend(["-p".to_owned(), self.port.to_string()]);
        words
    }

    /// `paas@127.0.0.1`.
    pub(crate) fn destination(&self) -> String {
        format!("{}@127.0.0.1", self.user)
    }

    /// The git remote of an app.
    pub(crate) fn remote(&self, app: &str) -> String {
        format!("ssh://{}:{}/{app}", self.destination(), self.port)
    }

    /// What sshd logged.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.folder.join("log")).unwrap_or_default()
    }
}

fn make_key(host: &Host, file: &Path) {
    tools::run("ssh-keygen", &["-q", "-t", "ed25519", "-N", "", "-f", &file.to_string_lossy()]);
    host.give_to_caller(file);
    host.give_to_caller(&file.with_extension("pub"));
}

impl Drop for Sshd {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("--- log of sshd\n{}", self.log());
        }
        drop(self.server.kill());
        drop(self.server.wait());
    }
}
