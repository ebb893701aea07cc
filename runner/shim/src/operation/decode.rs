//! Reading operations, strictly: what is not known could have been a restriction.

use super::{Operation, Source, code, part};
use crate::wire::{Fields, Malformed};

/// The fields of one operation; taking one removes it, so that leftovers show.
#[derive(Default)]
struct Parts {
    texts: Vec<(u16, Vec<u8>)>,
    numbers: Vec<(u16, u64)>,
}

pub(super) fn operation(code: u16, bytes: &[u8]) -> Result<Operation, Malformed> {
    let mut parts = Parts::read(bytes)?;
    let operation = parts.operation(code)?;
    match parts.texts.first().map(|(tag, _)| *tag).or(parts.numbers.first().map(|(tag, _)| *tag)) {
        Some(tag) => Err(Malformed::Unknown(tag)),
        None => Ok(operation),
    }
}

impl Parts {
    fn read(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut parts = Self::default();
        for field in Fields::new(bytes) {
            let field = field?;
            if field.tag <= part::WORK {
                parts.texts.push((field.tag, field.bytes.to_vec()));
            } else {
                parts.numbers.push((field.tag, field.number()?));
            }
        }
        Ok(parts)
    }

    fn operation(&mut self, code: u16) -> Result<Operation, Malformed> {
        Ok(match code {
            code::USER_NAMESPACE => Operation::UserNamespace { uid: self.id(part::UID)?, gid: self.id(part::GID)? },
            code::NAMESPACES => Operation::Namespaces,
            code::HOSTNAME => Operation::Hostname(self.text(part::TARGET)?),
            code::ROOT_FOLDER => Operation::RootFolder(self.text(part::TARGET)?),
            code::NEW_ROOT => Operation::NewRoot { at: self.text(part::TARGET)?, bytes: self.number(part::BYTES)? },
            code::DIRECTORY => Operation::Directory { path: self.text(part::TARGET)?, mode: self.id(part::MODE)? },
            code::SYMLINK => Operation::Symlink { path: self.text(part::TARGET)?, target: self.text(part::CONTENTS)? },
            code::FILE => Operation::File { path: self.text(part::TARGET)?, contents: self.bytes(part::CONTENTS)? },
            code::BIND => Operation::Bind {
                source: self.source()?,
                target: self.text(part::TARGET)?,
                writable: self.number(part::WRITABLE)? != 0,
                devices: self.number(part::DEVICES)? != 0,
            },
            code::OVERLAY => Operation::Overlay {
                lower: self.text(part::BENEATH)?,
                upper: self.text(part::UPPER)?,
                work: self.text(part::WORK)?,
                owner: self.id(part::UID)?,
                target: self.text(part::TARGET)?,
                user_attributes: self.number(part::USER_ATTRIBUTES)? != 0,
            },
            code::TMPFS => Operation::Tmpfs {
                target: self.text(part::TARGET)?,
                mode: self.id(part::MODE)?,
                bytes: self.number(part::BYTES)?,
                inodes: self.number(part::INODES)?,
            },
            code::TERMINALS => Operation::Terminals { target: self.text(part::TARGET)? },
            code::FORK_SUPERVISOR => Operation::ForkSupervisor,
            code::PROC => Operation::Proc { target: self.text(part::TARGET)? },
            code::LAST_PID => Operation::LastPid(self.id(part::NUMBER)?),
            code::ENTER_ROOT => Operation::EnterRoot,
            code::FORK_CHILD => Operation::ForkChild,
            code::LIMIT_CORE => Operation::LimitCore,
            code::LIMIT_TASKS => Operation::LimitTasks(self.number(part::NUMBER)?),
            code::DROP_BOUNDING => Operation::DropBounding,
            code::CLEAR_GROUPS => Operation::ClearGroups,
            code::USER => Operation::User { uid: self.id(part::UID)?, gid: self.id(part::GID)? },
            code::DROP_CAPABILITIES => Operation::DropCapabilities,
            code::NO_NEW_PRIVILEGES => Operation::NoNewPrivileges,
            code::KEEP => Operation::Keep,
            code::SUPERVISOR_USER => Operation::SupervisorUser { uid: self.id(part::UID)?, gid: self.id(part::GID)? },
            code::NOTIFY_SOCKET => Operation::NotifySocket { path: self.text(part::TARGET)? },
            code::ENTER => Operation::Enter { owner: self.id(part::UID)?, user_namespace: self.number(part::USER_NAMESPACE)? != 0 },
            unknown => return Err(Malformed::Unknown(unknown)),
        })
    }

    fn source(&mut self) -> Result<Source, Malformed> {
        if self.texts.iter().any(|(tag, _)| *tag == part::HOST) {
            return Ok(Source::Host { path: self.text(part::HOST)? });
        }
        Ok(Source::Beneath { path: self.text(part::BENEATH)?, owner: self.id(part::UID)? })
    }

    fn bytes(&mut self, tag: u16) -> Result<Vec<u8>, Malformed> {
        let at = self.texts.iter().position(|(found, _)| *found == tag).ok_or(Malformed::Field(tag))?;
        Ok(self.texts.swap_remove(at).1)
    }

    fn text(&mut self, tag: u16) -> Result<String, Malformed> {
        String::from_utf8(self.bytes(tag)?).map_err(|_| Malformed::Field(tag))
    }

    fn number(&mut self, tag: u16) -> Result<u64, Malformed> {
        let at = self.numbers.iter().position(|(found, _)| *found == tag).ok_or(Malformed::Field(tag))?;
        Ok(self.numbers.swap_remove(at).1)
    }

    fn id(&mut self, tag: u16) -> Result<u32, Malformed> {
        u32::try_from(self.number(tag)?).map_err(|_| Malformed::Field(tag))
    }
}
