//! Records as objects `config/<key>`, each a frame with its version. A deleted record leaves its version
//! behind, so that versions are never reused.

use std::sync::Arc;

use parking_lot::Mutex;

use super::{CONFIG_VALUE_BYTES_MAX, ConfigRecord, ConfigStore, ConfigStoreError, Expect};
use crate::blob::{BlobStore, PutMode};
use crate::encoding::{FieldError, FieldReader, FieldWriter, frame, unframe};

const MAGIC: &[u8; 8] = b"SXTCONFG";
const FORMAT_VERSION: u8 = 1;
const PREFIX: &str = "config/";

/// A [`ConfigStore`] whose only writer is this process.
#[derive(Debug)]
pub struct LocalConfigStore {
    blobs: Arc<dyn BlobStore>,
    /// Held while a record is compared and swapped.
    writing: Mutex<()>,
}

/// The last version of a key, and its value unless it is deleted.
#[derive(Debug)]
struct Stored {
    version: u64,
    value: Option<Vec<u8>>,
}

impl LocalConfigStore {
    pub fn new(blobs: Arc<dyn BlobStore>) -> Self {
        Self { blobs, writing: Mutex::new(()) }
    }

    fn load(&self, key: &str) -> Result<Option<Stored>, ConfigStoreError> {
        let bytes = match self.blobs.get(&format!("{PREFIX}{key}")) {
            Ok(bytes) => bytes,
            Err(e) if e.is_not_found() => return Ok(None),
            Err(e) => return Err(e.into()),
        };
        let corrupt = |reason: String| ConfigStoreError::Corrupt { key: key.to_owned(), reason };
        let (_, body) = unframe(MAGIC, FORMAT_VERSION, &bytes).map_err(|e| corrupt(e.to_string()))?;
        let mut r = FieldReader::new(body);
        let mut read = || {
            let version = r.u64()?;
            let value = if r.u8()? == 0 { None } else { Some(r.bytes()?.to_vec()) };
            Ok::<_, FieldError>(Stored { version, value })
        };
        read().map(Some).map_err(|e| corrupt(e.to_string()))
    }

    fn store(&self, key: &str, value: Option<&[u8]>, expect: Expect) -> Result<u64, ConfigStoreError> {
        let _writing = self.writing.lock();
        let stored = self.load(key)?;
        let actual = stored.as_ref().and_then(|s| s.value.as_ref().map(|_| s.version));
        let holds = match expect {
            Expect::Anything => true,
            Expect::Absent => actual.is_none(),
            Expect::Version(version) => actual == Some(version),
        };
        if !holds {
            return Err(ConfigStoreError::Conflict { key: key.to_owned(), expected: expect, actual });
        }
        let version = stored.map_or(0, |s| s.version) + 1;
        let mut w = FieldWriter::new();
        w.u64(version);
        w.u8(u8::from(value.is_some()));
        if let Some(value) = value {
            w.bytes(value);
        }
        let framed = frame(MAGIC, FORMAT_VERSION, w.as_slice());
        self.blobs.put(&format!("{PREFIX}{key}"), &framed, PutMode::Overwrite)?;
        Ok(version)
    }
}

impl ConfigStore for LocalConfigStore {
    fn get(&self, key: &str) -> Result<Option<ConfigRecord>, ConfigStoreError> {
        let record =
            |s: Stored| Some(ConfigRecord { key: key.to_owned(), version: s.version, value: s.value? });
        Ok(self.load(key)?.and_then(record))
    }

    fn list(&self, prefix: &str) -> Result<Vec<ConfigRecord>, ConfigStoreError> {
        let mut records = Vec::new();
        for object in self.blobs.list(&format!("{PREFIX}{prefix}"))? {
            records.extend(self.get(&object.key[PREFIX.len()..])?);
        }
        Ok(records)
    }

    fn put(&self, key: &str, value: &[u8], expect: Expect) -> Result<u64, ConfigStoreError> {
        if value.len() > CONFIG_VALUE_BYTES_MAX {
            return Err(ConfigStoreError::TooLarge { key: key.to_owned(), len_bytes: value.len() });
        }
        self.store(key, Some(value), expect)
    }

    fn delete(&self, key: &str, expect: Expect) -> Result<(), ConfigStoreError> {
        if expect == Expect::Anything && self.get(key)?.is_none() {
            return Ok(());
        }
        self.store(key, None, expect).map(|_| ())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::blob::LocalBlobStore;

    /// What every config store promises.
    fn check_contract(store: &dyn ConfigStore) {
        let version = |key: &str| store.get(key).unwrap().map(|r| r.version);
        let refused =
            |result: Result<u64, ConfigStoreError>| matches!(result, Err(ConfigStoreError::Conflict { .. }));
        assert_eq!(version("a/x"), None);
        assert_eq!(store.put("a/x", b"1", Expect::Absent).unwrap(), 1);
        assert!(refused(store.put("a/x", b"2", Expect::Absent)));
        assert!(refused(store.put("a/x", b"2", Expect::Version(7))));
        assert_eq!(store.put("a/x", b"2", Expect::Version(1)).unwrap(), 2);
        assert_eq!(store.put("b", b"", Expect::Anything).unwrap(), 1);
        let listed = |prefix| {
            store.list(prefix).unwrap().into_iter().map(|r| (r.key, r.version, r.value)).collect::<Vec<_>>()
        };
        assert_eq!(listed("a/"), [("a/x".to_owned(), 2, b"2".to_vec())]);
        assert_eq!(listed("").len(), 2);
        assert!(store.delete("a/x", Expect::Version(1)).is_err());
        store.delete("a/x", Expect::Version(2)).unwrap();
        store.delete("a/x", Expect::Anything).unwrap();
        assert_eq!((version("a/x"), listed("a/").len()), (None, 0));
        assert_eq!(store.put("a/x", b"3", Expect::Absent).unwrap(), 4, "versions are not reused");
        let too_large = vec![0; CONFIG_VALUE_BYTES_MAX + 1];
        assert!(matches!(
            store.put("c", &too_large, Expect::Anything),
            Err(ConfigStoreError::TooLarge { .. })
        ));
    }

    #[test]
    fn the_local_config_store_keeps_the_contract_and_survives_a_crash() {
        let vfs = vfs::MemVfs::default();
        let open = |vfs: &vfs::MemVfs| {
            let blobs = LocalBlobStore::open(Arc::new(vfs.clone()), std::path::Path::new("d")).unwrap();
            LocalConfigStore::new(Arc::new(blobs))
        };
        check_contract(&open(&vfs));
        let store = open(&vfs.crash());
        assert_eq!(store.get("a/x").unwrap().unwrap().value, b"3");
    }
}
