//! What a file tells besides its codestreams: its metadata boxes, what each is about, and its compositing layers.
//!
//! An association box (`asoc`) says by its first child what the others are about: codestreams and compositing layers
//! (`nlst`), regions (`roid`), or a label (`lbl `); one inside another narrows it down [15444-2 M.11.11 to M.11.16].
//! Whatever is in a codestream header (`jpch`) or compositing layer header (`jplh`) box is about that codestream or
//! layer. A box that cannot be read is a leaf: nothing here makes a file unservable.

use crate::boxes::{BoxBudget, BoxHeader, BoxReader, read_contents};
use crate::error::ParseError;
use crate::extent::Extent;
use crate::jp2::Jp2File;
use crate::jp2::composition::{self, Composition};
use crate::jp2::layers::{self, Layer};
use crate::limits::Limits;
use crate::reader::ByteSource;

/// The boxes of a file but for what is inside codestream and index boxes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MetadataTree {
    /// The boxes, parents before their children, siblings in file order.
    pub boxes: Vec<MetadataBox>,
    /// What boxes are about; the first is the whole target.
    pub subjects: Vec<Subject>,
    /// Compositing layers in order; none in a file without layer headers, where each codestream is a layer.
    pub layers: Vec<Layer>,
    /// How layers are put together into one picture, if the file says so.
    pub composition: Option<Composition>,
    /// Regions that a label names, in file order.
    pub labelled: Vec<(String, Area)>,
}

/// One box.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MetadataBox {
    /// Header and place.
    pub header: BoxHeader,
    /// Position of the superbox that it lies in.
    pub parent: Option<usize>,
    /// What it is about, a position in [`MetadataTree::subjects`].
    pub subject: usize,
}

/// What a box is about; nothing in it means the whole target.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Subject {
    /// Codestreams, by number.
    pub codestreams: Vec<u32>,
    /// Compositing layers, by number.
    pub layers: Vec<u32>,
    /// Regions of the image.
    pub regions: Vec<Area>,
}

/// A rectangle in samples of the image at full size, from its upper left corner.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Area {
    /// First column.
    pub x: u32,
    /// First row.
    pub y: u32,
    /// Columns.
    pub width: u32,
    /// Rows.
    pub height: u32,
}

impl MetadataTree {
    /// Reads the boxes below those of `file`, which was parsed from `source`.
    ///
    /// # Errors
    ///
    /// - [`ParseError::Source`] if reading fails.
    pub fn read(source: &dyn ByteSource, file: &Jp2File, limits: &Limits) -> Result<Self, ParseError> {
        let budget = BoxBudget::new(limits);
        let subjects = vec![Subject::default()];
        let tree = Self { boxes: Vec::new(), subjects, layers: Vec::new(), composition: None, labelled: Vec::new() };
        let mut reading = Reading { source, budget: &budget, entries_left: MAX_ENTRIES, tree };
        let mut codestream_headers = 0;
        for top in &file.boxes {
            let header = top.header;
            let mut subject = 0;
            if &header.box_type == b"jpch" {
                let about = Subject { codestreams: vec![codestream_headers], ..Subject::default() };
                subject = reading.subject(about);
                codestream_headers += 1;
            } else if &header.box_type == b"jplh" {
                let number = u32::try_from(reading.tree.layers.len()).unwrap_or(u32::MAX);
                subject = reading.subject(Subject { layers: vec![number], ..Subject::default() });
                let layer = tolerate(layers::read(source, &budget, header.contents, number))?;
                reading.tree.layers.push(layer.unwrap_or_else(|| Layer::of_codestream(number)));
            } else if &header.box_type == b"comp" && reading.tree.composition.is_none() {
                reading.tree.composition = tolerate(composition::read(source, &budget, header.contents))?;
            }
            reading.add(header, subject)?;
        }
        Ok(reading.tree)
    }
}

struct Reading<'a> {
    source: &'a dyn ByteSource,
    budget: &'a BoxBudget,
    /// Numbers and regions that subjects may still hold: they are repeated from superbox to superbox.
    entries_left: usize,
    tree: MetadataTree,
}

impl Reading<'_> {
    /// Adds a top-level box and all that is inside it.
    fn add(&mut self, header: BoxHeader, subject: usize) -> Result<(), ParseError> {
        // Runs of siblings that are still to be added instead of recursion: depth is the sender's choice.
        let mut runs = vec![(None, subject, vec![header].into_iter())];
        while let Some((parent, subject, run)) = runs.last_mut() {
            let (parent, mut subject) = (*parent, *subject);
            let Some(header) = run.next() else {
                runs.pop();
                continue;
            };
            let mut children = Vec::new();
            if matches!(&header.box_type, b"asoc" | b"jpch" | b"jplh") {
                let depth = u16::try_from(runs.len()).unwrap_or(u16::MAX);
                children = self.children(&header, depth)?;
            }
            if &header.box_type == b"asoc" {
                subject = self.narrowed(subject, &children)?;
            }
            self.tree.boxes.push(MetadataBox { header, parent, subject });
            if !children.is_empty() {
                runs.push((Some(self.tree.boxes.len() - 1), subject, children.into_iter()));
            }
        }
        Ok(())
    }

    /// The children of a superbox; none if they cannot all be read.
    fn children(&self, parent: &BoxHeader, depth: u16) -> Result<Vec<BoxHeader>, ParseError> {
        let reader = BoxReader::children(self.source, self.budget, parent.contents, depth);
        let read = reader.and_then(|reader| reader.collect::<Result<Vec<BoxHeader>, ParseError>>());
        Ok(tolerate(read)?.unwrap_or_default())
    }

    /// What the boxes of an association box are about, whose superbox is about `outer`.
    fn narrowed(&mut self, outer: usize, children: &[BoxHeader]) -> Result<usize, ParseError> {
        let Some(first) = children.first() else { return Ok(outer) };
        let mut about = self.tree.subjects.get(outer).cloned().unwrap_or_default();
        match &first.box_type {
            b"nlst" => {
                let contents = self.contents(first.contents)?;
                let (numbers, _) = contents.as_chunks::<4>();
                for &[kind, high, middle, low] in numbers {
                    let number = u32::from_be_bytes([0, high, middle, low]);
                    match kind {
                        1 => about.codestreams.push(number),
                        2 => about.layers.push(number),
                        // The rendered result, or what a later edition adds: nothing in particular.
                        _ => {}
                    }
                }
            }
            b"roid" | b"lbl " => {
                let label = children.iter().find(|child| &child.box_type == b"lbl ");
                let regions = match children.iter().find(|child| &child.box_type == b"roid") {
                    Some(regions) => regions_of(&self.contents(regions.contents)?),
                    None => Vec::new(),
                };
                if let (Some(label), Some(region)) = (label, regions.first())
                    && let Ok(name) = String::from_utf8(self.contents(label.contents)?)
                {
                    self.tree.labelled.push((name, *region));
                }
                about.regions.extend(regions);
            }
            _ => return Ok(outer),
        }
        Ok(self.subject(about))
    }

    /// Position of a subject; that of the whole target once there are too many.
    fn subject(&mut self, about: Subject) -> usize {
        let entries = about.codestreams.len() + about.layers.len() + about.regions.len();
        let Some(left) = self.entries_left.checked_sub(entries) else { return 0 };
        self.entries_left = left;
        self.tree.subjects.push(about);
        self.tree.subjects.len() - 1
    }

    /// The contents of a small box; nothing of a longer one.
    fn contents(&self, contents: Extent) -> Result<Vec<u8>, ParseError> {
        Ok(tolerate(read_contents(self.source, contents, MAX_SMALL))?.unwrap_or_default())
    }
}

/// The regions of an ROI description box [15444-2 M.11.16].
fn regions_of(contents: &[u8]) -> Vec<Area> {
    let Some((&count, rest)) = contents.split_first() else { return Vec::new() };
    // Rstatic, Rtyp, Rcp, then four numbers.
    let (entries, _) = rest.as_chunks::<19>();
    let area = |entry: &[u8; 19]| {
        let (&[_, kind, _], numbers) = entry.split_first_chunk::<3>()?;
        let [x, y, width, height] = *numbers.as_chunks::<4>().0 else { return None };
        let [x, y, width, height] = [x, y, width, height].map(u32::from_be_bytes);
        // An ellipse has its centre and half its size in these places.
        Some(if kind == 1 {
            let (wide, high) = (width.saturating_mul(2), height.saturating_mul(2));
            Area { x: x.saturating_sub(width), y: y.saturating_sub(height), width: wide, height: high }
        } else {
            Area { x, y, width, height }
        })
    };
    entries.iter().take(usize::from(count)).filter_map(area).collect()
}

/// What cannot be read is absent; only a failing medium ends everything.
fn tolerate<T>(read: Result<T, ParseError>) -> Result<Option<T>, ParseError> {
    match read {
        Err(error @ ParseError::Source(_)) => Err(error),
        other => Ok(other.ok()),
    }
}

/// Bytes of number lists, region descriptions and labels that are read.
const MAX_SMALL: u64 = 64 << 10;

/// Entries of all subjects of a file together.
const MAX_ENTRIES: usize = 1 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    fn boxed(box_type: &[u8; 4], contents: &[u8]) -> Vec<u8> {
        [&(contents.len() as u32 + 8).to_be_bytes()[..], box_type, contents].concat()
    }

    fn read(boxes: &[Vec<u8>]) -> MetadataTree {
        let signature = boxed(b"jP  ", &[0x0D, 0x0A, 0x87, 0x0A]);
        let file = [signature, boxes.concat(), boxed(b"jp2c", b"codestream")].concat();
        let parsed = Jp2File::parse(&file, &Limits::default()).unwrap();
        MetadataTree::read(&file, &parsed, &Limits::default()).unwrap()
    }

    fn about(tree: &MetadataTree, box_type: &[u8; 4]) -> Vec<Subject> {
        let named = tree.boxes.iter().filter(|found| &found.header.box_type == box_type);
        named.map(|found| tree.subjects[found.subject].clone()).collect()
    }

    fn roid(kind: u8, numbers: [u32; 4]) -> Vec<u8> {
        let mut contents = vec![1, 1, kind, 0];
        numbers.iter().for_each(|number| contents.extend(number.to_be_bytes()));
        boxed(b"roid", &contents)
    }

    #[test]
    fn m_11_associations_say_what_boxes_are_about() {
        let inner = [roid(0, [10, 20, 30, 40]), boxed(b"lbl ", b"lesion"), boxed(b"xml ", b"<a/>")].concat();
        let list = boxed(b"nlst", &[1, 0, 0, 3, 2, 0, 0, 1, 0, 0, 0, 0]);
        let tree = read(&[
            boxed(b"xml ", b"<b/>"),
            boxed(b"asoc", &[list, boxed(b"xml ", b"<c/>"), boxed(b"asoc", &inner)].concat()),
            boxed(b"asoc", &[boxed(b"lbl ", b"plain"), boxed(b"xml ", b"<d/>")].concat()),
        ]);
        let types: Vec<_> = tree.boxes.iter().map(|found| (found.parent, found.header.box_type)).collect();
        assert_eq!(types[1], (None, *b"xml "));
        assert_eq!(types[2..5], [(None, *b"asoc"), (Some(2), *b"nlst"), (Some(2), *b"xml ")]);
        assert_eq!(types[5..9].iter().map(|found| found.0).collect::<Vec<_>>(), [Some(2), Some(5), Some(5), Some(5)]);
        let area = Area { x: 10, y: 20, width: 30, height: 40 };
        let listed = Subject { codestreams: vec![3], layers: vec![1], regions: Vec::new() };
        let narrow = Subject { regions: vec![area], ..listed.clone() };
        assert_eq!(about(&tree, b"xml "), [Subject::default(), listed, narrow, Subject::default()]);
        assert_eq!(tree.labelled, [("lesion".to_owned(), area)]);
        assert_eq!(
            about(&read(&[boxed(b"asoc", &roid(1, [10, 20, 3, 4]))]), b"roid")[0].regions,
            [Area { x: 7, y: 16, width: 6, height: 8 }]
        );
    }

    #[test]
    fn m_11_7_layers_name_their_codestreams() {
        let registered = boxed(b"creg", &[0, 1, 0, 1, 0, 2, 1, 1, 0, 0, 0, 0, 1, 1, 0, 0]);
        let tree = read(&[boxed(b"jplh", b""), boxed(b"jplh", &registered), boxed(b"jpch", &boxed(b"lbl ", b"x"))]);
        let codestreams: Vec<_> = tree.layers.iter().map(|layer| layer.codestreams.clone()).collect();
        assert_eq!(codestreams, [vec![0], vec![2, 0]]);
        assert_eq!(about(&tree, b"creg")[0].layers, [1]);
        assert_eq!(about(&tree, b"lbl ")[0].codestreams, [0]);
    }

    #[test]
    fn what_cannot_be_read_is_a_leaf() {
        let broken = boxed(b"asoc", b"\0\0\0\x07nlst");
        let tree = read(&[broken, boxed(b"asoc", b""), boxed(b"jplh", b"\0\0\0\x09creg")]);
        assert_eq!(tree.boxes.len(), 5);
        assert_eq!(tree.layers, [Layer::of_codestream(0)]);
        let mut deep = boxed(b"xml ", b"");
        for _ in 0..40 {
            deep = boxed(b"asoc", &deep);
        }
        assert!(read(&[deep]).boxes.len() < 20);
    }

    #[test]
    fn subjects_are_limited() {
        let list = boxed(b"nlst", &[1; 64 << 10]);
        let many = boxed(b"asoc", &list).repeat(100);
        let tree = read(&[many]);
        let held: usize = tree.subjects.iter().map(|subject| subject.codestreams.len()).sum();
        assert_eq!(held, MAX_ENTRIES);
        assert_eq!(tree.boxes.len(), 202);
    }
}
