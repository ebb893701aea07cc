//! How launch starts stage 0: numbers of descriptors as arguments, nothing else.

use std::os::fd::RawFd;

use crate::limits::CHILD_DESCRIPTORS_MAX;
use crate::wire::Malformed;

/// The namespaces of a run in the order in which a shim hands them out and stage 0 enters
/// them: user, mount, IPC, UTS, PID.
pub const NAMESPACES: [&str; 5] = ["user", "mnt", "ipc", "uts", "pid"];

/// Where the child's outputs go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OutputDescriptors {
    /// Into segments in this folder.
    Log(RawFd),
    /// stdin, stdout and stderr as they are.
    Inherit {
        /// stdin.
        stdin: RawFd,
        /// stdout.
        stdout: RawFd,
        /// stderr.
        stderr: RawFd,
        /// Whether stdin becomes the controlling terminal.
        terminal: bool,
    },
}

/// The descriptors of `shim apply`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Invocation {
    /// The list of operations, a memfd of launch.
    pub operations: RawFd,
    /// The spec, a sealed memfd of control.
    pub spec: RawFd,
    /// Where reports go.
    pub reply: RawFd,
    /// The lock of the run folder.
    pub lock: RawFd,
    /// The run folder.
    pub folder: RawFd,
    /// The child's outputs.
    pub output: OutputDescriptors,
    /// What the child finds from 3 on.
    pub child: Vec<RawFd>,
}

impl Invocation {
    /// The arguments behind the program's name.
    pub fn to_arguments(&self) -> Vec<String> {
        let mut words = vec!["apply".to_owned()];
        words.extend([self.operations, self.spec, self.reply, self.lock, self.folder].map(|fd| fd.to_string()));
        match self.output {
            OutputDescriptors::Log(folder) => words.extend(["log".to_owned(), folder.to_string()]),
            OutputDescriptors::Inherit { stdin, stdout, stderr, terminal } => {
                words.push(if terminal { "terminal" } else { "inherit" }.to_owned());
                words.extend([stdin, stdout, stderr].map(|fd| fd.to_string()));
            }
        }
        words.extend(self.child.iter().map(ToString::to_string));
        words
    }

    /// Every descriptor that is named.
    pub fn descriptors(&self) -> Vec<RawFd> {
        let mut all = vec![self.operations, self.spec, self.reply, self.lock, self.folder];
        match self.output {
            OutputDescriptors::Log(folder) => all.push(folder),
            OutputDescriptors::Inherit { stdin, stdout, stderr, .. } => all.extend([stdin, stdout, stderr]),
        }
        all.extend(&self.child);
        all
    }

    /// Reads the arguments behind `apply`.
    pub fn from_arguments(words: &[String]) -> Result<Self, Malformed> {
        let mut words = words.iter();
        let mut number = || {
            let word = words.next().ok_or(Malformed::Missing("a descriptor"))?;
            word.parse::<RawFd>().map_err(|_| Malformed::Missing("a number"))
        };
        let [operations, spec, reply, lock, folder] = [number()?, number()?, number()?, number()?, number()?];
        let kind = words.next().ok_or(Malformed::Missing("the kind of output"))?;
        let rest = words.map(|word| word.parse::<RawFd>()).collect::<Result<Vec<_>, _>>();
        let rest = rest.map_err(|_| Malformed::Missing("a number"))?;
        let (output, child) = match (kind.as_str(), rest.as_slice()) {
            ("log", [folder, child @ ..]) => (OutputDescriptors::Log(*folder), child),
            ("inherit" | "terminal", [stdin, stdout, stderr, child @ ..]) => {
                let terminal = kind == "terminal";
                let output = OutputDescriptors::Inherit { stdin: *stdin, stdout: *stdout, stderr: *stderr, terminal };
                (output, child)
            }
            _ => return Err(Malformed::Missing("an output")),
        };
        if child.len() > CHILD_DESCRIPTORS_MAX {
            return Err(Malformed::TooMuch);
        }
        Ok(Self { operations, spec, reply, lock, folder, output, child: child.to_vec() })
    }
}

/// The descriptors of `shim join`: a command inside a live run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JoinInvocation {
    /// The list of operations, a memfd of launch.
    pub operations: RawFd,
    /// The spec, a sealed memfd of control.
    pub spec: RawFd,
    /// Where reports go and orders come from; its end is the command's.
    pub reply: RawFd,
    /// The run's, in the order of [`NAMESPACES`].
    pub namespaces: [RawFd; NAMESPACES.len()],
    /// stdin, stdout, stderr.
    pub output: [RawFd; 3],
    /// Whether stdin becomes the controlling terminal.
    pub terminal: bool,
}

impl JoinInvocation {
    /// The arguments behind the program's name.
    pub fn to_arguments(&self) -> Vec<String> {
        let kind = if self.terminal { "terminal" } else { "inherit" };
        let mut words = vec!["join".to_owned(), kind.to_owned()];
        words.extend(self.descriptors().iter().map(ToString::to_string));
        words
    }

    /// Every descriptor that is named.
    pub fn descriptors(&self) -> Vec<RawFd> {
        [self.operations, self.spec, self.reply].into_iter().chain(self.namespaces).chain(self.output).collect()
    }

    /// Reads the arguments behind `join`.
    pub fn from_arguments(words: &[String]) -> Result<Self, Malformed> {
        let (kind, numbers) = words.split_first().ok_or(Malformed::Missing("the kind of output"))?;
        let terminal = match kind.as_str() {
            "terminal" => true,
            "inherit" => false,
            _ => return Err(Malformed::Missing("an output")),
        };
        let numbers = numbers.iter().map(|word| word.parse::<RawFd>()).collect::<Result<Vec<_>, _>>();
        let numbers = numbers.map_err(|_| Malformed::Missing("a number"))?;
        let [operations, spec, reply, user, mount, ipc, uts, pid, stdin, stdout, stderr] = numbers[..] else {
            return Err(Malformed::Missing("a descriptor"));
        };
        let (namespaces, output) = ([user, mount, ipc, uts, pid], [stdin, stdout, stderr]);
        Ok(Self { operations, spec, reply, namespaces, output, terminal })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_of_a_command_inside_a_run_read_back() {
        let given = JoinInvocation { operations: 3, spec: 4, reply: 5, namespaces: [6, 7, 8, 9, 10], output: [11, 12, 13], terminal: true };
        assert_eq!(JoinInvocation::from_arguments(&given.to_arguments()[1..]), Ok(given.clone()));
        assert!(JoinInvocation::from_arguments(&given.to_arguments()[1..11]).is_err(), "one is missing");
    }

    #[test]
    fn arguments_read_back() {
        let outputs = [OutputDescriptors::Log(9), OutputDescriptors::Inherit { stdin: 10, stdout: 11, stderr: 12, terminal: true }];
        for output in outputs {
            let child = vec![13, 14];
            let given = Invocation { operations: 3, spec: 4, reply: 5, lock: 6, folder: 7, output, child };
            assert_eq!(Invocation::from_arguments(&given.to_arguments()[1..]), Ok(given));
        }
        assert!(Invocation::from_arguments(&["3".to_owned(), "x".to_owned()]).is_err());
    }
}
