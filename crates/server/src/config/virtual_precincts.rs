//! Whether images are presented in another layout than the stored one, and under which identifiers.

use clap::ValueEnum;
use codestream::relayout::presented::VIRTUAL_LAYOUT;
use serde::Deserialize;
use sha2::{Digest as _, Sha256};

/// Whether images without spatial access are presented with small precincts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum VirtualPrecincts {
    /// Where something is gained by it.
    #[default]
    Auto,
    /// Never: the stored layout is shown.
    Off,
}

impl VirtualPrecincts {
    /// The target identifier under which a target is served whose stored layout has the identifier `stored`.
    ///
    /// It tells the two settings apart for every target, without looking at its images: the same identifier must
    /// promise the same data-bins [15444-9 C.2.3]. Applied once more, it gives the stored one back.
    #[must_use]
    pub fn tid(self, stored: &str) -> String {
        if self == Self::Off {
            return stored.to_owned();
        }
        let digest = Sha256::digest(VIRTUAL_LAYOUT);
        let layout = digest.iter().take(16).fold(0, |number, &byte| number << 8 | u128::from(byte));
        let number = u128::from_str_radix(stored, 16).ok().filter(|_| stored.len() == 32);
        number.map_or_else(|| format!("{stored}-virtual"), |number| format!("{:032x}", number ^ layout))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layouts_have_identifiers_of_their_own() {
        let stored = "0123456789abcdef0123456789abcdef";
        assert_eq!(VirtualPrecincts::Off.tid(stored), stored);
        let of_virtual = VirtualPrecincts::Auto.tid(stored);
        assert!(of_virtual.len() == 32 && of_virtual.bytes().all(|byte| byte.is_ascii_hexdigit()));
        assert_ne!(of_virtual, stored);
        assert_eq!(VirtualPrecincts::Auto.tid(&of_virtual), stored, "and back");
        assert!(!jpip::target::tids_behind(stored).contains(&of_virtual), "a stream type is told apart in another way");
    }
}
