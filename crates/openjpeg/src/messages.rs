//! What OpenJPEG says, collected instead of printed.
#![expect(unsafe_code, reason = "callbacks of a foreign library")]

use std::ffi::{CStr, c_char, c_void};
use std::sync::{Mutex, PoisonError};

/// Errors and warnings of one codec. OpenJPEG calls from its worker threads too, hence the lock.
#[derive(Debug, Default)]
pub(crate) struct Messages {
    kept: Mutex<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    errors: Vec<String>,
    warnings: Vec<String>,
}

impl Messages {
    /// The errors as one line.
    pub(crate) fn errors(&self) -> String {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.errors.is_empty() { "no reason given".to_owned() } else { kept.errors.join("; ") }
    }

    /// Takes the warnings out.
    pub(crate) fn take_warnings(&self) -> Vec<String> {
        std::mem::take(&mut self.kept.lock().unwrap_or_else(PoisonError::into_inner).warnings)
    }

    /// What the callbacks are given as client data. The codec may use it as long as `self` lives.
    pub(crate) fn client_data(&self) -> *mut c_void {
        std::ptr::from_ref(self).cast_mut().cast()
    }
}

pub(crate) unsafe extern "C" fn keep_error(message: *const c_char, client_data: *mut c_void) {
    // SAFETY: OpenJPEG passes on the client data that `handles` registered, a `Messages` that outlives the
    // codec, and a message that is a C string for the time of the call.
    unsafe {
        keep(message, client_data, |kept| &mut kept.errors);
    }
}

pub(crate) unsafe extern "C" fn keep_warning(message: *const c_char, client_data: *mut c_void) {
    // SAFETY: as in `keep_error`.
    unsafe {
        keep(message, client_data, |kept| &mut kept.warnings);
    }
}

/// # Safety
///
/// `client_data` is null or points to a live [`Messages`]; `message` is null or a C string.
unsafe fn keep(message: *const c_char, client_data: *mut c_void, list: fn(&mut Kept) -> &mut Vec<String>) {
    if message.is_null() || client_data.is_null() {
        return;
    }
    // SAFETY: the caller's promise; the reference lives only for this call and `Messages` is `Sync`.
    let messages = unsafe { &*client_data.cast::<Messages>() };
    // SAFETY: the caller's promise.
    let text = unsafe { CStr::from_ptr(message) }.to_string_lossy();
    let mut kept = messages.kept.lock().unwrap_or_else(PoisonError::into_inner);
    let list = list(&mut kept);
    // A broken codestream can cause a message per packet; the first ones tell the cause.
    if list.len() < MAX_MESSAGES {
        list.push(text.trim_end().to_owned());
    }
}

const MAX_MESSAGES: usize = 32;
