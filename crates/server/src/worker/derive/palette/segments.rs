//! Palette tables in segments [PS3.3 C.7.9.2].

/// The table of so many entries that the segments stand for; `None` if they are none, or make another number of entries.
pub(super) fn expand(words: &[i32], entries: usize) -> Option<Vec<i32>> {
    let mut table = Vec::new();
    read(words, None, entries, &mut table, true)?;
    (table.len() == entries).then_some(table)
}

/// Reads so many segments, or all; those that others point to may not point on.
fn read(words: &[i32], most: Option<usize>, entries: usize, table: &mut Vec<i32>, may_point: bool) -> Option<()> {
    let mut rest = words;
    let mut count = 0;
    while most.is_none_or(|most| count < most)
        && let [kind, len, after @ ..] = rest
    {
        let len = usize::try_from(*len).ok()?;
        if table.len().checked_add(len)? > entries && *kind != INDIRECT {
            return None;
        }
        rest = match *kind {
            DISCRETE => {
                table.extend(after.get(..len)?);
                after.get(len..)?
            }
            LINEAR => {
                let (from, (&to, after)) = (*table.last()?, after.split_first()?);
                table.extend((1..=len).map(|step| between(from, to, step, len)));
                after
            }
            INDIRECT if may_point => {
                let [low, high, after @ ..] = after else { return None };
                // In bytes in the standard's words, in entries in what is written: readers take the latter.
                let at = usize::try_from(i64::from(*high) << 16 | i64::from(*low)).ok()?;
                read(words.get(at..)?, Some(len), entries, table, false)?;
                after
            }
            _ => return None,
        };
        count += 1;
    }
    Some(())
}

/// The entry so many of `len` steps on the way, rounded to the nearest, from half to the even one.
fn between(from: i32, to: i32, step: usize, len: usize) -> i32 {
    let (step, len) = (step as i64, (len as i64).max(1));
    let way = i64::from(to - from) * step;
    let (whole, part) = (way.div_euclid(len), way.rem_euclid(len));
    let low = i64::from(from) + whole;
    let is_up = 2 * part > len || (2 * part == len && low % 2 != 0);
    i32::try_from(low + i64::from(is_up)).unwrap_or(to)
}

const DISCRETE: i32 = 0;
const LINEAR: i32 = 1;
const INDIRECT: i32 = 2;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn segments_are_put_together() {
        let words = [0, 2, 10, 20, 1, 3, 23, 1, 2, 24, 2, 1, 4, 0];
        // From 24 the three steps of the second segment lead to 23 again.
        let table = [10, 20, 21, 22, 23, 24, 24, 24, 23, 23];
        assert_eq!(expand(&words, 10).as_deref(), Some(&table[..]));
        assert_eq!(expand(&words, 9), None);
        assert_eq!(expand(&words, 11), None);
    }

    #[test]
    fn what_leads_nowhere_is_refused() {
        for words in
            [&[1, 3, 7][..], &[2, 1, 0, 0], &[3, 1, 1], &[0, 5, 1], &[0, 1, 5, 2, 65535, 3, 0], &[0, 1, 5, 1, 65535, 6]]
        {
            assert_eq!(expand(words, 4), None, "{words:?}");
        }
    }
}
