//! What is stored and where in a store it lies.

use catalog::{IndexKey, ObjectKey};

/// An object or an index of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Name {
    Object(ObjectKey),
    Index(IndexKey),
}

impl Name {
    /// The object that it is or belongs to.
    pub(super) const fn object(&self) -> &ObjectKey {
        match self {
            Self::Object(key) => key,
            Self::Index(key) => &key.object,
        }
    }

    /// Its way below the store's root: `objects/ab/cd…` or `index/ab/cd….<version>`.
    pub(super) fn parts(&self) -> [String; 3] {
        let (top, name) = match self {
            Self::Object(key) => ("objects", key.to_string()),
            Self::Index(key) => ("index", key.to_string()),
        };
        let [ab, rest] = split(&name);
        [top.to_owned(), ab.to_owned(), rest.to_owned()]
    }
}

/// `ab` and `cd…` of a name `abcd…`: 256 folders, which are soon all there, so that hardly an object waits for the entry
/// of a new one to be on the disk. Names begin with a key's digits.
pub(super) fn split(name: &str) -> [&str; 2] {
    name.split_at_checked(2).unwrap_or((name, "")).into()
}
