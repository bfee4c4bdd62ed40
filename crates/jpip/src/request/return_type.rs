//! `type`: the media types that the client takes [15444-9 C.7.3].

use super::error::RequestError;
use crate::limits::Limits;

/// The kind of message stream that a reply is [15444-9 A.1].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum StreamType {
    /// JPP-stream: tile headers and precincts.
    Jpp {
        /// Whether precinct messages carry Aux: class 1 instead of class 0.
        extended: bool,
    },
    /// JPT-stream: tiles.
    Jpt {
        /// Whether tile messages carry Aux: class 5 instead of class 4.
        extended: bool,
    },
    /// JPP-stream in the dialect of OpenJPIP's programs, which is told apart by its tile headers.
    OpenJpip,
}

impl StreamType {
    /// The first of the client's types that is a stream; a plain JPP-stream where the client names none.
    ///
    /// # Errors
    ///
    /// - [`RequestError::UnsupportedMediaType`] if types are named and none of them is a stream.
    pub(crate) fn of(types: &[ReturnType]) -> Result<Self, RequestError> {
        if types.is_empty() {
            return Ok(Self::default());
        }
        types.iter().find_map(ReturnType::stream).ok_or(RequestError::UnsupportedMediaType)
    }

    /// Whether it is a JPT-stream.
    #[must_use]
    pub const fn is_jpt(self) -> bool {
        matches!(self, Self::Jpt { .. })
    }

    /// Whether messages of image data carry Aux.
    #[must_use]
    pub const fn is_extended(self) -> bool {
        matches!(self, Self::Jpp { extended: true } | Self::Jpt { extended: true })
    }

    /// The `Content-Type` of the reply.
    #[must_use]
    pub const fn content_type(self) -> &'static str {
        match self {
            Self::Jpp { extended: false } | Self::OpenJpip => "image/jpp-stream",
            Self::Jpp { extended: true } => "image/jpp-stream;ptype=ext",
            Self::Jpt { extended: false } => "image/jpt-stream",
            Self::Jpt { extended: true } => "image/jpt-stream;ttype=ext",
        }
    }
}

impl Default for StreamType {
    fn default() -> Self {
        Self::Jpp { extended: false }
    }
}

impl From<StreamType> for ReturnType {
    fn from(stream: StreamType) -> Self {
        match stream {
            StreamType::Jpp { extended } => Self::JppStream { extended },
            StreamType::Jpt { extended } => Self::JptStream { extended },
            StreamType::OpenJpip => Self::JppStream { extended: false },
        }
    }
}

/// One element of `type`, in the client's order of preference.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReturnType {
    /// `jpp-stream`; `extended` with `;ptype=ext`: precinct messages carry Aux.
    JppStream {
        /// Class 1 instead of class 0.
        extended: bool,
    },
    /// `jpt-stream`; `extended` with `;ttype=ext`: tile messages carry Aux.
    JptStream {
        /// Class 5 instead of class 4.
        extended: bool,
    },
    /// `raw`: the whole target as it is stored.
    Raw,
    /// Any other media type, lower case, without parameters.
    Media(String),
}

impl ReturnType {
    pub(crate) fn parse_list(field: &'static str, value: &[u8], limits: &Limits) -> Result<Vec<Self>, RequestError> {
        let text = String::from_utf8_lossy(value).to_ascii_lowercase();
        let mut found = Vec::new();
        for item in text.split(',') {
            if found.len() >= limits.max_list_items {
                return Err(RequestError::LimitExceeded { field, limit: limits.max_list_items });
            }
            let mut parts = item.split(';').map(str::trim);
            let name = parts.next().unwrap_or_default();
            if name.is_empty() {
                return Err(RequestError::malformed(field, "an empty media type"));
            }
            let parameters: Vec<&str> = parts.take(8).collect();
            found.push(match name.strip_prefix("image/").unwrap_or(name) {
                "jpp-stream" => Self::JppStream { extended: parameters.contains(&"ptype=ext") },
                "jpt-stream" => Self::JptStream { extended: parameters.contains(&"ttype=ext") },
                "raw" => Self::Raw,
                _ => Self::Media(name.to_owned()),
            });
        }
        Ok(found)
    }

    /// The stream of messages that this type is; `None` for types that are whole images.
    #[must_use]
    pub const fn stream(&self) -> Option<StreamType> {
        match *self {
            Self::JppStream { extended } => Some(StreamType::Jpp { extended }),
            Self::JptStream { extended } => Some(StreamType::Jpt { extended }),
            Self::Raw | Self::Media(_) => None,
        }
    }

    /// The `Content-Type` of a reply of this type; `None` for `raw`, where it depends on the target.
    #[must_use]
    pub fn content_type(&self) -> Option<&str> {
        match (self.stream(), self) {
            (Some(stream), _) => Some(stream.content_type()),
            (None, Self::Media(name)) => Some(name),
            (None, _) => None,
        }
    }
}

/// How a target is returned as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WholeForm {
    /// The file as it is stored.
    File,
    /// One codestream with a file around it that is made for it.
    Wrapped,
    /// One codestream alone.
    Codestream,
}

/// The media types of what can be returned of a target as a whole; `None` for what cannot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct WholeTypes<'a> {
    /// That of the stored file, where the target is one.
    pub file: Option<&'a str>,
    /// That of a file made around the codestream that is asked for.
    pub wrapped: Option<&'a str>,
    /// That of the codestream.
    pub codestream: Option<&'a str>,
}

impl WholeTypes<'_> {
    /// The form and media type that answer `types`, lists of preference [15444-9 C.7.3]; `None` if a stream comes
    /// first, or nothing fits. `raw` is the stored file, or else the codestream with a file around it.
    #[must_use]
    pub fn choose(&self, types: &[ReturnType]) -> Option<(WholeForm, &str)> {
        let forms = [
            (WholeForm::File, self.file),
            (WholeForm::Wrapped, self.wrapped),
            (WholeForm::Codestream, self.codestream),
        ];
        for wanted in types {
            let fits = |media_type: &str| match wanted {
                ReturnType::Raw => true,
                ReturnType::Media(name) => name == media_type,
                ReturnType::JppStream { .. } | ReturnType::JptStream { .. } => false,
            };
            if wanted.stream().is_some() {
                return None;
            }
            let found =
                forms.iter().find_map(|&(form, media_type)| Some((form, media_type.filter(|name| fits(name))?)));
            if found.is_some() {
                return found;
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Request;

    fn stream(types: &str) -> Result<StreamType, RequestError> {
        StreamType::of(&Request::parse(format!("type={types}").as_bytes(), None)?.types)
    }

    #[test]
    fn c_7_3_the_first_type_that_is_served_is_taken() {
        let (jpp, jpt) = (|extended| Ok(StreamType::Jpp { extended }), |extended| Ok(StreamType::Jpt { extended }));
        assert_eq!(StreamType::of(&[]), jpp(false));
        for (types, expected) in [
            ("jpp-stream", jpp(false)),
            ("image/JPP-stream;ptype=ext", jpp(true)),
            ("jpt-stream", jpt(false)),
            ("image/jpt-stream; ttype=EXT", jpt(true)),
            ("jpt-stream;ttype=ext,jpp-stream", jpt(true)),
            ("image/jpeg,jpp-stream,jpt-stream", jpp(false)),
            // A parameter of the other stream type means nothing.
            ("jpt-stream;ptype=ext", jpt(false)),
            ("jpp-stream;ttype=ext", jpp(false)),
            ("image/jpeg", Err(RequestError::UnsupportedMediaType)),
            ("raw,image/jp2", Err(RequestError::UnsupportedMediaType)),
        ] {
            assert_eq!(stream(types), expected, "{types}");
        }
        for types in ["jpp-stream;ptype=ext", "jpt-stream", "jpt-stream;ttype=ext", "image/jpp-stream"] {
            let found = stream(types).unwrap();
            assert_eq!(stream(found.content_type()).unwrap(), found, "the answer reads as it was meant");
            assert_eq!(ReturnType::from(found).stream(), Some(found));
        }
    }

    #[test]
    fn c_7_3_whole_images_are_chosen_in_the_order_of_the_list() {
        let frame = WholeTypes { file: None, wrapped: Some("image/jp2"), codestream: Some("image/j2c") };
        let file = WholeTypes { file: Some("image/jpx"), wrapped: None, codestream: Some("image/jphc") };
        let chosen = |of: &WholeTypes<'_>, types: &str| {
            let request = Request::parse(format!("type={types}").as_bytes(), None).unwrap();
            of.choose(&request.types).map(|(form, name)| (form, name.to_owned()))
        };
        let answer = |form, name: &str| Some((form, name.to_owned()));
        assert_eq!(chosen(&frame, "raw"), answer(WholeForm::Wrapped, "image/jp2"));
        assert_eq!(chosen(&frame, "image/jph,image/J2C"), answer(WholeForm::Codestream, "image/j2c"));
        assert_eq!(chosen(&frame, "image/jp2,jpp-stream"), answer(WholeForm::Wrapped, "image/jp2"));
        for other in ["jpp-stream,raw", "image/jpeg,jpt-stream,image/jp2", "image/jph", "image/jphc,image/png"] {
            assert_eq!(chosen(&frame, other), None, "{other}");
        }
        assert_eq!(frame.choose(&[]), None);
        assert_eq!(chosen(&file, "raw"), answer(WholeForm::File, "image/jpx"));
        assert_eq!(chosen(&file, "image/jp2,image/jphc,raw"), answer(WholeForm::Codestream, "image/jphc"));
    }
}
