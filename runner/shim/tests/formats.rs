//! Every durable form in every version ever written. A file here is never changed: a new
//! form gets a new file, and the old one must go on being read.

use std::path::PathBuf;

use shim::operation::{self, Operation, Source};
use shim::{Ended, ExitRecord, ProcessRecord, Spec};

fn golden(name: &str) -> Vec<u8> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/formats").join(name);
    std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Two hexadecimal digits per byte, in lines, so that a difference can be read.
fn bytes(name: &str) -> Vec<u8> {
    let text = String::from_utf8(golden(name)).expect("text");
    let digits: Vec<u8> = text.bytes().filter(u8::is_ascii_hexdigit).collect();
    let pair = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).expect("digits"), 16).expect("a byte");
    digits.chunks(2).map(pair).collect()
}

fn text(name: &str) -> String {
    String::from_utf8(golden(name)).expect("text")
}

#[test]
fn the_first_spec_is_read_and_written() {
    let spec = Spec {
        argv: vec![b"sh".to_vec(), b"-c".to_vec(), b"exec web".to_vec()],
        env: vec![(b"PORT".to_vec(), b"20001".to_vec()), (b"K".to_vec(), b"a=b".to_vec())],
        working_directory: b"/app".to_vec(),
        stop_signal: 15,
        open_files: 10_000,
        hostname: b"web-1".to_vec(),
        log_subject: Vec::new(),
        kept: Vec::new(),
    };
    assert_eq!(Spec::decode(&bytes("spec-1.hex")), Ok(spec.clone()));
    assert_eq!(spec.encode(), bytes("spec-1.hex"));
    // The second form adds whose lines the log holds.
    let spec = Spec { log_subject: b"web.1-v7-42".to_vec(), ..spec };
    assert_eq!(Spec::decode(&bytes("spec-2.hex")), Ok(spec.clone()));
    assert_eq!(spec.encode(), bytes("spec-2.hex"));
    // The third form adds what of /app lasts.
    let spec = Spec { kept: vec![b"app.db".to_vec(), b"uploads/".to_vec()], ..spec };
    assert_eq!(Spec::decode(&bytes("spec-3.hex")), Ok(spec.clone()));
    assert_eq!(spec.encode(), bytes("spec-3.hex"));
}

#[test]
fn the_first_operations_are_read_and_written() {
    let text = |text: &str| text.to_owned();
    let list = vec![
        Operation::UserNamespace { uid: 700_019, gid: 700_019 },
        Operation::Namespaces,
        Operation::Hostname(text("web-1")),
        Operation::RootFolder(text("/srv/paas")),
        Operation::NewRoot { at: text("sandbox"), bytes: 4096 },
        Operation::Directory { path: text("run"), mode: 0o755 },
        Operation::Symlink { path: text("bin"), target: text("usr/bin") },
        Operation::File { path: text("etc/hostname"), contents: b"web-1\n".to_vec() },
        Operation::Bind { source: Source::Host { path: text("/usr") }, target: text("usr"), writable: false, devices: false },
        Operation::Bind {
            source: Source::Beneath { path: text("data/1"), owner: 700_019 },
            target: text("data"),
            writable: true,
            devices: false,
        },
        Operation::Overlay {
            lower: text("releases/1/ab"),
            upper: text("layers/1/r/upper"),
            work: text("layers/1/r/work"),
            owner: 700_019,
            target: text("app"),
            user_attributes: true,
        },
        Operation::Tmpfs { target: text("tmp"), mode: 0o1777, bytes: 4096, inodes: 10 },
        Operation::Terminals { target: text("dev/pts") },
        Operation::ForkSupervisor,
        Operation::Proc { target: text("proc") },
        Operation::LastPid(1_234),
        Operation::EnterRoot,
        Operation::ForkChild,
        Operation::LimitCore,
        Operation::DropBounding,
        Operation::ClearGroups,
        Operation::User { uid: 700_019, gid: 700_019 },
        Operation::DropCapabilities,
        Operation::NoNewPrivileges,
        Operation::Keep,
        Operation::SupervisorUser { uid: 700_002, gid: 700_002 },
    ];
    assert_eq!(operation::decode(&bytes("operations-1.hex")), Ok(list.clone()));
    assert_eq!(operation::encode(&list), bytes("operations-1.hex"));
}

/// The second form adds what a command inside a live run enters, and the socket on which
/// processes tell how they are.
#[test]
fn the_second_operations_are_read_and_written() {
    let list = vec![
        Operation::Enter { owner: 700_019, user_namespace: true },
        Operation::ForkSupervisor,
        Operation::NotifySocket { path: "run/notify".to_owned() },
    ];
    assert_eq!(operation::decode(&bytes("operations-2.hex")), Ok(list.clone()));
    assert_eq!(operation::encode(&list), bytes("operations-2.hex"));
}

/// The third form adds how many processes there may be.
#[test]
fn the_third_operations_are_read_and_written() {
    let list = vec![Operation::LimitTasks(8_192)];
    assert_eq!(operation::decode(&bytes("operations-3.hex")), Ok(list.clone()));
    assert_eq!(operation::encode(&list), bytes("operations-3.hex"));
}

#[test]
fn an_operation_that_is_not_known_refuses_the_list() {
    let mut list = bytes("operations-1.hex");
    list.extend(shim::wire::Encoder::default().bytes(999, b"").finish());
    assert!(operation::decode(&list).is_err());
}

#[test]
fn the_first_records_are_read_and_written() {
    let process = ProcessRecord {
        shim_pid: 4_711,
        start_ticks: 123_456_789,
        boot_id: "0f5e2f5c-2f5e-4c52-9d0a-6a3c8e7a1b2c".to_owned(),
        started_unix_ms: 1_795_000_000_123,
    };
    assert_eq!(ProcessRecord::decode(&text("process-1.txt")), Ok(process.clone()));
    assert_eq!(process.encode(), text("process-1.txt"));
    let ends = [
        ("exit-1-code.txt", Ended::Code(3), false),
        ("exit-1-signal.txt", Ended::Signal { signal: 9, core: false }, true),
        ("exit-1-shim-lost.txt", Ended::Abandoned { reboot: false }, false),
        ("exit-1-reboot.txt", Ended::Abandoned { reboot: true }, false),
    ];
    for (name, ended, stop_timed_out) in ends {
        let record = ExitRecord { ended, stop_timed_out, ended_unix_ms: 1_795_000_000_456 };
        assert_eq!(ExitRecord::decode(&text(name)), Ok(record.clone()), "{name}");
        assert_eq!(record.encode(), text(name), "{name}");
        let later = format!("{}later_key 1\n", text(name));
        assert_eq!(ExitRecord::decode(&later), Ok(record), "{name} with a key of a later version");
    }
}
