//! What is kept of a run beside how it ended, so that its end can be understood.

/// What the flight recorder of a run held when it ended.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FlightRecord {
    /// Its processes when they were looked at last.
    pub processes: u32,
    /// Their memory.
    pub memory: Option<Memory>,
    /// Their open files.
    pub open_files: Option<u64>,
    /// What their threads did, the most first.
    pub threads: Vec<ThreadsAt>,
    /// The other ends of their connections.
    pub peers: Vec<String>,
    /// When that was seen, in milliseconds since 1970 UTC.
    pub looked_unix_ms: Option<i64>,
    /// The last probes, oldest first.
    pub probes: Vec<ProbeSeen>,
    /// What the port doctor found.
    pub hint: Option<PortHint>,
    /// The kernel ran out of memory and killed while it ran.
    pub out_of_memory: bool,
}

/// Memory of all processes of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Memory {
    /// In bytes.
    pub bytes: u64,
    /// What they share with others is counted in part (PSS); otherwise it is counted in
    /// full for each (RSS).
    pub is_share: bool,
    /// The most that each had resident at any time, added up.
    pub peak_bytes: Option<u64>,
}

/// Threads that are at the same place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ThreadsAt {
    /// Their name, as they call themselves.
    pub name: String,
    /// The kernel's letter: `R` runs, `S` sleeps, `D` waits for a device, `T` is stopped.
    pub state: char,
    /// The kernel's function that they wait in.
    pub waits_in: Option<String>,
    /// How many.
    pub count: u32,
}

impl ThreadsAt {
    /// The state in words.
    pub fn state_word(&self) -> &'static str {
        match self.state {
            'R' => "running",
            'S' | 'I' => "waiting",
            'D' => "waiting for a device",
            'T' => "stopped by a signal",
            't' => "stopped by a debugger",
            'Z' | 'X' => "ended",
            _ => "in an unknown state",
        }
    }
}

/// One probe.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProbeSeen {
    /// When it was sent, in milliseconds since 1970 UTC.
    pub at_unix_ms: i64,
    /// What was asked and answered: `GET / -> 200`.
    pub text: String,
    /// How long the answer took, in milliseconds.
    pub took_ms: u64,
}

/// Why nothing answers on `PORT`, and what to do. Both go behind the instance's name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PortHint {
    /// `listens on 127.0.0.1:5000, not on $PORT=20017`
    pub found: String,
    /// `start it with --port $PORT`
    pub fix: String,
}

impl std::fmt::Display for PortHint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.found, self.fix)
    }
}
