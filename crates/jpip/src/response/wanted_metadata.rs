//! Which metadata a request is answered with: `metareq` against the boxes of the target [15444-9 C.5.2, Cor.2].
//!
//! A box that matches is wanted with its contents, as far as its limit goes; so are, whole, the bins that lead to it.
//! What is in a bin around it comes along.

use std::collections::{BTreeMap, BTreeSet};

use codestream::jp2::{Area, Subject};

use crate::data_bin::CodestreamId;
use crate::request::Request;
use crate::request::context::CodestreamContext;
use crate::request::metareq::{ContentLimit, MetadataGroup, MetadataRequest, MetadataScope, WantedBoxes};
use crate::target::{BoxInBin, MetadataBins};

/// A metadata-bin that is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct WantedBin {
    /// Its position among the bins of the target.
    pub(super) position: usize,
    /// Bytes of it that are wanted, from its beginning.
    pub(super) bytes: u64,
}

/// The metadata-bins wanted, before the image and after it, each in the order of the target, in which the XML boxes are
/// last. Bin 0 always comes first. `ids` are the codestreams asked for; `by_need` says that `need` chooses.
pub(super) fn wanted_metadata(
    request: &Request,
    metadata: &MetadataBins,
    ids: &[CodestreamId],
    by_need: bool,
) -> (Vec<WantedBin>, Vec<WantedBin>) {
    let mut wanted: BTreeMap<usize, Want> = BTreeMap::from([(0, Want::WHOLE_AND_FIRST)]);
    match &request.metareq {
        Some(asked) => Matching::new(request, asked, metadata, ids).collect(&mut wanted),
        None if by_need => wanted.extend((0..metadata.bins.len()).map(|position| (position, Want::WHOLE_AND_FIRST))),
        None => {}
    }
    let bin = |(position, want): (usize, Want)| (WantedBin { position, bytes: want.bytes }, want.early);
    let (early, late): (Vec<_>, Vec<_>) = wanted.into_iter().map(bin).partition(|(_, early)| *early);
    let strip = |bins: Vec<(WantedBin, bool)>| bins.into_iter().map(|(bin, _)| bin).collect();
    (strip(early), strip(late))
}

/// How much of something is wanted, and whether before the image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Want {
    bytes: u64,
    early: bool,
    /// Whether everything inside is wanted too.
    recursive: bool,
}

impl Want {
    const WHOLE_AND_FIRST: Self = Self { bytes: u64::MAX, early: true, recursive: false };

    fn with(self, other: Self) -> Self {
        Self {
            bytes: self.bytes.max(other.bytes),
            early: self.early || other.early,
            recursive: self.recursive || other.recursive,
        }
    }
}

/// How a subject lies to what is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Relation {
    /// It is the whole target.
    Global,
    /// It is codestreams or layers, some of those asked for.
    Codestreams,
    /// It is regions, some of which meet the window.
    Window,
    /// It is something else.
    Elsewhere,
}

/// One group, its properties by box type, so that a long one costs no more for each box than a short one.
struct Group {
    root: u64,
    max_depth: Option<u64>,
    types: BTreeMap<Option<[u8; 4]>, Vec<(MetadataScope, Want)>>,
}

struct Matching<'a> {
    metadata: &'a MetadataBins,
    groups: Vec<Group>,
    /// By subject.
    relations: Vec<Relation>,
    /// Whether the usual scope leaves nothing out.
    is_unbounded: bool,
    early: bool,
}

impl<'a> Matching<'a> {
    fn new(request: &Request, asked: &MetadataRequest, metadata: &'a MetadataBins, ids: &[CodestreamId]) -> Self {
        let asked_for = AskedFor::new(request, metadata, ids);
        Self {
            metadata,
            groups: asked.groups.iter().map(Group::new).collect(),
            relations: metadata.subjects.iter().map(|subject| asked_for.relation(subject)).collect(),
            // A response of metadata alone, without a window, is about no codestream more than about others;
            // JHelioviewer reads the descriptions of all frames like that.
            // Deviation: whatever codestreams `stream` names beside it.
            is_unbounded: request.fsiz.is_none() && asked.metadata_only,
            early: asked.metadata_only,
        }
    }

    /// Goes through the boxes, parents before their children.
    fn collect(&self, bins: &mut BTreeMap<usize, Want>) {
        let boxes = &self.metadata.boxes;
        let mut of_boxes: Vec<Option<Want>> = Vec::with_capacity(boxes.len());
        for found in boxes {
            let inherited = found.parent.and_then(|parent| of_boxes.get(parent).copied().flatten());
            let mut want = inherited.filter(|want| want.recursive);
            if let Some(matched) = self.matched(found) {
                want = Some(want.map_or(matched, |want| want.with(matched)));
            }
            of_boxes.push(want);
            let Some(want) = want else { continue };
            if let Some(own) = found.own {
                let slot = bins.entry(own).or_insert(want);
                *slot = slot.with(want);
            }
            // What leads there.
            let mut at = Some(found);
            while let Some(inside) = at {
                let path = Want { bytes: u64::MAX, early: want.early, recursive: false };
                let slot = bins.entry(inside.bin).or_insert(path);
                *slot = slot.with(path);
                at = inside.parent.and_then(|parent| boxes.get(parent));
            }
        }
    }

    fn matched(&self, found: &BoxInBin) -> Option<Want> {
        let relation = self.relations.get(found.subject).copied().unwrap_or(Relation::Global);
        let mut want: Option<Want> = None;
        for group in &self.groups {
            let of_type = group.types.get(&Some(found.box_type)).into_iter().flatten();
            let of_any = group.types.get(&None).into_iter().flatten();
            let mut matching = of_type.chain(of_any).filter(|(scope, _)| self.covers(*scope, relation)).peekable();
            if matching.peek().is_none() || !self.is_below(found, group) {
                continue;
            }
            for &(_, matched) in matching {
                let matched = Want { early: matched.early || self.early, ..matched };
                want = Some(want.map_or(matched, |want| want.with(matched)));
            }
        }
        want
    }

    fn covers(&self, scope: MetadataScope, relation: Relation) -> bool {
        if scope.all || (self.is_unbounded && scope == MetadataScope::default()) {
            return true;
        }
        match relation {
            Relation::Global => scope.global,
            Relation::Codestreams => scope.codestreams,
            Relation::Window => scope.window,
            Relation::Elsewhere => false,
        }
    }

    /// Whether a box lies in the group's root bin, or not too deep below it.
    fn is_below(&self, found: &BoxInBin, group: &Group) -> bool {
        let (mut at, mut depth) = (*found, 0);
        loop {
            if group.max_depth.is_some_and(|most| depth > most) {
                return false;
            }
            let parent = at.parent.and_then(|parent| self.metadata.boxes.get(parent));
            let root = match parent {
                None => Some(0),
                Some(parent) => parent.own.and_then(|own| Some(self.metadata.bins.get(own)?.id)),
            };
            if root == Some(group.root) {
                return true;
            }
            let Some(parent) = parent else { return false };
            (at, depth) = (*parent, depth + 1);
        }
    }
}

impl Group {
    fn new(group: &MetadataGroup) -> Self {
        let mut types = BTreeMap::<_, Vec<(MetadataScope, Want)>>::new();
        for boxes in &group.boxes {
            let want = Want::of(boxes);
            let known = types.entry(boxes.box_type).or_default();
            match known.iter_mut().find(|(scope, _)| *scope == boxes.scope) {
                Some((_, slot)) => *slot = slot.with(want),
                None => known.push((boxes.scope, want)),
            }
        }
        Self { root: group.root, max_depth: group.max_depth, types }
    }
}

impl Want {
    fn of(boxes: &WantedBoxes) -> Self {
        let bytes = match boxes.limit {
            Some(ContentLimit::Bytes(most)) => most,
            Some(ContentLimit::Recursive) | None => u64::MAX,
        };
        Self { bytes, early: boxes.priority, recursive: boxes.limit == Some(ContentLimit::Recursive) }
    }
}

/// The codestreams, layers and window of a request, as far as boxes may be about them.
struct AskedFor<'a> {
    codestreams: BTreeSet<u64>,
    layers: Vec<&'a CodestreamContext>,
    metadata: &'a MetadataBins,
    /// The window in samples of the image at full size; `None` if there is none, or the size is unknown.
    window: Option<Area>,
}

impl<'a> AskedFor<'a> {
    fn new(request: &'a Request, metadata: &'a MetadataBins, ids: &[CodestreamId]) -> Self {
        let codestreams = ids.iter().map(|id| id.0).collect();
        let window = metadata.picture.and_then(|picture| window_of(request, picture));
        Self { codestreams, layers: request.context.iter().collect(), metadata, window }
    }

    fn relation(&self, subject: &Subject) -> Relation {
        let is_specific = !subject.codestreams.is_empty() || !subject.layers.is_empty();
        let has_codestream = |number: &u32| self.codestreams.contains(&u64::from(*number));
        let is_chosen = !is_specific
            || subject.codestreams.iter().any(has_codestream)
            || subject.layers.iter().any(|&layer| self.has_layer(layer));
        if !is_chosen {
            return Relation::Elsewhere;
        }
        if subject.regions.is_empty() {
            return if is_specific { Relation::Codestreams } else { Relation::Global };
        }
        let is_met = self.window.is_none_or(|window| subject.regions.iter().any(|region| meet(region, &window)));
        if is_met { Relation::Window } else { Relation::Elsewhere }
    }

    /// Whether a layer is asked for, by itself or by one of its codestreams.
    fn has_layer(&self, layer: u32) -> bool {
        let is_named = |context: &&CodestreamContext| match context {
            CodestreamContext::CompositingLayers { layers, .. } => {
                let steps = u64::from(layer).checked_sub(layers.range.first);
                layers.range.contains(u64::from(layer)) && steps.is_some_and(|n| n.is_multiple_of(layers.factor.max(1)))
            }
            _ => false,
        };
        let of_layer = self.metadata.layers.get(usize::try_from(layer).unwrap_or(usize::MAX));
        self.layers.iter().any(is_named)
            || match of_layer {
                Some(codestreams) => codestreams.iter().any(|number| self.codestreams.contains(&u64::from(*number))),
                None => self.codestreams.contains(&u64::from(layer)),
            }
    }
}

/// The window of a request on an image of this size; `None` without a window.
fn window_of(request: &Request, picture: (u32, u32)) -> Option<Area> {
    let fsiz = request.fsiz?;
    let interval = |first: u32, size: Option<u32>, frame: u32, picture: u32| {
        let (frame, picture) = (u128::from(frame.max(1)), u128::from(picture));
        let end = size.map_or(frame, |size| u128::from(first) + u128::from(size));
        let from = u128::from(first) * picture / frame;
        let to = (end * picture).div_ceil(frame).min(picture);
        let narrow = |n: u128| u32::try_from(n).unwrap_or(u32::MAX);
        (narrow(from), narrow(to.saturating_sub(from)))
    };
    let (roff, rsiz) = (request.roff, request.rsiz);
    let (x, width) = interval(roff.map_or(0, |p| p.x), rsiz.map(|p| p.x), fsiz.width, picture.0);
    let (y, height) = interval(roff.map_or(0, |p| p.y), rsiz.map(|p| p.y), fsiz.height, picture.1);
    Some(Area { x, y, width, height })
}

fn meet(one: &Area, other: &Area) -> bool {
    let meets = |a: u32, a_len: u32, b: u32, b_len: u32| {
        let (a, b) = (u64::from(a), u64::from(b));
        a < b + u64::from(b_len) && b < a + u64::from(a_len)
    };
    meets(one.x, one.width, other.x, other.width) && meets(one.y, one.height, other.y, other.height)
}

#[cfg(test)]
mod tests;
