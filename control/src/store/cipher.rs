//! Secrets at rest: AES-256-GCM, each value bound to its place, so that a value
//! copied to another app, version or name does not open.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;

use aws_lc_rs::aead::{AES_256_GCM, Aad, Nonce, RandomizedNonceKey};
use model::{AppNumber, ConfigVersion, Secret};
use rusqlite::Row;
use sha2::{Digest, Sha256};

use super::{StoreError, limits, open};

/// Names a key, so that rows of two keys can live side by side.
pub(super) type KeyId = [u8; 8];

/// An encrypted value as it is stored.
pub(super) struct Sealed {
    pub(super) key_id: KeyId,
    pub(super) nonce: [u8; 12],
    pub(super) ciphertext: Vec<u8>,
}

impl Sealed {
    /// Reads the three columns that every table of secrets has.
    pub(super) fn read(row: &Row<'_>) -> Result<Self, StoreError> {
        Ok(Self { key_id: row.get("key_id")?, nonce: row.get("nonce")?, ciphertext: row.get("ciphertext")? })
    }
}

/// Where a secret lies. It is authenticated together with the value.
#[derive(Debug, Clone, Copy)]
pub(super) enum Place<'a> {
    /// A config var.
    Config { app: AppNumber, version: ConfigVersion, key: &'a str },
    /// A value of an add-on: a password.
    Addon { app: AppNumber, addon: &'a str, key: &'a str },
    /// A secret of the platform itself.
    Platform { key: &'a str },
}

impl Place<'_> {
    /// Unambiguous bytes: no two places share them. Kept for ever, since stored values depend on them.
    fn authenticated(self) -> Vec<u8> {
        match self {
            Self::Config { app, version, key } => {
                format!("paas 1\0config\0{app}\0{}\0{key}", version.0)
            }
            Self::Addon { app, addon, key } => format!("paas 1\0addon\0{app}\0{addon}\0{key}"),
            Self::Platform { key } => format!("paas 1\0platform\0{key}"),
        }
        .into_bytes()
    }

    fn for_people(self) -> String {
        match self {
            Self::Config { app, version, key } => {
                format!("config var {key} (app {app}, config version {})", version.0)
            }
            Self::Addon { app, addon, key } => format!("{addon} {key} of app {app}"),
            Self::Platform { key } => format!("the platform's {key}"),
        }
    }
}

/// The key, ready to use.
pub(super) struct Cipher {
    key: RandomizedNonceKey,
    id: KeyId,
}

impl Cipher {
    pub(super) fn new(key: &[u8; limits::KEY_BYTES]) -> Result<Self, StoreError> {
        let mut id = KeyId::default();
        let digest = Sha256::new().chain_update(b"paas key id\0").chain_update(key).finalize();
        id.copy_from_slice(&digest[..size_of::<KeyId>()]);
        let key = RandomizedNonceKey::new(&AES_256_GCM, key).map_err(|_| StoreError::Encryption)?;
        Ok(Self { key, id })
    }

    /// A key that nobody knows, for a database in memory.
    pub(super) fn ephemeral() -> Result<Self, StoreError> {
        Self::new(&random_key()?)
    }

    pub(super) fn id(&self) -> KeyId {
        self.id
    }

    pub(super) fn seal(&self, place: Place<'_>, secret: &Secret) -> Result<Sealed, StoreError> {
        let mut ciphertext = secret.reveal().as_bytes().to_vec();
        let aad = Aad::from(place.authenticated());
        let nonce = self.key.seal_in_place_append_tag(aad, &mut ciphertext).map_err(|_| StoreError::Encryption)?;
        Ok(Sealed { key_id: self.id, nonce: *nonce.as_ref(), ciphertext })
    }

    pub(super) fn open(&self, place: Place<'_>, sealed: Sealed) -> Result<Secret, StoreError> {
        let tampered = || StoreError::Tampered { place: place.for_people() };
        if sealed.key_id != self.id {
            return Err(StoreError::KeyMismatch { path: std::path::PathBuf::new() });
        }
        let mut bytes = sealed.ciphertext;
        let nonce = Nonce::assume_unique_for_key(sealed.nonce);
        let length = self.key.open_in_place(nonce, Aad::from(place.authenticated()), &mut bytes).map_err(|_| tampered())?.len();
        bytes.truncate(length);
        String::from_utf8(bytes).map(Secret::new).map_err(|_| tampered())
    }
}

fn random_key() -> Result<[u8; limits::KEY_BYTES], StoreError> {
    let mut key = [0; limits::KEY_BYTES];
    aws_lc_rs::rand::fill(&mut key).map_err(|_| StoreError::Encryption)?;
    Ok(key)
}

/// Reads the key file. An absent one is made only if `may_make`: a new key would make
/// every value in the database unreadable for ever.
pub(super) fn load_or_make(path: &Path, may_make: bool) -> Result<Cipher, StoreError> {
    match OpenOptions::new().read(true).open(path) {
        Ok(file) => Cipher::new(&read_key(path, file)?),
        Err(error) if error.kind() == io::ErrorKind::NotFound && may_make => make(path),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Err(StoreError::KeyMissing { path: path.to_owned() }),
        Err(error) => Err(StoreError::file("open the key file", path, error)),
    }
}

fn read_key(path: &Path, mut file: File) -> Result<[u8; limits::KEY_BYTES], StoreError> {
    let unusable = |detail| Err(StoreError::KeyUnusable { path: path.to_owned(), detail });
    let about = file.metadata().map_err(|error| StoreError::file("look at the key file", path, error))?;
    if !about.is_file() || about.size() != limits::KEY_BYTES as u64 {
        return unusable("it is not a file of 32 bytes");
    }
    if about.permissions().mode() & 0o077 != 0 {
        return unusable("others may read or write it");
    }
    let mut key = [0; limits::KEY_BYTES];
    file.read_exact(&mut key).map_err(|error| StoreError::file("read the key file", path, error))?;
    Ok(key)
}

/// Writes a new key so that a crash at any moment leaves either none or a whole one.
fn make(path: &Path) -> Result<Cipher, StoreError> {
    let folder = open::make_folder_of(path)?;
    let key = random_key()?;
    let draft = path.with_extension("new");
    match fs::remove_file(&draft) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            return Err(StoreError::file("remove the half-written key file", &draft, error));
        }
        _ => {}
    }
    let write = || -> io::Result<()> {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&draft)?;
        file.write_all(&key)?;
        file.sync_all()?;
        fs::rename(&draft, path)?;
        File::open(folder)?.sync_all()
    };
    write().map_err(|error| StoreError::file("write the key file", path, error))?;
    Cipher::new(&key)
}
