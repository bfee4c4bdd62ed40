//! Command sets as they are written: Implicit VR Little Endian [PS3.7 6.3.1].

/// Elements of group 0000 on their way out; they are put in ascending order.
#[derive(Debug, Default)]
pub(super) struct CommandSet {
    elements: Vec<u8>,
}

impl CommandSet {
    pub(super) const fn new() -> Self {
        Self { elements: Vec::new() }
    }

    pub(super) fn number(self, element: u16, value: u16) -> Self {
        self.bytes(element, &value.to_le_bytes())
    }

    pub(super) fn uid(self, element: u16, uid: &str) -> Self {
        self.text(element, uid, 0)
    }

    pub(super) fn uid_if_some(self, element: u16, uid: Option<&str>) -> Self {
        match uid {
            Some(uid) => self.uid(element, uid),
            None => self,
        }
    }

    /// An AE title, padded with spaces.
    pub(super) fn title(self, element: u16, title: &str) -> Self {
        self.text(element, title, b' ')
    }

    /// Error Comment (0000,0902), as much of it as fits.
    pub(super) fn comment(self, comment: Option<&str>) -> Self {
        let Some(comment) = comment else { return self };
        // A backslash would divide the value, and every reader knows ASCII.
        let plain = |c: char| if c.is_ascii_graphic() && c != '\\' { c } else { ' ' };
        let comment: String = comment.chars().take(MAX_COMMENT).map(plain).collect();
        self.text(0x0902, comment.trim_end(), b' ')
    }

    /// Command Data Set Type (0000,0800).
    pub(super) fn data_set(self, follows: bool) -> Self {
        self.number(0x0800, if follows { DATA_SET } else { NO_DATA_SET })
    }

    /// The whole command set, behind its group length.
    pub(super) fn finish(mut self) -> Vec<u8> {
        let len = u32::try_from(self.elements.len()).unwrap_or(u32::MAX);
        let mut set = Self { elements: Vec::with_capacity(self.elements.len() + 12) };
        set = set.bytes(0x0000, &len.to_le_bytes());
        set.elements.append(&mut self.elements);
        set.elements
    }

    fn text(self, element: u16, text: &str, padding: u8) -> Self {
        let mut value = text.as_bytes().to_vec();
        if !value.len().is_multiple_of(2) {
            value.push(padding);
        }
        self.bytes(element, &value)
    }

    fn bytes(mut self, element: u16, value: &[u8]) -> Self {
        self.elements.extend([0, 0]);
        self.elements.extend(element.to_le_bytes());
        self.elements.extend(u32::try_from(value.len()).unwrap_or(u32::MAX).to_le_bytes());
        self.elements.extend(value);
        self
    }
}

/// Command Data Set Type when no data set follows.
pub(super) const NO_DATA_SET: u16 = 0x0101;

/// Any other value says that one does.
const DATA_SET: u16 = 0x0001;

/// Characters of a value of VR LO.
const MAX_COMMENT: usize = 64;
