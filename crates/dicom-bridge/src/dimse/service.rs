//! Which service an abstract syntax belongs to.

use super::storage_class::is_storage_class;

/// What is asked for in the presentation contexts of an abstract syntax.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Service {
    /// C-ECHO [PS3.4 A].
    Verification,
    /// C-STORE [PS3.4 B].
    Storage,
    /// C-FIND [PS3.4 C].
    Find(Root),
    /// C-MOVE [PS3.4 C].
    Move(Root),
    /// C-GET [PS3.4 C].
    Get(Root),
    /// Storage commitment, push model [PS3.4 J].
    StorageCommitment,
}

/// The information model of a query or a retrieval: where its hierarchy begins [PS3.4 C.6].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Root {
    /// Patients, with studies below them.
    Patient,
    /// Studies, of which the patient is an attribute.
    Study,
}

impl Service {
    /// The service of an abstract syntax; `None` if it is none of those that are provided.
    #[must_use]
    pub fn of(abstract_syntax: &str) -> Option<Self> {
        let known = SERVICES.iter().find(|(uid, _)| *uid == abstract_syntax).map(|(_, service)| *service);
        known.or_else(|| is_storage_class(abstract_syntax).then_some(Self::Storage))
    }
}

/// Verification SOP Class.
pub(super) const VERIFICATION: &str = "1.2.840.10008.1.1";

/// Storage Commitment Push Model SOP Class, and the instance of it that everybody knows [PS3.4 J.3.5].
pub(super) const STORAGE_COMMITMENT: &str = "1.2.840.10008.1.20.1";
pub(super) const STORAGE_COMMITMENT_INSTANCE: &str = "1.2.840.10008.1.20.1.1";

const SERVICES: [(&str, Service); 8] = [
    (VERIFICATION, Service::Verification),
    ("1.2.840.10008.5.1.4.1.2.1.1", Service::Find(Root::Patient)),
    ("1.2.840.10008.5.1.4.1.2.1.2", Service::Move(Root::Patient)),
    ("1.2.840.10008.5.1.4.1.2.1.3", Service::Get(Root::Patient)),
    ("1.2.840.10008.5.1.4.1.2.2.1", Service::Find(Root::Study)),
    ("1.2.840.10008.5.1.4.1.2.2.2", Service::Move(Root::Study)),
    ("1.2.840.10008.5.1.4.1.2.2.3", Service::Get(Root::Study)),
    (STORAGE_COMMITMENT, Service::StorageCommitment),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_is_known_by_its_abstract_syntax() {
        assert_eq!(Service::of("1.2.840.10008.1.1"), Some(Service::Verification));
        assert_eq!(Service::of("1.2.840.10008.5.1.4.1.1.2"), Some(Service::Storage));
        assert_eq!(Service::of("1.2.840.10008.5.1.4.1.2.2.3"), Some(Service::Get(Root::Study)));
        assert_eq!(Service::of("1.2.840.10008.1.20.1"), Some(Service::StorageCommitment));
        for other in ["1.2.840.10008.5.1.4.31", "1.2.840.10008.5.1.4.1.2.3.1", "1.2.840.10008.1.20.1.1", ""] {
            assert_eq!(Service::of(other), None, "{other}");
        }
    }
}
