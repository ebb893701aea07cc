//! Contents of files: small ones through libgit2, large ones through one
//! `git cat-file --batch`, which streams.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use git2::Oid;

/// What the exporter keeps of git's own environment: inside a push the objects are in
/// quarantine, and only these lead there.
const KEPT_VARIABLES: [&str; 4] = ["GIT_OBJECT_DIRECTORY", "GIT_ALTERNATE_OBJECT_DIRECTORIES", "GIT_QUARANTINE_PATH", "PATH"];

/// A running `git cat-file --batch`.
pub(super) struct CatFile {
    child: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
}

impl CatFile {
    pub(super) fn start(git_folder: &Path) -> io::Result<Self> {
        let mut command = Command::new("git");
        command.args(["cat-file", "--batch"]).env_clear().env("GIT_DIR", git_folder).env("GIT_NO_LAZY_FETCH", "1");
        command.env("GIT_CONFIG_NOSYSTEM", "1").env("GIT_NO_REPLACE_OBJECTS", "1");
        for name in KEPT_VARIABLES {
            if let Some(value) = std::env::var_os(name) {
                command.env(name, value);
            }
        }
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn()?;
        let missing = || io::Error::from(io::ErrorKind::BrokenPipe);
        let input = child.stdin.take();
        let output = BufReader::new(child.stdout.take().ok_or_else(missing)?);
        Ok(Self { child, input, output })
    }

    /// Hands the content of a blob of exactly `size` bytes to `write`.
    pub(super) fn blob(&mut self, oid: Oid, size: u64, write: impl FnOnce(&mut dyn Read) -> io::Result<()>) -> io::Result<()> {
        let input = self.input.as_mut().ok_or(io::ErrorKind::BrokenPipe)?;
        writeln!(input, "{oid}")?;
        input.flush()?;
        let mut header = Vec::new();
        (&mut self.output).take(200).read_until(b'\n', &mut header)?;
        if header != format!("{oid} blob {size}\n").as_bytes() {
            let text = model::text::clean_bytes(&header, 120);
            return Err(io::Error::new(io::ErrorKind::InvalidData, format!("git cat-file answered `{text}`")));
        }
        write(&mut (&mut self.output).take(size))?;
        let mut end = [0];
        self.output.read_exact(&mut end)?;
        if end == *b"\n" { Ok(()) } else { Err(io::ErrorKind::InvalidData.into()) }
    }
}

impl Drop for CatFile {
    fn drop(&mut self) {
        // Without its stdin it ends by itself; killing covers the case in the middle of a blob.
        drop(self.input.take());
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
