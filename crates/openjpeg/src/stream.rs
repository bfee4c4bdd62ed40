//! OpenJPEG streams over memory.
#![expect(unsafe_code, reason = "callbacks of a foreign library")]

use std::ffi::c_void;

use openjpeg_sys as sys;

/// Bytes to be read and where the reader stands.
pub(crate) struct Source<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Source<'a> {
    pub(crate) const fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }
}

/// Bytes written so far and where the writer stands; OpenJPEG goes back to patch lengths.
#[derive(Default)]
pub(crate) struct Sink {
    pub(crate) bytes: Vec<u8>,
    at: usize,
}

/// A stream that borrows its [`Source`] or [`Sink`].
pub(crate) struct Stream<'a> {
    raw: *mut sys::opj_stream_t,
    // The stream holds the only pointer to what it reads or writes until it is dropped.
    _borrowed: std::marker::PhantomData<&'a mut ()>,
}

impl<'a> Stream<'a> {
    /// `None` when OpenJPEG has no memory for it.
    pub(crate) fn reading(source: &'a mut Source<'_>) -> Option<Self> {
        let len = source.bytes.len() as u64;
        // SAFETY: creates a stream or returns null, which is checked. The callbacks get `source`, which is
        // mutably borrowed as long as the stream lives, and no function to free it.
        unsafe {
            let raw = sys::opj_stream_create(BUFFER, 1);
            if raw.is_null() {
                return None;
            }
            sys::opj_stream_set_user_data(raw, std::ptr::from_mut(source).cast(), None);
            sys::opj_stream_set_user_data_length(raw, len);
            sys::opj_stream_set_read_function(raw, Some(read));
            sys::opj_stream_set_skip_function(raw, Some(skip_in_source));
            sys::opj_stream_set_seek_function(raw, Some(seek_in_source));
            Some(Self { raw, _borrowed: std::marker::PhantomData })
        }
    }

    /// `None` when OpenJPEG has no memory for it.
    pub(crate) fn writing(sink: &'a mut Sink) -> Option<Self> {
        // SAFETY: as in `reading`.
        unsafe {
            let raw = sys::opj_stream_create(BUFFER, 0);
            if raw.is_null() {
                return None;
            }
            sys::opj_stream_set_user_data(raw, std::ptr::from_mut(sink).cast(), None);
            sys::opj_stream_set_write_function(raw, Some(write));
            sys::opj_stream_set_skip_function(raw, Some(skip_in_sink));
            sys::opj_stream_set_seek_function(raw, Some(seek_in_sink));
            Some(Self { raw, _borrowed: std::marker::PhantomData })
        }
    }

    pub(crate) const fn raw(&self) -> *mut sys::opj_stream_t {
        self.raw
    }
}

impl Drop for Stream<'_> {
    fn drop(&mut self) {
        // SAFETY: created in the constructor, destroyed only here.
        unsafe { sys::opj_stream_destroy(self.raw) };
    }
}

unsafe extern "C" fn read(to: *mut c_void, len: usize, source: *mut c_void) -> usize {
    // SAFETY: OpenJPEG hands back the `Source` of `Stream::reading`, borrowed by nobody else meanwhile.
    let source = unsafe { &mut *source.cast::<Source<'_>>() };
    let rest = source.bytes.get(source.at..).unwrap_or_default();
    let n = rest.len().min(len);
    if n == 0 {
        return END_OF_STREAM;
    }
    // SAFETY: `to` has room for `len >= n` bytes and is OpenJPEG's own buffer, apart from ours.
    unsafe { std::ptr::copy_nonoverlapping(rest.as_ptr(), to.cast::<u8>(), n) };
    source.at += n;
    n
}

unsafe extern "C" fn skip_in_source(by: i64, source: *mut c_void) -> i64 {
    // SAFETY: as in `read`.
    let source = unsafe { &mut *source.cast::<Source<'_>>() };
    let target = i64::try_from(source.at).ok().and_then(|at| at.checked_add(by));
    let Some(target) = target.and_then(|target| usize::try_from(target).ok()) else { return -1 };
    let reached = target.min(source.bytes.len());
    // A skip past the end goes to the end; what was really skipped is reported, -1 for nothing at all.
    let moved = if reached >= source.at { i64::try_from(reached - source.at).unwrap_or(-1) } else { by };
    source.at = reached;
    if moved == 0 && by != 0 { -1 } else { moved }
}

unsafe extern "C" fn seek_in_source(to: i64, source: *mut c_void) -> sys::OPJ_BOOL {
    // SAFETY: as in `read`.
    let source = unsafe { &mut *source.cast::<Source<'_>>() };
    match usize::try_from(to) {
        Ok(to) if to <= source.bytes.len() => {
            source.at = to;
            1
        }
        _ => 0,
    }
}

unsafe extern "C" fn write(from: *mut c_void, len: usize, sink: *mut c_void) -> usize {
    // SAFETY: OpenJPEG hands back the `Sink` of `Stream::writing`, borrowed by nobody else meanwhile.
    let sink = unsafe { &mut *sink.cast::<Sink>() };
    if len == 0 {
        return 0;
    }
    // SAFETY: `from` holds `len` readable bytes of OpenJPEG's own buffer for the time of the call.
    let bytes = unsafe { std::slice::from_raw_parts(from.cast::<u8>(), len) };
    let Some(end) = sink.at.checked_add(len) else { return END_OF_STREAM };
    if sink.bytes.len() < end {
        sink.bytes.resize(end, 0);
    }
    let Some(room) = sink.bytes.get_mut(sink.at..end) else { return END_OF_STREAM };
    room.copy_from_slice(bytes);
    sink.at = end;
    len
}

unsafe extern "C" fn skip_in_sink(by: i64, sink: *mut c_void) -> i64 {
    // SAFETY: as in `write`.
    let sink = unsafe { &mut *sink.cast::<Sink>() };
    let target = i64::try_from(sink.at).ok().and_then(|at| at.checked_add(by));
    let Some(target) = target.and_then(|target| usize::try_from(target).ok()) else { return -1 };
    sink.at = target;
    by
}

unsafe extern "C" fn seek_in_sink(to: i64, sink: *mut c_void) -> sys::OPJ_BOOL {
    // SAFETY: as in `write`.
    let sink = unsafe { &mut *sink.cast::<Sink>() };
    match usize::try_from(to) {
        Ok(to) => {
            sink.at = to;
            1
        }
        Err(_) => 0,
    }
}

/// What OpenJPEG reads as "no more": -1 in its unsigned size type.
const END_OF_STREAM: usize = usize::MAX;

/// Bytes that OpenJPEG buffers between us and it.
const BUFFER: usize = 64 * 1024;
