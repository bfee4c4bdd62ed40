//! Status codes of responses.

/// What became of a request [PS3.7 C, PS3.4 B.2.3].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// Done; of a C-STORE: the object is durable.
    Success,
    /// There is no room for the object now; the same request may succeed later.
    OutOfResources,
    /// The data set is not what the request said.
    DoesNotMatch,
    /// The data set cannot be read.
    CannotUnderstand,
    /// Another object has that SOP Instance UID.
    DuplicateInstance,
    /// The SOP class is not the one of the presentation context.
    ClassNotSupported,
    /// Something failed here.
    ProcessingFailure,
    /// The operation is none of those that are done here.
    UnrecognizedOperation,
}

impl Status {
    /// The code on the wire.
    #[must_use]
    pub const fn code(self) -> u16 {
        match self {
            Self::Success => 0x0000,
            Self::OutOfResources => 0xA700,
            Self::DoesNotMatch => 0xA900,
            Self::CannotUnderstand => 0xC000,
            Self::ProcessingFailure => 0x0110,
            Self::DuplicateInstance => 0x0111,
            Self::ClassNotSupported => 0x0122,
            Self::UnrecognizedOperation => 0x0211,
        }
    }
}
