//! The limit of open files: raised as far as the system lets us, since every target is a connection.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Below this a server of ordinary size runs out of files; said at the start.
const COMFORTABLE: u64 = 4096;

/// Raises the soft limit to the hard one, as Go programs do.
pub(crate) fn raise() {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current != maximum
        && let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum })
    {
        tracing::warn!(%error, "cannot raise the limit of open files");
    }
    if limit() < COMFORTABLE {
        tracing::warn!(
            limit = limit(),
            "few files may be open, and each target is a connection: raise the limit (ulimit -n, or \
             LimitNOFILE= of the unit)"
        );
    }
}

/// Files that may be open now.
pub(crate) fn limit() -> u64 {
    getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX)
}
