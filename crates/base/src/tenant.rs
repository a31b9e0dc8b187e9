//! Tenants: the first component of every key, path, cache and limit.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

/// The longest tenant id, in bytes, as in Mimir and Loki.
pub const TENANT_ID_LENGTH_MAX: usize = 150;

/// A validated tenant id: 1 to 150 bytes of ASCII letters, digits and `!-_.*'()`, and neither `.`
/// nor `..`, so that it is safe in paths and headers.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TenantId(Arc<str>);

/// Why a text is no tenant id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InvalidTenantId(String);

impl fmt::Display for InvalidTenantId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "invalid tenant id {:?}: 1 to {TENANT_ID_LENGTH_MAX} of letters, digits and !-_.*'()",
            self.0
        )
    }
}

impl std::error::Error for InvalidTenantId {}

impl TenantId {
    /// The tenant of requests that name none.
    pub fn anonymous() -> Self {
        Self(Arc::from("anonymous"))
    }

    pub fn new(id: &str) -> Result<Self, InvalidTenantId> {
        let allowed = |b: u8| b.is_ascii_alphanumeric() || b"!-_.*'()".contains(&b);
        let fits = !id.is_empty() && id.len() <= TENANT_ID_LENGTH_MAX;
        if fits && id != "." && id != ".." && id.bytes().all(allowed) {
            Ok(Self(Arc::from(id)))
        } else {
            Err(InvalidTenantId(id.chars().take(TENANT_ID_LENGTH_MAX).collect()))
        }
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for TenantId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A setting that every tenant has, and that some have a value of their own for.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PerTenant<T> {
    pub default: T,
    pub overrides: BTreeMap<TenantId, T>,
}

impl<T> PerTenant<T> {
    /// The same for everybody.
    pub fn all(default: T) -> Self {
        Self { default, overrides: BTreeMap::new() }
    }

    pub fn of(&self, tenant: &TenantId) -> &T {
        self.overrides.get(tenant).unwrap_or(&self.default)
    }

    /// The same tenants with another setting that follows from this one.
    pub fn map<U>(&self, of: impl Fn(&T) -> U) -> PerTenant<U> {
        let overrides = self.overrides.iter().map(|(tenant, value)| (tenant.clone(), of(value)));
        PerTenant { default: of(&self.default), overrides: overrides.collect() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tenant_ids_are_safe_in_paths() {
        for good in ["anonymous", "team-a", "a.b", "x'(y)*!"] {
            assert!(TenantId::new(good).is_ok(), "{good}");
        }
        for bad in ["", ".", "..", "a/b", "a b", "ä", "a|b"] {
            assert!(TenantId::new(bad).is_err(), "{bad}");
        }
        assert!(TenantId::new(&"a".repeat(151)).is_err());
    }
}
