//! Accounts that the server keeps itself, beside those of its configuration: so that a first start has
//! somebody who may log in, without a password that everybody knows.
//!
//! One record `users/<name>` each in the configuration store of `<data>/state` (docs/formats/config.md).

use std::path::Path;
use std::sync::Arc;

use base::TenantId;
use config::PasswordHash;
use config::password::SALT_BYTES;
use config::sextant::{Rights, User};
use ring::rand::{SecureRandom as _, SystemRandom};
use serde::{Deserialize, Serialize};
use store_core::blob::{BlobError, LocalBlobStore};
use store_core::config_store::{ConfigStore, ConfigStoreError, Expect, LocalConfigStore};
use store_core::store_dir::{LockedDir, StoreDirError};
use vfs::Vfs;

/// Where the server keeps what is not samples, within the data directory.
pub const STATE_DIR: &str = "state";

/// The account that a first start makes.
pub const FIRST_ADMIN: &str = "admin";

const PREFIX: &str = "users/";

/// Accounts that are kept at most.
const ACCOUNTS_MAX: usize = 10_000;

/// What generated passwords are made of: nothing that looks like something else. A power of two, so
/// that each is as likely as any other.
const ALPHABET: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";
const PASSWORD_LENGTH: usize = 20;

/// Why accounts cannot be read or changed.
#[derive(Debug, thiserror::Error)]
pub enum AccountsError {
    #[error("{0}; stop the server first")]
    InUse(StoreDirError),
    #[error(transparent)]
    Dir(StoreDirError),
    #[error(transparent)]
    Blob(#[from] BlobError),
    #[error(transparent)]
    Record(#[from] ConfigStoreError),
    #[error("account {name:?} is damaged: {cause}")]
    Damaged { name: String, cause: String },
    #[error("there is an account {0:?} already")]
    Exists(String),
    #[error("there is no account {0:?}")]
    Unknown(String),
    #[error("{0:?} is no name for an account: 1 to 64 letters, digits and -_.@")]
    InvalidName(String),
    #[error("there are {ACCOUNTS_MAX} accounts, which is as many as there may be")]
    TooMany,
    #[error("the system gives no random numbers")]
    NoRandomness,
}

impl From<StoreDirError> for AccountsError {
    fn from(error: StoreDirError) -> Self {
        match error {
            in_use @ StoreDirError::InUse { .. } => Self::InUse(in_use),
            other => Self::Dir(other),
        }
    }
}

/// The value of a record, as JSON.
#[derive(Debug, Serialize, Deserialize)]
struct Stored {
    password_hash: String,
    #[serde(default)]
    tenants: Vec<String>,
    #[serde(default)]
    admin: bool,
}

/// The accounts of a data directory, locked.
#[derive(Debug)]
pub struct Accounts {
    records: LocalConfigStore,
    _dir: LockedDir,
}

impl Accounts {
    pub fn open(vfs: Arc<dyn Vfs>, data_dir: &Path) -> Result<Self, AccountsError> {
        let path = data_dir.join(STATE_DIR);
        let dir = LockedDir::open(Arc::clone(&vfs), &path)?;
        let records = LocalConfigStore::new(Arc::new(LocalBlobStore::open(vfs, &path)?));
        Ok(Self { records, _dir: dir })
    }

    /// By name.
    pub fn list(&self) -> Result<Vec<(String, User)>, AccountsError> {
        let records = self.records.list(PREFIX)?;
        records.iter().map(|record| user(&record.key[PREFIX.len()..], &record.value)).collect()
    }

    /// Adds somebody and returns the password that was made for them.
    pub fn add(&self, name: &str, rights: &Rights) -> Result<String, AccountsError> {
        check_name(name)?;
        if self.records.list(PREFIX)?.len() >= ACCOUNTS_MAX {
            return Err(AccountsError::TooMany);
        }
        let password = random_password()?;
        match self.put(name, &password, rights, Expect::Absent) {
            Err(AccountsError::Record(ConfigStoreError::Conflict { .. })) => {
                Err(AccountsError::Exists(name.to_owned()))
            }
            other => other.map(|()| password),
        }
    }

    /// Gives somebody a new password and returns it.
    pub fn reset_password(&self, name: &str) -> Result<String, AccountsError> {
        check_name(name)?;
        let record = self.records.get(&format!("{PREFIX}{name}"))?;
        let record = record.ok_or_else(|| AccountsError::Unknown(name.to_owned()))?;
        let (_, known) = user(name, &record.value)?;
        let password = random_password()?;
        self.put(name, &password, &known.rights, Expect::Version(record.version))?;
        Ok(password)
    }

    pub fn remove(&self, name: &str) -> Result<(), AccountsError> {
        check_name(name)?;
        let key = format!("{PREFIX}{name}");
        let record = self.records.get(&key)?.ok_or_else(|| AccountsError::Unknown(name.to_owned()))?;
        Ok(self.records.delete(&key, Expect::Version(record.version))?)
    }

    /// On the first start of a data directory makes [`FIRST_ADMIN`] and returns the password, which is
    /// nowhere else. An administrator who was removed does not come back.
    pub fn first_admin(&self) -> Result<Option<String>, AccountsError> {
        let begun = "begun";
        if self.records.get(begun)?.is_some() || !self.records.list(PREFIX)?.is_empty() {
            return Ok(None);
        }
        let password = self.add(FIRST_ADMIN, &Rights { tenants: Vec::new(), admin: true })?;
        self.records.put(begun, b"", Expect::Anything)?;
        Ok(Some(password))
    }

    fn put(&self, name: &str, password: &str, rights: &Rights, expect: Expect) -> Result<(), AccountsError> {
        let salt = random_salt()?;
        let stored = Stored {
            password_hash: PasswordHash::make(password, salt).expose().to_owned(),
            tenants: rights.tenants.iter().map(ToString::to_string).collect(),
            admin: rights.admin,
        };
        let value = serde_json::to_vec(&stored).expect("strings and flags are JSON");
        self.records.put(&format!("{PREFIX}{name}"), &value, expect)?;
        Ok(())
    }
}

fn user(name: &str, value: &[u8]) -> Result<(String, User), AccountsError> {
    let damaged = |cause: String| AccountsError::Damaged { name: name.to_owned(), cause };
    let stored: Stored = serde_json::from_slice(value).map_err(|e| damaged(e.to_string()))?;
    let password_hash = PasswordHash::parse(&stored.password_hash).map_err(|e| damaged(e.to_string()))?;
    let tenants = stored.tenants.iter().map(|id| TenantId::new(id).map_err(|e| damaged(e.to_string())));
    let rights = Rights { tenants: tenants.collect::<Result<_, _>>()?, admin: stored.admin };
    Ok((name.to_owned(), User { password_hash, rights }))
}

/// Names are parts of keys, and of basic authentication, which ends them at a colon.
fn check_name(name: &str) -> Result<(), AccountsError> {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b"-_.@".contains(&b);
    let fits = (1..=64).contains(&name.len()) && !name.starts_with('.');
    if fits && name.bytes().all(allowed) { Ok(()) } else { Err(AccountsError::InvalidName(name.to_owned())) }
}

/// For hashes of passwords.
pub fn random_salt() -> Result<[u8; SALT_BYTES], AccountsError> {
    let mut salt = [0; SALT_BYTES];
    SystemRandom::new().fill(&mut salt).map_err(|_| AccountsError::NoRandomness)?;
    Ok(salt)
}

/// 100 bits.
fn random_password() -> Result<String, AccountsError> {
    let mut bytes = [0; PASSWORD_LENGTH];
    SystemRandom::new().fill(&mut bytes).map_err(|_| AccountsError::NoRandomness)?;
    Ok(bytes.iter().map(|byte| char::from(ALPHABET[usize::from(*byte) % ALPHABET.len()])).collect())
}

#[cfg(test)]
mod tests {
    use vfs::MemVfs;

    use super::*;

    fn open(vfs: &MemVfs) -> Accounts {
        Accounts::open(Arc::new(vfs.clone()), Path::new("data")).unwrap()
    }

    #[test]
    fn a_first_start_makes_an_administrator_once() {
        let vfs = MemVfs::default();
        let accounts = open(&vfs);
        let password = accounts.first_admin().unwrap().unwrap();
        assert_eq!(password.len(), PASSWORD_LENGTH);
        let listed = accounts.list().unwrap();
        let [(name, admin)] = listed.as_slice() else { panic!("{listed:?}") };
        assert!(name == FIRST_ADMIN && admin.rights.admin && admin.password_hash.verify(&password));
        assert!(accounts.first_admin().unwrap().is_none());
        drop(accounts);

        let accounts = open(&vfs.crash());
        assert!(accounts.first_admin().unwrap().is_none(), "after a restart");
        accounts.remove(FIRST_ADMIN).unwrap();
        assert!(accounts.first_admin().unwrap().is_none(), "after it was removed");
    }

    #[test]
    fn accounts_are_added_changed_and_removed() {
        let accounts = open(&MemVfs::default());
        let rights = Rights { tenants: vec![TenantId::new("team-a").unwrap()], admin: false };
        let first = accounts.add("bob", &rights).unwrap();
        assert!(matches!(accounts.add("bob", &rights), Err(AccountsError::Exists(_))));
        let second = accounts.reset_password("bob").unwrap();
        let (_, bob) = accounts.list().unwrap().remove(0);
        assert_eq!(bob.rights, rights);
        assert!(bob.password_hash.verify(&second) && !bob.password_hash.verify(&first));
        accounts.remove("bob").unwrap();
        assert!(accounts.list().unwrap().is_empty());
        assert!(matches!(accounts.remove("bob"), Err(AccountsError::Unknown(_))));
        for name in ["", "a:b", "../x", "a/b", ".hidden", &"x".repeat(65)] {
            assert!(matches!(accounts.add(name, &rights), Err(AccountsError::InvalidName(_))), "{name}");
        }
    }

    #[test]
    fn a_directory_in_use_says_what_to_do() {
        let vfs = MemVfs::default();
        let _held = open(&vfs);
        let error = Accounts::open(Arc::new(vfs), Path::new("data")).unwrap_err().to_string();
        assert_eq!(error, "data/state is in use by another process; stop the server first");
    }
}
