//! The frames that start nothing.

use std::fs::File;
use std::io::{self, Read, Seek, Write};
use std::net::SocketAddr;
use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{Mode, OFlags};
use rustix::net::{AddressFamily, SocketFlags, SocketType, sockopt};

use crate::folders::RootFolder;
use crate::limits::{AUTHORIZED_KEYS_BYTES_MAX, BACKLOG};
use crate::{LaunchError, Step};

/// Ports below this belong to the machine's own services, except the web's.
const FIRST_FREE_PORT: u16 = 1_024;
const WEB_PORTS: [u16; 2] = [80, 443];

/// A listener; an IPv6 one takes no IPv4 connections, so that both can be had.
pub(crate) fn bind(address: SocketAddr) -> Result<OwnedFd, LaunchError> {
    let port = address.port();
    if port != 0 && port < FIRST_FREE_PORT && !WEB_PORTS.contains(&port) {
        return Err(LaunchError::refused(format!("port {port} belongs to the machine's own services")));
    }
    let family = if address.is_ipv6() { AddressFamily::INET6 } else { AddressFamily::INET };
    let step = format!("listen on {address}");
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = rustix::net::socket_with(family, SocketType::STREAM, flags, None).step(&step)?;
    sockopt::set_socket_reuseaddr(&socket, true).step(&step)?;
    if address.is_ipv6() {
        sockopt::set_ipv6_v6only(&socket, true).step(&step)?;
    }
    rustix::net::bind(&socket, &address).step(&step)?;
    rustix::net::listen(&socket, BACKLOG).step(&step)?;
    Ok(socket)
}

/// Replaces `ssh/authorized_keys`, whole or not at all. Its text is sshd's to parse.
pub(crate) fn write_authorized_keys(root: &RootFolder, text: OwnedFd) -> Result<(), LaunchError> {
    const STEP: &str = "write authorized_keys";
    let mut source = File::from(text);
    source.rewind().step(STEP)?;
    let mut bytes = Vec::new();
    source.take(AUTHORIZED_KEYS_BYTES_MAX + 1).read_to_end(&mut bytes).step(STEP)?;
    if bytes.len() as u64 > AUTHORIZED_KEYS_BYTES_MAX {
        return Err(LaunchError::refused("authorized_keys would be larger than 1 MiB"));
    }
    let folder = root.open_folder("ssh")?;
    replace(&folder, "authorized_keys", &bytes).step(STEP)
}

fn replace(folder: &OwnedFd, name: &str, bytes: &[u8]) -> io::Result<()> {
    let temporary = format!(".{name}.new");
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let file = rustix::fs::openat(folder, temporary.as_str(), flags, Mode::from_raw_mode(0o644))?;
    rustix::fs::fchmod(&file, Mode::from_raw_mode(0o644))?;
    let mut file = File::from(file);
    file.write_all(bytes)?;
    file.sync_all()?;
    rustix::fs::renameat(folder, temporary.as_str(), folder, name)?;
    Ok(rustix::fs::fsync(folder.as_fd())?)
}
