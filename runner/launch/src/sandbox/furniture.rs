//! What every sandbox has: the host's programs, an `/etc` and a `/dev` of its own.

use shim::Operation;
use shim::operation::Source;

use super::Request;
use crate::Profile;
use crate::host::HostCapabilities;
use crate::limits::{DEVICES_BYTES, DEVICES_INODES};

/// Names are looked up in files and by DNS, nowhere else: what the host has configured
/// beyond that (LDAP, systemd's sockets) is not in here.
const NSSWITCH: &str = "passwd: files\ngroup: files\nshadow: files\nhosts: files dns\nnetworks: files\n\
    protocols: files\nservices: files\n";

pub(super) fn host_folders(list: &mut Vec<Operation>, host: &HostCapabilities) {
    for (name, target) in &host.links {
        list.push(Operation::Symlink { path: name.clone(), target: target.clone() });
    }
    for name in &host.folders {
        list.push(shown(&format!("/{name}"), name));
    }
    list.push(shown("/sys", "sys"));
    for toolchain in &host.toolchains {
        list.push(shown(toolchain, toolchain.trim_start_matches('/')));
    }
    list.push(Operation::Directory { path: "run".to_owned(), mode: 0o755 });
    list.push(Operation::Symlink { path: "var/run".to_owned(), target: "/run".to_owned() });
    list.push(Operation::Symlink { path: "var/tmp".to_owned(), target: "/tmp".to_owned() });
}

pub(super) fn etc(list: &mut Vec<Operation>, host: &HostCapabilities, request: &Request, user: u32) {
    let hostname = &request.hostname;
    let file = |name: &str, contents: Vec<u8>| Operation::File { path: format!("etc/{name}"), contents };
    let mut passwd = format!("root:x:0:0:root:/root:/usr/sbin/nologin\napp:x:{user}:{user}:app:/app:/bin/sh\n");
    if request.profile == Profile::Postgres && host.is_root {
        // Peer authentication lets the server in by this name.
        let paasd = host.users.paasd();
        passwd += format!("paasd:x:{paasd}:{paasd}:paasd:/:/usr/sbin/nologin\n").as_str();
    }
    let group = format!("root:x:0:\napp:x:{user}:\n");
    let hosts = format!("127.0.0.1 localhost\n::1 localhost ip6-localhost ip6-loopback\n127.0.1.1 {hostname}\n");
    list.extend([
        file("passwd", passwd.into_bytes()),
        file("group", group.into_bytes()),
        file("hosts", hosts.into_bytes()),
        file("hostname", format!("{hostname}\n").into_bytes()),
        file("nsswitch.conf", NSSWITCH.as_bytes().to_vec()),
        file("resolv.conf", host.resolv_conf.clone()),
    ]);
    for name in &host.etc {
        list.push(shown(&format!("/etc/{name}"), &format!("etc/{name}")));
    }
}

pub(super) fn devices(list: &mut Vec<Operation>, host: &HostCapabilities) {
    let target = "dev".to_owned();
    list.push(Operation::Tmpfs { target, mode: 0o755, bytes: DEVICES_BYTES, inodes: DEVICES_INODES });
    for name in &host.devices {
        list.push(Operation::Bind {
            source: Source::Host { path: format!("/dev/{name}") },
            target: format!("dev/{name}"),
            writable: true,
            devices: true,
        });
    }
    let links = [
        ("dev/fd", "/proc/self/fd"),
        ("dev/stdin", "/proc/self/fd/0"),
        ("dev/stdout", "/proc/self/fd/1"),
        ("dev/stderr", "/proc/self/fd/2"),
        ("dev/ptmx", "pts/ptmx"),
    ];
    for (path, target) in links {
        list.push(Operation::Symlink { path: path.to_owned(), target: target.to_owned() });
    }
    list.push(Operation::Terminals { target: "dev/pts".to_owned() });
}

fn shown(path: &str, target: &str) -> Operation {
    Operation::Bind { source: Source::Host { path: path.to_owned() }, target: target.to_owned(), writable: false, devices: false }
}
