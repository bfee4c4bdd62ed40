//! Why bytes could not be stored or read.

use std::io;

use codestream::Family;
use rustix::io::Errno;
use thiserror::Error;

/// A failure of the store; says nothing of what the bytes mean.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum StorageError {
    /// More bytes than one object may have.
    #[error("larger than the limit of {limit} bytes")]
    TooLarge {
        /// The limit.
        limit: u64,
    },
    /// There is no room; nothing was stored.
    #[error("no space left in the store")]
    Full,
    /// A sync failed, now or earlier: what the disk holds is not known, and nothing is taken until a restart.
    #[error("the store's medium failed, nothing is taken until a restart")]
    Broken,
    /// What the key names is not there.
    #[error("the bytes are not in the store")]
    Missing,
    /// The medium failed otherwise.
    #[error("the store failed: {0}")]
    Io(#[source] io::Error),
}

impl StorageError {
    /// The family of this error.
    #[must_use]
    pub const fn family(&self) -> Family {
        match self {
            Self::TooLarge { .. } => Family::LimitExceeded,
            Self::Full | Self::Broken | Self::Missing | Self::Io(_) => Family::Unavailable,
        }
    }

    /// Whether it is what this process lacks that was in the way (descriptors, memory, permission, a remote store that
    /// answers): other bytes would have fared no better.
    #[must_use]
    pub fn is_of_the_process(&self) -> bool {
        let Self::Io(error) = self else { return false };
        let lacks =
            [Errno::MFILE, Errno::NFILE, Errno::NOMEM, Errno::ACCESS, Errno::PERM, Errno::REMOTEIO, Errno::TIMEDOUT];
        error.raw_os_error().is_some_and(|found| lacks.iter().any(|errno| errno.raw_os_error() == found))
    }
}

impl From<io::Error> for StorageError {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => Self::Full,
            io::ErrorKind::NotFound => Self::Missing,
            _ => Self::Io(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn f8_a_lack_of_descriptors_is_told_from_a_failing_disk() {
        let of = |errno: Errno| StorageError::from(io::Error::from(errno)).is_of_the_process();
        assert!(of(Errno::MFILE) && of(Errno::NFILE) && of(Errno::ACCESS));
        assert!(of(Errno::REMOTEIO) && of(Errno::TIMEDOUT));
        assert!(!of(Errno::IO) && !of(Errno::NOENT));
    }
}
