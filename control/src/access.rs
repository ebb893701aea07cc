//! Who may do what: actors, and public keys parsed and written out afresh.

use std::collections::BTreeMap;

use api::{Failure, Kind, Role};
use model::AppName;

use crate::store::PublicKey;

/// Longest line of a public key that is read; an RSA key of 16,384 bits has 2,800 characters.
const PUBLIC_KEY_CHARS_MAX: usize = 8_192;
/// Key types that OpenSSH still takes for logging in.
const KEY_TYPES: [&str; 7] = [
    "ssh-ed25519",
    "ssh-rsa",
    "ecdsa-sha2-nistp256",
    "ecdsa-sha2-nistp384",
    "ecdsa-sha2-nistp521",
    "sk-ssh-ed25519@openssh.com",
    "sk-ecdsa-sha2-nistp256@openssh.com",
];

/// Who asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Actor {
    /// Whoever may open the operator's socket: the owner of the box.
    Operator,
    /// Somebody with an SSH key.
    Person {
        /// Their name.
        name: String,
        /// A grant for all apps, if they are an operator too.
        everywhere: Option<Role>,
        /// Grants by app.
        roles: BTreeMap<AppName, Role>,
    },
}

impl Actor {
    /// The name that releases, builds and events carry.
    pub fn name(&self) -> &str {
        match self {
            Self::Operator => "operator",
            Self::Person { name, .. } => name,
        }
    }

    /// The role for an app; none if its existence is not theirs to know.
    pub fn role_on(&self, app: &AppName) -> Option<Role> {
        match self {
            Self::Operator => Some(Role::Operator),
            Self::Person { everywhere, roles, .. } => (*everywhere).max(roles.get(app).copied()),
        }
    }

    /// Whether they may do this to an app. One that they may not see does not exist.
    pub fn may(&self, app: &AppName, needed: Role, operation: &str) -> Result<(), Failure> {
        match self.role_on(app) {
            None => Err(Failure::no_such_app(app.as_str())),
            Some(role) if role >= needed => Ok(()),
            Some(role) => Err(Failure::new(Kind::Refused, "access.denied", format!("{} may not {operation} {app}", self.name()))
                .why(format!("this needs the role {}, yours is {}", needed.word(), role.word()))
                .fix("ask the operator of this box for it")),
        }
    }

    /// Whether they may do what concerns the whole box.
    pub fn may_operate(&self, operation: &str) -> Result<(), Failure> {
        match self {
            Self::Operator | Self::Person { everywhere: Some(Role::Operator), .. } => Ok(()),
            Self::Person { name, .. } => Err(Failure::new(Kind::Refused, "access.denied", format!("{name} may not {operation}"))
                .why("only the operator of this box may")),
        }
    }
}

/// Reads one line of an OpenSSH public key file. Nothing else of the line survives, above
/// all no comment with a line break in it, which would be a key line of its own.
pub fn parse_public_key(line: &str) -> Result<PublicKey, Failure> {
    let bad = |why: &str| {
        Failure::new(Kind::Usage, "key.invalid", "this is not an OpenSSH public key")
            .why(why)
            .fix("give the file that ends in .pub, such as ~/.ssh/id_ed25519.pub")
    };
    let line = line.trim();
    if line.len() > PUBLIC_KEY_CHARS_MAX || line.contains(['\n', '\r', '\0']) {
        return Err(bad("it is more than one line, or too long"));
    }
    let mut words = line.split_ascii_whitespace();
    let (Some(key_type), Some(blob)) = (words.next(), words.next()) else {
        return Err(bad("it should be TYPE KEY COMMENT"));
    };
    if !KEY_TYPES.contains(&key_type) {
        return Err(bad("its type is not one of ssh-ed25519, ecdsa-sha2-…, ssh-rsa or a security key's"));
    }
    let blob = base64_decode(blob).ok_or_else(|| bad("its second word is not base64"))?;
    // The blob names its type again, with a length before it.
    let named = blob.get(4..4 + key_type.len()).unwrap_or_default();
    if blob.get(..4) != Some(&u32::try_from(key_type.len()).unwrap_or(0).to_be_bytes()) || named != key_type.as_bytes() {
        return Err(bad("its second word does not hold a key of that type"));
    }
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &blob);
    let fingerprint = format!("SHA256:{}", base64_encode(digest.as_ref()).trim_end_matches('='));
    Ok(PublicKey { fingerprint, key_type: key_type.to_owned(), blob })
}

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

pub(crate) fn base64_encode(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let word = chunk.iter().fold(0u32, |word, byte| word << 8 | u32::from(*byte)) << (8 * (3 - chunk.len()));
        for position in 0..4 {
            let symbol = ALPHABET[(word >> (18 - 6 * position) & 63) as usize];
            text.push(if position <= chunk.len() { symbol as char } else { '=' });
        }
    }
    text
}

fn base64_decode(text: &str) -> Option<Vec<u8>> {
    let digits = text.trim_end_matches('=').as_bytes();
    if !text.len().is_multiple_of(4) || text.len() - digits.len() > 2 {
        return None;
    }
    let mut bytes = Vec::with_capacity(digits.len() * 3 / 4);
    for chunk in digits.chunks(4) {
        let mut word = 0u32;
        for digit in chunk {
            word = word << 6 | u32::try_from(ALPHABET.iter().position(|a| a == digit)?).ok()?;
        }
        word <<= 6 * (4 - chunk.len());
        bytes.extend_from_slice(&word.to_be_bytes()[1..chunk.len()]);
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    // `ssh-keygen -t ed25519` and `ssh-keygen -lf` of it.
    const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl";

    #[test]
    fn a_key_is_written_out_afresh_without_its_comment() {
        let key = parse_public_key(&format!("{KEY} anna@laptop command=\"x\"")).expect("a key");
        assert_eq!(format!("{} {}", key.key_type, base64_encode(&key.blob)), KEY);
        // The published fingerprint of github.com's ed25519 host key, which this is.
        assert_eq!(key.fingerprint, "SHA256:+DiY3wvvV6TuJJhbpZisF/zLDA0zPMSvHdkr4UvCOqU");
    }

    #[test]
    fn what_is_not_one_key_is_refused() {
        let two_lines = format!("{KEY} x\n{KEY}");
        let wrong_type = KEY.replace("ssh-ed25519 ", "ssh-rsa ");
        for bad in ["", "ssh-ed25519", "ssh-ed25519 !!!!", "restrict ssh-ed25519 AAAA", "ssh-dss AAAA", &two_lines, &wrong_type] {
            assert!(parse_public_key(bad).is_err(), "{bad:?} was taken");
        }
    }

    #[test]
    fn an_app_that_a_person_may_not_see_does_not_exist() {
        let shop: AppName = "shop".parse().expect("app");
        let anna = Actor::Person { name: "anna".to_owned(), everywhere: None, roles: [(shop.clone(), Role::Viewer)].into() };
        assert_eq!(anna.may(&"blog".parse().expect("app"), Role::Viewer, "see").expect_err("hidden").code, "app.not_found");
        assert_eq!(anna.may(&shop, Role::Deployer, "push to").expect_err("too little").code, "access.denied");
        assert!(anna.may(&shop, Role::Viewer, "see").is_ok());
        assert!(anna.may_operate("stop the box").is_err());
        assert!(Actor::Operator.may(&shop, Role::Owner, "destroy").is_ok());
    }
}
