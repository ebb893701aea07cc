//! Reading tar member by member. Only what [`super::write`] writes is understood:
//! files, folders, links and GNU long names, each with a bound.

use std::io::{self, Read};
use std::ops::ControlFlow;

use tar::EntryType;

use crate::limits;
use crate::source::names::BadPath;

/// An archive that is not taken.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// It cannot be read, or is cut off or damaged.
    #[error("the archive cannot be read")]
    Read(#[source] io::Error),
    /// Writing a file of it failed.
    #[error("{path} cannot be written")]
    Write {
        /// The path, for people.
        path: String,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// A path that leaves the tree or hides something.
    #[error("{path} is refused")]
    Path {
        /// The path, for people.
        path: String,
        /// Why.
        #[source]
        source: BadPath,
    },
    /// A device, a socket, a hard link or something else that no slug holds.
    #[error("{path} is neither a file nor a folder nor a symbolic link")]
    Kind {
        /// The path, for people.
        path: String,
    },
    /// A set-user-id or set-group-id bit.
    #[error("{path} has a setuid or setgid bit")]
    Setuid {
        /// The path, for people.
        path: String,
    },
    /// A symbolic link that leaves the tree.
    #[error("the link {path} -> {target} leaves the tree")]
    LinkLeaves {
        /// The path, for people.
        path: String,
        /// Where it leads, for people.
        target: String,
    },
    /// More entries than announced or allowed.
    #[error("it holds more than {max} entries")]
    TooMany {
        /// The limit.
        max: u64,
    },
    /// More bytes than announced or allowed.
    #[error("it holds more than {max} bytes")]
    TooLarge {
        /// The limit in bytes.
        max: u64,
    },
    /// The manifest is missing or wrong.
    #[error("its manifest is not usable")]
    Manifest(#[source] Box<crate::manifest::ManifestError>),
}

pub(crate) enum MemberKind {
    File,
    Folder,
    /// Its target.
    Link(Vec<u8>),
}

pub(crate) struct Member<'a> {
    pub(crate) path: Vec<u8>,
    pub(crate) kind: MemberKind,
    pub(crate) mode: u32,
    pub(crate) size: u64,
    pub(crate) content: &'a mut dyn Read,
}

impl Member<'_> {
    /// The path for messages.
    pub(crate) fn shown(&self) -> String {
        shown(&self.path)
    }
}

/// A path for messages.
pub(crate) fn shown(path: &[u8]) -> String {
    model::text::clean_bytes(path, 200)
}

/// Calls `visit` for each member until it breaks or the archive ends.
pub(crate) fn each_member<R: Read>(
    reader: R,
    mut visit: impl FnMut(Member<'_>) -> Result<ControlFlow<()>, ArchiveError>,
) -> Result<(), ArchiveError> {
    let mut watched = Watched { inner: reader, ran_dry: false };
    let broke = members(&mut watched, &mut visit)?;
    // The library takes the end of the stream for the end of the archive; ours end
    // with two empty blocks, so a stream that runs dry was cut off.
    if watched.ran_dry && broke.is_continue() {
        return Err(ArchiveError::Read(io::ErrorKind::UnexpectedEof.into()));
    }
    Ok(())
}

fn members<R: Read>(
    reader: R,
    visit: &mut impl FnMut(Member<'_>) -> Result<ControlFlow<()>, ArchiveError>,
) -> Result<ControlFlow<()>, ArchiveError> {
    let mut archive = tar::Archive::new(reader);
    let mut long_path = None;
    let mut long_link = None;
    // Raw: the library would read names of any length into memory.
    for entry in archive.entries().map_err(ArchiveError::Read)?.raw(true) {
        let mut entry = entry.map_err(ArchiveError::Read)?;
        let kind = entry.header().entry_type();
        match kind {
            EntryType::GNULongName if long_path.is_some() => return Err(ArchiveError::Kind { path: "a second long name".to_owned() }),
            EntryType::GNULongLink if long_link.is_some() => return Err(ArchiveError::Kind { path: "a second long link".to_owned() }),
            EntryType::GNULongName => {
                long_path = Some(long_name(&mut entry, limits::PATH_BYTES_MAX)?);
                continue;
            }
            EntryType::GNULongLink => {
                long_link = Some(long_name(&mut entry, limits::LINK_BYTES_MAX)?);
                continue;
            }
            _ => {}
        }
        let mut path = long_path.take().unwrap_or_else(|| entry.path_bytes().into_owned());
        let link = long_link.take();
        let kind = match kind {
            EntryType::Regular => MemberKind::File,
            EntryType::Directory => {
                path.truncate(path.iter().rposition(|b| *b != b'/').map_or(0, |last| last + 1));
                MemberKind::Folder
            }
            EntryType::Symlink => {
                let short = || entry.link_name_bytes().map(std::borrow::Cow::into_owned);
                MemberKind::Link(link.or_else(short).unwrap_or_default())
            }
            _ => return Err(ArchiveError::Kind { path: shown(&path) }),
        };
        let mode = entry.header().mode().map_err(ArchiveError::Read)?;
        let size = entry.header().entry_size().map_err(ArchiveError::Read)?;
        if visit(Member { path, kind, mode, size, content: &mut entry })?.is_break() {
            return Ok(ControlFlow::Break(()));
        }
    }
    Ok(ControlFlow::Continue(()))
}

struct Watched<R> {
    inner: R,
    ran_dry: bool,
}

impl<R: Read> Read for Watched<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.ran_dry |= count == 0 && !buffer.is_empty();
        Ok(count)
    }
}

fn long_name<R: Read>(entry: &mut tar::Entry<'_, R>, bytes_max: usize) -> Result<Vec<u8>, ArchiveError> {
    // The name ends with a NUL. Its size is judged before anything of it is read or skipped.
    if entry.size() > bytes_max as u64 + 1 {
        return Err(ArchiveError::Path { path: "a long name".to_owned(), source: BadPath::TooLong });
    }
    let mut name = Vec::new();
    entry.read_to_end(&mut name).map_err(ArchiveError::Read)?;
    if name.last() == Some(&0) {
        name.pop();
    }
    Ok(name)
}
