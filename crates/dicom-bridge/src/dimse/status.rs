//! Status codes of responses.

/// What became of a request [PS3.7 C, PS3.4 B.2.3, C.4, J.3].
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
    /// There is more to come, or a match is in the data set.
    Pending,
    /// The peer cancelled it.
    Cancelled,
    /// Sub-operations were tried, and not all of them succeeded.
    SubOperationsFailed,
    /// What was asked for cannot be looked up; of a retrieval: not even counted.
    CannotMatch,
    /// No sub-operation could be done.
    CannotPerformSubOperations,
    /// Nobody is known by the title of the move destination.
    MoveDestinationUnknown,
    /// The action is none of those that are known here.
    NoSuchAction,
    /// An argument of the action is missing or wrong.
    InvalidArgument,
    /// The request asks for more than is done at once.
    ResourceLimitation,
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
            Self::Pending => 0xFF00,
            Self::Cancelled => 0xFE00,
            Self::SubOperationsFailed => 0xB000,
            Self::CannotMatch => 0xA701,
            Self::CannotPerformSubOperations => 0xA702,
            Self::MoveDestinationUnknown => 0xA801,
            Self::NoSuchAction => 0x0123,
            Self::InvalidArgument => 0x0115,
            Self::ResourceLimitation => 0x0213,
        }
    }

    /// Whether no further response follows one with this status.
    #[must_use]
    pub const fn is_final(self) -> bool {
        !matches!(self, Self::Pending)
    }
}
