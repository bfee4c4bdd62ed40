//! `--trace`: what goes over the wire, one line each on standard output.

use std::fmt::Arguments;
use std::io::Write as _;

use jpip::client::Event;

/// Prints, or does not.
#[derive(Debug, Clone, Copy)]
pub(super) struct Trace {
    on: bool,
}

impl Trace {
    pub(super) const fn new(on: bool) -> Self {
        Self { on }
    }

    /// Prints a line about the exchange.
    pub(super) fn line(self, line: Arguments<'_>) {
        if self.on {
            // A reader that went away (`| head`) must not keep the window from being written.
            let _closed = writeln!(std::io::stdout().lock(), "{line}");
        }
    }

    /// Prints a message or the end of a response; the bytes of bodies are not shown.
    pub(super) fn event(self, event: &Event<'_>) {
        match event {
            Event::Message(header) => {
                let aux = if header.class.has_aux() { format!(" aux={}", header.aux) } else { String::new() };
                self.line(format_args!(
                    "message class={} csn={} id={} offset={} length={} complete={}{aux}",
                    header.class.number(),
                    header.codestream.0,
                    header.id,
                    header.offset,
                    header.len,
                    u8::from(header.complete),
                ));
            }
            Event::EndOfResponse(reason) => self.line(format_args!("eor reason={} {reason:?}", reason.code())),
            Event::Body { .. } => {}
        }
    }
}
