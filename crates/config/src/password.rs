//! Password hashes as files hold them, bcrypt or argon2: checked when they are read, compared when
//! somebody logs in, and made for accounts of our own.

use std::fmt;

use argon2::password_hash::phc;
use argon2::password_hash::{PasswordHasher as _, PasswordVerifier as _};
use argon2::{Algorithm, Argon2, Params};

/// A hash that asks for more than this would let one login take the machine.
const ARGON2_MEMORY_KIB_MAX: u32 = 1 << 20;
const ARGON2_PASSES_MAX: u32 = 64;
const ARGON2_LANES_MAX: u32 = 64;
/// Each step doubles the time; 16 is about five seconds.
const BCRYPT_COST_MAX: u32 = 16;

/// Bytes of salt in the hashes that we make.
pub const SALT_BYTES: usize = 16;

/// A hash that can be compared with. Does not print.
#[derive(Clone, PartialEq, Eq)]
pub struct PasswordHash {
    text: String,
    kind: Kind,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Bcrypt,
    Argon2,
}

/// Why a text is no hash that somebody could log in with.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PasswordHashError {
    #[error("password_hash must be a bcrypt ($2…) or argon2 ($argon2…) hash; never a password")]
    NoHash,
    #[error("password_hash is a damaged {kind} hash: {cause}")]
    Damaged { kind: &'static str, cause: String },
    #[error("password_hash asks for {what} {found}, at most {max} is allowed")]
    TooExpensive { what: &'static str, found: u32, max: u32 },
}

impl fmt::Debug for PasswordHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PasswordHash(<hidden>)")
    }
}

impl PasswordHash {
    pub fn parse(text: &str) -> Result<Self, PasswordHashError> {
        let kind = if text.starts_with("$argon2") {
            check_argon2(text)?;
            Kind::Argon2
        } else if text.starts_with("$2") {
            check_bcrypt(text)?;
            Kind::Bcrypt
        } else {
            return Err(PasswordHashError::NoHash);
        };
        Ok(Self { text: text.to_owned(), kind })
    }

    /// argon2id with the parameters that OWASP recommends first: 19 MiB, two passes, one lane.
    pub fn make(password: &str, salt: [u8; SALT_BYTES]) -> Self {
        let made = Argon2::default().hash_password_with_salt(password.as_bytes(), &salt);
        let hash = made.expect("the default parameters and a salt of 16 bytes are within the bounds");
        Self { text: hash.to_string(), kind: Kind::Argon2 }
    }

    /// As it stands in files.
    pub fn expose(&self) -> &str {
        &self.text
    }

    /// Slow on purpose: tens of milliseconds of one core, and for argon2 tens of MiB.
    pub fn verify(&self, password: &str) -> bool {
        match self.kind {
            Kind::Bcrypt => bcrypt::verify(password, &self.text).unwrap_or(false),
            Kind::Argon2 => phc::PasswordHash::new(&self.text)
                .is_ok_and(|hash| Argon2::default().verify_password(password.as_bytes(), &hash).is_ok()),
        }
    }
}

fn check_bcrypt(text: &str) -> Result<(), PasswordHashError> {
    let damaged =
        |cause: &dyn fmt::Display| PasswordHashError::Damaged { kind: "bcrypt", cause: cause.to_string() };
    let parts = text.parse::<bcrypt::HashParts>().map_err(|e| damaged(&e))?;
    let cost = parts.get_cost();
    if cost > BCRYPT_COST_MAX {
        return Err(PasswordHashError::TooExpensive { what: "cost", found: cost, max: BCRYPT_COST_MAX });
    }
    Ok(())
}

fn check_argon2(text: &str) -> Result<(), PasswordHashError> {
    let damaged =
        |cause: &dyn fmt::Display| PasswordHashError::Damaged { kind: "argon2", cause: cause.to_string() };
    let hash = phc::PasswordHash::new(text).map_err(|e| damaged(&e))?;
    Algorithm::try_from(hash.algorithm.as_str()).map_err(|e| damaged(&e))?;
    if hash.salt.is_none() || hash.hash.is_none() {
        return Err(damaged(&"salt or hash is missing"));
    }
    let params = Params::try_from(&hash).map_err(|e| damaged(&e))?;
    for (what, found, max) in [
        ("KiB of memory", params.m_cost(), ARGON2_MEMORY_KIB_MAX),
        ("passes", params.t_cost(), ARGON2_PASSES_MAX),
        ("lanes", params.p_cost(), ARGON2_LANES_MAX),
    ] {
        if found > max {
            return Err(PasswordHashError::TooExpensive { what, found, max });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// bcrypt of `open sesame`, by htpasswd.
    const BCRYPT: &str = "$2y$05$EkTgMN5mJ3YEhkeLDZ87uugcZciP0WaUxokpide08tIYqYurM6DXe";
    /// argon2 of `password` with the salt `somesalt`: from the reference implementation's tests.
    const ARGON2ID: &str =
        "$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc";
    const ARGON2I: &str =
        "$argon2i$v=19$m=256,t=2,p=1$c29tZXNhbHQ$iekCn0Y3spW+sCcFanM2xBT63UP2sghkUoHLIUpWRS8";

    #[test]
    fn hashes_are_compared_with_passwords() {
        let made = PasswordHash::make("open sesame", [7; SALT_BYTES]);
        for (hash, right) in [
            (BCRYPT, "open sesame"),
            (ARGON2ID, "password"),
            (ARGON2I, "password"),
            (made.expose(), "open sesame"),
        ] {
            let hash = PasswordHash::parse(hash).unwrap();
            assert!(hash.verify(right), "{}", hash.expose());
            assert!(!hash.verify("close sesame") && !hash.verify(""), "{}", hash.expose());
        }
        assert!(made.expose().starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{}", made.expose());
        assert!(!format!("{made:?}").contains("argon2id"));
    }

    #[test]
    fn what_nobody_could_log_in_with_is_refused() {
        for (text, wanted) in [
            ("hunter2", "never a password"),
            ("$2y$10$abc", "damaged bcrypt"),
            ("$2y$31$QOauhQNbBCuQDKes6eFzPeMqBSjb7Mr5DUmpZ/VcEd00UAV/LDeSi", "cost 31, at most 16"),
            ("$argon2id$v=19$m=65536", "damaged argon2"),
            (
                "$argon2x$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc",
                "argon2",
            ),
            (
                "$argon2id$v=19$m=4194304,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc",
                "KiB of memory 4194304, at most 1048576",
            ),
            (
                "$argon2id$v=19$m=64,t=9999,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc",
                "passes 9999, at most 64",
            ),
        ] {
            let error = PasswordHash::parse(text).unwrap_err().to_string();
            assert!(error.contains(wanted), "{text}: {error}");
        }
    }
}
