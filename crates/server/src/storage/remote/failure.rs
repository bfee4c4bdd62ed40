//! What a failure of a remote store means here.

use std::error::Error as _;
use std::io;

use object_store::Error;
use rustix::io::Errno;

/// The error of a read: `NotFound` if the object is not there, `UnexpectedEof` if it is shorter than it was, otherwise
/// one of the system, so that it is told as a store that does not answer now.
pub(super) fn of_reading(error: &Error) -> io::Error {
    match error {
        Error::NotFound { .. } => io::ErrorKind::NotFound.into(),
        Error::Generic { source, .. } if is_of_the_range(&source.to_string()) => io::ErrorKind::UnexpectedEof.into(),
        other => of_store(other),
    }
}

/// The error of what needs no object to be there. That a bucket is gone is no word about an object.
pub(super) fn of_store(error: &Error) -> io::Error {
    match error {
        Error::PermissionDenied { .. } | Error::Unauthenticated { .. } => Errno::ACCESS.into(),
        other if status(&other.to_string()) == Some("507") => io::ErrorKind::StorageFull.into(),
        _ => Errno::REMOTEIO.into(),
    }
}

/// The error of what took too long.
pub(super) fn too_late() -> io::Error {
    Errno::TIMEDOUT.into()
}

/// What happened, for a log or an operator, in one line. Of the server's answer only its code and its message: what
/// else it repeats of a request may hold the name of a key and a signature.
pub(super) fn words(error: &Error) -> String {
    let text = match error {
        Error::Generic { source, .. }
        | Error::NotFound { source, .. }
        | Error::PermissionDenied { source, .. }
        | Error::Unauthenticated { source, .. } => source.to_string(),
        other => other.to_string(),
    };
    let answered = [element(&text, "Code"), element(&text, "Message")].into_iter().flatten().collect::<Vec<_>>();
    if !answered.is_empty() {
        return answered.join(": ");
    }
    // Before that stand the method, the URL and the number of tries; after it whatever was answered.
    let tail = text.split_once(" - ").map_or(&*text, |(_, tail)| tail);
    let head = tail.split('<').next().unwrap_or_default().trim().to_owned();
    let told = match deepest(error).map(ToString::to_string) {
        Some(cause) if !text.contains(&cause) && !cause.contains('<') => format!("{head}: {cause}"),
        _ => head,
    };
    told.split_whitespace().collect::<Vec<_>>().join(" ").chars().take(MOST_WORDS).collect()
}

/// The last of the causes, as "connection refused", which those above it leave out.
fn deepest(error: &Error) -> Option<&(dyn std::error::Error + 'static)> {
    std::iter::successors(error.source(), |&cause| cause.source()).last()
}

fn element<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let (_, rest) = text.split_once(&format!("<{name}>"))?;
    let (inside, _) = rest.split_once('<')?;
    (!inside.is_empty() && inside.len() <= MOST_WORDS).then_some(inside)
}

/// Whether the server has no such range of the object, or gave another. The library has these errors for itself, so
/// that their words are all there is to go by.
fn is_of_the_range(text: &str) -> bool {
    status(text) == Some("416") || (text.starts_with("Requested ") && text.contains(", got "))
}

fn status(text: &str) -> Option<&str> {
    text.split_once("status code: ")?.1.get(..3)
}

/// Characters of a message that are passed on.
const MOST_WORDS: usize = 300;

#[cfg(test)]
mod tests {
    use super::*;

    fn generic(text: &str) -> Error {
        Error::Generic { store: "S3", source: text.to_owned().into() }
    }

    #[test]
    fn the_words_hold_the_message_and_not_the_request() {
        let answer = "Error performing PUT http://h/b/k in 3ms - Server returned non-2xx status code: 400 Bad Request: \
                      <Error><Code>Wrong</Code><Message>the region is another</Message><AWSAccessKeyId>AKIA<";
        assert_eq!(words(&generic(answer)), "Wrong: the region is another");
        let none = "Error performing GET http://h/b/k in 1s, after 3 retries, max_retries: 3  - HTTP error: connect";
        assert_eq!(words(&generic(none)), "HTTP error: connect");
        assert_eq!(words(&generic("x - y <AWSAccessKeyId>AKIA")), "y");
    }

    #[test]
    fn the_words_hold_the_cause_that_lies_deepest() {
        #[derive(Debug, thiserror::Error)]
        #[error("HTTP error: error sending request")]
        struct Sending(#[source] io::Error);
        let refused = Sending(io::Error::other("connection refused"));
        let error = Error::Generic { store: "S3", source: Box::new(refused) };
        assert_eq!(words(&error), "HTTP error: error sending request: connection refused");
    }

    #[test]
    fn f_a_store_that_does_not_answer_is_told_from_an_object_that_is_gone() {
        let gone = Error::NotFound { path: String::new(), source: "".into() };
        assert_eq!(of_reading(&gone).kind(), io::ErrorKind::NotFound);
        assert_eq!(of_store(&gone).raw_os_error(), Some(Errno::REMOTEIO.raw_os_error()));
        let full = generic("Server returned non-2xx status code: 507 Insufficient Storage: ");
        assert_eq!(of_store(&full).kind(), io::ErrorKind::StorageFull);
        for short in ["Requested 0..9, got 0..5", "Server returned non-2xx status code: 416 Range Not Satisfiable: "] {
            assert_eq!(of_reading(&generic(short)).kind(), io::ErrorKind::UnexpectedEof);
        }
        assert_eq!(of_reading(&generic("x")).raw_os_error(), Some(Errno::REMOTEIO.raw_os_error()));
    }
}
