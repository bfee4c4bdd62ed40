//! `JPIP-…` response headers: what was done otherwise than asked [15444-9 D.2].

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::ResponsePlan;
use super::image::OpenCodestream;
use crate::data_bin::CodestreamId;
use crate::request::Request;
use crate::request::window::{FrameSize, SamplePair};
use crate::selection::range_list;
use crate::target::LogicalTarget;
use crate::view_window::ViewWindow;

/// Value of `JPIP-handled`: the fields that are served, `sendto`, `abandon` and `barrier` on http-udp channels.
pub const HANDLED: &str = "target,tid,cid,cnew=http,http-tcp,http-udp,cclose,qid,fsiz,roff,rsiz,comps,stream,context,\
                           roi,layers,metareq,len,quality,align,wait,type,model,tpmodel,need,tpneed,mset,upload,cap,pref,\
                           handled,sendto,abandon,barrier,dialect=openjpip";

impl ResponsePlan {
    /// The `JPIP-…` headers, in the case in which deployed clients look them up (clients.md 1).
    ///
    /// `JPIP-len` is known only after the first call of [`ResponsePlan::next`]; the others once the
    /// codestreams are open.
    #[must_use]
    pub fn headers(&self) -> Vec<(&'static str, String)> {
        let request = &self.request;
        let mut found = vec![("JPIP-tid", self.target.tid_for(self.stream))];
        if let Some(qid) = request.qid {
            found.push(("JPIP-qid", qid.to_string()));
        }
        if let Some(fsiz) = request.fsiz.filter(|_| !self.placements.is_empty()) {
            // Counted on the composed picture, of which every size can be had.
            let offset = request.roff.unwrap_or(SamplePair { x: 0, y: 0 });
            let rest = SamplePair { x: fsiz.width.saturating_sub(offset.x), y: fsiz.height.saturating_sub(offset.y) };
            let size = request.rsiz.unwrap_or(rest);
            found.push(("JPIP-fsiz", format!("{},{}", fsiz.width, fsiz.height)));
            found.push(("JPIP-roff", format!("{},{}", offset.x, offset.y)));
            found.push(("JPIP-rsiz", format!("{},{}", size.x.min(rest.x), size.y.min(rest.y))));
        } else if let Some(window) = self.first_window() {
            // In every windowed reply, whether they differ or not: a deployed viewer makes an image of size
            // -1 without them (clients.md 5).
            found.push(("JPIP-fsiz", format!("{},{}", window.frame.0, window.frame.1)));
            found.push(("JPIP-roff", format!("{},{}", window.offset.0, window.offset.1)));
            found.push(("JPIP-rsiz", format!("{},{}", window.size.0, window.size.1)));
        }
        if let Some(layers) = self.layers_served() {
            found.push(("JPIP-layers", layers.to_string()));
        }
        if let Some(streams) = self.other_streams() {
            found.push(("JPIP-stream", streams));
        }
        if let Some(context) = &self.context {
            found.push(("JPIP-context", context.clone()));
        }
        if let Some(name) = &request.roi {
            found.push(("JPIP-roi", self.region_served(name)));
        }
        if let Some(kept) = other_model_set(request, &self.target, &self.ids) {
            found.push(("JPIP-mset", kept));
        }
        if let Some(quality) = self.served_quality() {
            found.push(("JPIP-quality", quality.to_string()));
        }
        if self.is_len_too_small {
            found.push(("JPIP-len", USABLE_LEN.to_string()));
        }
        if request.handled {
            found.push(("JPIP-handled", HANDLED.to_owned()));
        }
        found
    }

    /// The `Content-Type` of the reply.
    #[must_use]
    pub const fn content_type(&self) -> &'static str {
        self.stream.content_type()
    }

    fn first_window(&self) -> Option<&ViewWindow> {
        self.open.iter().find_map(|open| open.window.as_ref()).filter(|_| self.request.fsiz.is_some())
    }

    /// The named region and the window that stands for it, or that there is no region of this name.
    fn region_served(&self, name: &str) -> String {
        let Some(FrameSize { width, height, .. }) = self.request.fsiz.filter(|_| self.has_region) else {
            return "roi=no-roi".to_owned();
        };
        let pair = |pair: Option<SamplePair>| pair.map_or((0, 0), |pair| (pair.x, pair.y));
        let (mut frame, mut offset, mut size) = ((width, height), pair(self.request.roff), pair(self.request.rsiz));
        if let Some(window) = self.first_window() {
            (frame, offset, size) = (window.frame, window.offset, window.size);
        }
        // A name may hold anything; in a header it must not.
        let name = utf8_percent_encode(name, OUTSIDE_NAMES);
        let ((fx, fy), (ox, oy), (sx, sy)) = (frame, offset, size);
        format!("roi={name};fsiz={fx},{fy};roff={ox},{oy};rsiz={sx},{sy}")
    }

    /// The number of layers that are served, if more were asked for; in aligned responses always [15444-9 D.2.11].
    fn layers_served(&self) -> Option<u32> {
        let available = self.open.iter().map(|open| open.codestream.header().coding().layers).max()?;
        let asked = self.request.layers.unwrap_or(u32::MAX);
        let served = asked.min(u32::from(available));
        (self.request.align || (self.request.layers.is_some() && asked > served)).then_some(served)
    }

    /// The quality that is served, if `quality` asks for one: the least of the codestreams.
    fn served_quality(&self) -> Option<u8> {
        let of = |open: &OpenCodestream| self.layer_limits.served_quality(open.codestream.header().coding().layers);
        self.open.iter().filter_map(of).min()
    }

    /// The codestreams served, if they are not those asked for.
    fn other_streams(&self) -> Option<String> {
        let mut asked = 0u64;
        for sampled in &self.request.stream {
            // A range without end asks for whatever there is.
            if let Some(last) = sampled.range.last {
                let steps = last.saturating_sub(sampled.range.first) / sampled.factor.max(1);
                asked = asked.saturating_add(steps).saturating_add(1);
            }
        }
        let is_closed = self.request.stream.iter().all(|sampled| sampled.range.last.is_some());
        let differs = self.is_cut
            || self.open.len() < self.opened_or_refused
            || (is_closed
                && !self.request.stream.is_empty()
                && self.context.is_none()
                && asked != self.ids.len() as u64);
        let served: Vec<CodestreamId> =
            if self.opened_or_refused > 0 { self.open.iter().map(|open| open.id).collect() } else { self.ids.clone() };
        if differs { range_list(&served, ',') } else { None }
    }
}

/// What the cache model really keeps, if `mset` asked for less than is served [15444-9 C.8.4].
fn other_model_set(request: &Request, target: &LogicalTarget, served: &[CodestreamId]) -> Option<String> {
    if request.mset.is_empty() {
        return None;
    }
    let mut kept = target.codestreams.expand(&request.mset, served.len().saturating_add(MAX_MODEL_SET));
    let asked = kept.len();
    kept.extend(served.iter().filter(|id| !kept.contains(id)).copied().collect::<Vec<_>>());
    if kept.len() == asked {
        return None;
    }
    kept.sort_unstable();
    range_list(&kept, ',')
}

/// What is written in hexadecimal in the name of a region.
const OUTSIDE_NAMES: &AsciiSet = &NON_ALPHANUMERIC.remove(b'_').remove(b'-').remove(b'.');

/// A `len` with which something can always be sent, in bytes.
const USABLE_LEN: u64 = 64;

/// Codestreams of `mset` that are looked at.
pub(super) const MAX_MODEL_SET: usize = 4096;
