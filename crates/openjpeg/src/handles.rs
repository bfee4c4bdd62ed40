//! Owners of OpenJPEG's objects: each is destroyed once, whatever way a function is left.
#![expect(unsafe_code, reason = "handles of a foreign library")]

use openjpeg_sys as sys;

use crate::error::Error;
use crate::messages::{Messages, keep_error, keep_warning};

/// A decoder or encoder whose messages go into a [`Messages`] that outlives it.
pub(crate) struct Codec<'a> {
    raw: *mut sys::opj_codec_t,
    messages: &'a Messages,
}

impl<'a> Codec<'a> {
    pub(crate) fn decoder(format: sys::CODEC_FORMAT, messages: &'a Messages) -> Result<Self, Error> {
        // SAFETY: returns a codec or null, which `owning` checks.
        Self::owning(unsafe { sys::opj_create_decompress(format) }, messages)
    }

    pub(crate) fn encoder(messages: &'a Messages) -> Result<Self, Error> {
        // SAFETY: as in `decoder`.
        Self::owning(unsafe { sys::opj_create_compress(sys::CODEC_FORMAT::OPJ_CODEC_J2K) }, messages)
    }

    fn owning(raw: *mut sys::opj_codec_t, messages: &'a Messages) -> Result<Self, Error> {
        if raw.is_null() {
            return Err(Error::Refused { action: "make a codec", messages: "out of memory".to_owned() });
        }
        let codec = Self { raw, messages };
        // SAFETY: the codec is live, and `messages` is borrowed as long as it is.
        unsafe {
            sys::opj_set_error_handler(raw, Some(keep_error), messages.client_data());
            sys::opj_set_warning_handler(raw, Some(keep_warning), messages.client_data());
        }
        Ok(codec)
    }

    pub(crate) const fn raw(&self) -> *mut sys::opj_codec_t {
        self.raw
    }

    /// Turns OpenJPEG's success flag into a result that carries its messages.
    pub(crate) fn check(&self, succeeded: sys::OPJ_BOOL, action: &'static str) -> Result<(), Error> {
        if succeeded == 0 {
            return Err(Error::Refused { action, messages: self.messages.errors() });
        }
        Ok(())
    }
}

impl Drop for Codec<'_> {
    fn drop(&mut self) {
        // SAFETY: made in a constructor, destroyed only here.
        unsafe { sys::opj_destroy_codec(self.raw) };
    }
}

/// An image that OpenJPEG allocated.
pub(crate) struct RawImage {
    raw: *mut sys::opj_image_t,
}

impl RawImage {
    /// # Safety
    ///
    /// `raw` is null or an image made by OpenJPEG that nobody else destroys.
    pub(crate) unsafe fn owning(raw: *mut sys::opj_image_t) -> Option<Self> {
        if raw.is_null() { None } else { Some(Self { raw }) }
    }

    pub(crate) const fn raw(&self) -> *mut sys::opj_image_t {
        self.raw
    }

    /// The image's own fields.
    pub(crate) const fn fields(&self) -> &sys::opj_image_t {
        // SAFETY: not null, live until `self` is dropped, and initialised by OpenJPEG; it writes only while
        // a call is running, when no such reference is held.
        unsafe { &*self.raw }
    }

    pub(crate) fn fields_mut(&mut self) -> &mut sys::opj_image_t {
        // SAFETY: as in `fields`, and `self` is borrowed mutably.
        unsafe { &mut *self.raw }
    }

    /// The descriptions of the components.
    pub(crate) const fn components(&self) -> &[sys::opj_image_comp_t] {
        let fields = self.fields();
        if fields.comps.is_null() {
            return &[];
        }
        // SAFETY: OpenJPEG allocates `numcomps` components and initialises them.
        unsafe { std::slice::from_raw_parts(fields.comps, fields.numcomps as usize) }
    }

    /// The samples of a component, `None` when OpenJPEG has none.
    pub(crate) fn samples(&self, component: &sys::opj_image_comp_t) -> Option<&[i32]> {
        if component.data.is_null() {
            return None;
        }
        let len = (component.w as usize).checked_mul(component.h as usize)?;
        // SAFETY: a component that has data has `w * h` samples of them, allocated with the image.
        Some(unsafe { std::slice::from_raw_parts(component.data, len) })
    }

    /// Fills the samples of component `index`; `false` when their number is not the component's.
    pub(crate) fn fill(&mut self, index: usize, samples: &[i32]) -> bool {
        let Some(component) = self.components().get(index) else { return false };
        let len = (component.w as usize).checked_mul(component.h as usize);
        if component.data.is_null() || len != Some(samples.len()) {
            return false;
        }
        // SAFETY: `data` has room for `w * h` samples, and Rust memory does not overlap OpenJPEG's.
        unsafe { std::ptr::copy_nonoverlapping(samples.as_ptr(), component.data, samples.len()) };
        true
    }
}

impl Drop for RawImage {
    fn drop(&mut self) {
        // SAFETY: owned since `owning`, destroyed only here.
        unsafe { sys::opj_image_destroy(self.raw) };
    }
}
