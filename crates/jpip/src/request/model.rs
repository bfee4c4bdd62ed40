//! `model`, `need`, `tpmodel` and `tpneed`: cache descriptors [15444-9 C.8].
//!
//! A descriptor list may hold a million items. It is checked once when the request is parsed and read again,
//! item by item, when it is applied; nothing is expanded in between.

use super::error::RequestError;
use super::range::UintRange;
use super::scan::Scanner;

/// A checked list of cache descriptors, kept as text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CacheDescriptors {
    text: Vec<u8>,
}

/// One cache descriptor with the codestream qualifier in force.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CacheDescriptor<'a> {
    /// The codestreams meant; `None` means those of the request.
    pub codestreams: Option<CodestreamQualifier<'a>>,
    /// Whether the client says that it does *not* have this.
    pub subtractive: bool,
    /// The data-bins meant.
    pub bins: BinSelector,
    /// How much of each.
    pub amount: Amount,
}

/// The bracketed codestream ranges of a descriptor list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CodestreamQualifier<'a> {
    text: &'a [u8],
}

/// A closed range of in-class identifiers or positions; a wildcard is `0..=u64::MAX`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IdRange {
    /// First.
    pub first: u64,
    /// Last, included.
    pub last: u64,
}

/// Which data-bins a descriptor speaks of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BinSelector {
    /// `Hm`.
    MainHeader,
    /// `H3`, `H*`.
    TileHeaders(IdRange),
    /// `T3`, `T*`.
    Tiles(IdRange),
    /// `P67`, `P*`.
    Precincts(IdRange),
    /// `M0`, `M*`.
    Metadata(IdRange),
    /// `t0-3c*r0-2p*`.
    Implicit(ImplicitPrecincts),
}

/// Precincts named by tile, component, resolution level (0 = lowest) and raster position within the level.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ImplicitPrecincts {
    /// Tiles.
    pub tiles: IdRange,
    /// Components.
    pub components: IdRange,
    /// Resolution levels.
    pub resolutions: IdRange,
    /// Positions within the resolution level.
    pub positions: IdRange,
}

/// How much of a data-bin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Amount {
    /// All of it.
    Complete,
    /// Its first bytes.
    Bytes(u64),
    /// Its first quality layers; precincts only.
    Layers(u32),
    /// These tile-parts, from 0, both ends included; tiles only, by `tpmodel`.
    TileParts {
        /// First.
        first: u32,
        /// Last.
        last: u32,
    },
}

impl IdRange {
    /// Everything.
    pub const ALL: Self = Self { first: 0, last: u64::MAX };

    /// Whether `id` lies in the range.
    #[must_use]
    pub const fn contains(&self, id: u64) -> bool {
        self.first <= id && id <= self.last
    }

    fn scan(scanner: &mut Scanner<'_>) -> Option<Self> {
        if scanner.eat(b'*') {
            return Some(Self::ALL);
        }
        let range = UintRange::scan(scanner)?;
        Some(Self { first: range.first, last: range.last.unwrap_or(u64::MAX) })
    }
}

impl<'a> CodestreamQualifier<'a> {
    /// The ranges, in the order given. They are separated by semicolons; commas are taken too.
    pub fn ranges(&self) -> impl Iterator<Item = UintRange> + use<'a> {
        let text = self.text;
        text.split(|byte| b";,".contains(byte)).filter_map(|range| UintRange::scan(&mut Scanner::new(range)))
    }

    /// Whether both are the same bytes of one request; two that merely read alike are not.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        std::ptr::eq(self.text, other.text)
    }

    fn check(text: &'a [u8]) -> Option<Self> {
        let valid = |range: &[u8]| {
            let mut scanner = Scanner::new(range);
            UintRange::scan(&mut scanner).is_some() && scanner.is_empty()
        };
        text.split(|byte| b";,".contains(byte)).all(valid).then_some(Self { text })
    }
}

impl CacheDescriptors {
    pub(crate) fn parse(
        field: &'static str,
        value: &[u8],
        limit: usize,
        subtractive_allowed: bool,
    ) -> Result<Self, RequestError> {
        let mut count = 0usize;
        for item in Reader::new(value) {
            let item = item.ok_or(RequestError::malformed(field, "not a list of cache descriptors"))?;
            if item.subtractive && !subtractive_allowed {
                return Err(RequestError::malformed(field, "a subtractive descriptor"));
            }
            count += 1;
            if count > limit {
                return Err(RequestError::LimitExceeded { field, limit });
            }
        }
        Ok(Self { text: value.to_vec() })
    }

    /// The descriptors in the order in which they apply.
    pub fn iter(&self) -> impl Iterator<Item = CacheDescriptor<'_>> {
        Reader::new(&self.text).flatten()
    }
}

/// Reads descriptors one by one; an item that breaks the grammar comes as `None` and ends the list.
struct Reader<'a> {
    scanner: Scanner<'a>,
    qualifier: Option<CodestreamQualifier<'a>>,
}

impl<'a> Reader<'a> {
    const fn new(text: &'a [u8]) -> Self {
        Self { scanner: Scanner::new(text), qualifier: None }
    }

    fn item(&mut self) -> Option<CacheDescriptor<'a>> {
        let scanner = &mut self.scanner;
        let subtractive = scanner.eat(b'-');
        let bins = selector(scanner)?;
        let amount = if scanner.eat(b':') { amount(scanner, &bins)? } else { Amount::Complete };
        if !scanner.is_empty() && scanner.peek() != Some(b',') {
            return None;
        }
        Some(CacheDescriptor { codestreams: self.qualifier, subtractive, bins, amount })
    }
}

impl<'a> Iterator for Reader<'a> {
    type Item = Option<CacheDescriptor<'a>>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            while self.scanner.eat(b',') {}
            if self.scanner.is_empty() {
                return None;
            }
            if self.scanner.eat(b'[') {
                let qualifier = self.scanner.until(b']').and_then(CodestreamQualifier::check);
                if qualifier.is_none() {
                    self.scanner = Scanner::new(&[]);
                    return Some(None);
                }
                self.qualifier = qualifier;
                continue;
            }
            let item = self.item();
            if item.is_none() {
                self.scanner = Scanner::new(&[]);
            }
            return Some(item);
        }
    }
}

fn selector(scanner: &mut Scanner<'_>) -> Option<BinSelector> {
    match scanner.peek()? {
        b'H' => {
            scanner.eat(b'H');
            if scanner.eat(b'm') {
                return Some(BinSelector::MainHeader);
            }
            // Deviation: OpenHTJ2K writes tile headers `Ht3` and once wrote precincts `Hp7`.
            if scanner.eat(b'p') {
                return Some(BinSelector::Precincts(IdRange::scan(scanner)?));
            }
            scanner.eat(b't');
            Some(BinSelector::TileHeaders(IdRange::scan(scanner)?))
        }
        b'T' => {
            scanner.eat(b'T');
            Some(BinSelector::Tiles(IdRange::scan(scanner)?))
        }
        b'P' => {
            scanner.eat(b'P');
            Some(BinSelector::Precincts(IdRange::scan(scanner)?))
        }
        b'M' => {
            scanner.eat(b'M');
            Some(BinSelector::Metadata(IdRange::scan(scanner)?))
        }
        _ => implicit(scanner),
    }
}

fn implicit(scanner: &mut Scanner<'_>) -> Option<BinSelector> {
    let (mut tiles, mut components, mut resolutions, mut positions) = (None, None, None, None);
    loop {
        let part = match scanner.peek() {
            Some(b't') => &mut tiles,
            Some(b'c') => &mut components,
            Some(b'r') => &mut resolutions,
            Some(b'p') => &mut positions,
            _ => break,
        };
        scanner.byte();
        let range = IdRange::scan(scanner)?;
        if part.replace(range).is_some() {
            return None;
        }
    }
    if [tiles, components, resolutions, positions].iter().all(Option::is_none) {
        return None;
    }
    let or_all = |part: Option<IdRange>| part.unwrap_or(IdRange::ALL);
    Some(BinSelector::Implicit(ImplicitPrecincts {
        tiles: or_all(tiles),
        components: or_all(components),
        resolutions: or_all(resolutions),
        positions: or_all(positions),
    }))
}

fn amount(scanner: &mut Scanner<'_>, bins: &BinSelector) -> Option<Amount> {
    if scanner.eat(b'*') {
        return Some(Amount::Complete);
    }
    if !scanner.eat(b'L') {
        return scanner.uint().map(Amount::Bytes);
    }
    if !matches!(bins, BinSelector::Precincts(_) | BinSelector::Implicit(_)) {
        return None;
    }
    if scanner.eat(b'*') {
        return Some(Amount::Complete);
    }
    scanner.uint().map(|layers| Amount::Layers(u32::try_from(layers).unwrap_or(u32::MAX)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<CacheDescriptors, RequestError> {
        CacheDescriptors::parse("model", text.as_bytes(), 1_000_000, true)
    }

    fn single(id: u64) -> IdRange {
        IdRange { first: id, last: id }
    }

    #[test]
    fn c_8_1_the_example_of_the_digest() {
        let model = parse("[0-2],Hm,H*,M0,[1],P0:20,t0c0-2r0-1:L2,-P67").unwrap();
        let items: Vec<_> = model.iter().collect();
        assert_eq!(items.len(), 6);
        let ranges = |n: usize| items[n].codestreams.unwrap().ranges().collect::<Vec<_>>();
        assert_eq!(ranges(0), [UintRange { first: 0, last: Some(2) }]);
        assert_eq!(ranges(3), [UintRange::single(1)]);
        assert_eq!(items[0].bins, BinSelector::MainHeader);
        assert_eq!(items[1].bins, BinSelector::TileHeaders(IdRange::ALL));
        assert_eq!((items[3].bins, items[3].amount), (BinSelector::Precincts(single(0)), Amount::Bytes(20)));
        assert_eq!(items[4].amount, Amount::Layers(2));
        let BinSelector::Implicit(implicit) = items[4].bins else { panic!() };
        assert_eq!(implicit.resolutions, IdRange { first: 0, last: 1 });
        assert_eq!(implicit.positions, IdRange::ALL);
        assert!(items[5].subtractive);
    }

    #[test]
    fn descriptors_of_deployed_clients_are_taken() {
        let model = parse("Hm,Ht*,Ht0-5,M0,P3-9,P7:*,Hp4,P1:L*,").unwrap();
        let bins: Vec<_> = model.iter().map(|item| item.bins).collect();
        assert_eq!(bins[1], BinSelector::TileHeaders(IdRange::ALL));
        assert_eq!(bins[2], BinSelector::TileHeaders(IdRange { first: 0, last: 5 }));
        assert_eq!(bins[4], BinSelector::Precincts(IdRange { first: 3, last: 9 }));
        assert!(parse("").unwrap().iter().next().is_none());
        assert!(parse("[0;2-4;7-]Hm").is_ok());
    }

    #[test]
    fn malformed_descriptors_are_refused() {
        for bad in ["x", "P", "P1:", "[0", "[a]Hm", "H1:L2", "t0t1", "P1 ", "P1;P2", "--P1", "P5-3", "Hm:L1"] {
            assert!(parse(bad).is_err(), "{bad}");
        }
        assert!(CacheDescriptors::parse("need", b"-P1", 10, false).is_err());
    }

    #[test]
    fn e11_the_number_of_descriptors_is_limited() {
        let many = vec!["P1"; 1_000_001].join(",");
        assert!(matches!(parse(&many), Err(RequestError::LimitExceeded { .. })));
        assert!(parse(&many[3..]).is_ok());
    }
}
