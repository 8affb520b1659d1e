//! What the kernel was told of, by the upper bits of its numbers.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use crate::fs::position::within;

/// How many places are tried for what finds its own taken. A million nodes meet one collision in a hundred million mounts;
/// two on one place never.
const PROBES: u64 = 8;

/// Rows, with the number of times that the kernel was told of each. There are millions of them, so they are small.
#[derive(Debug)]
pub(super) struct Table<T> {
    known: HashMap<u64, Known<T>>,
    /// How many of them are at another place than their own, where somebody else was.
    moved: usize,
}

#[derive(Debug)]
struct Known<T> {
    what: T,
    /// A row that was told as often as this can count stays for good: better one too many than a number that leads nowhere.
    told: u32,
    is_moved: bool,
}

impl<T> Default for Table<T> {
    fn default() -> Self {
        Self { known: HashMap::new(), moved: 0 }
    }
}

impl<T> Table<T> {
    /// Where the row is that `is` takes for its own, or the first free place for it.
    pub(super) fn place(&self, own: u64, is: impl Fn(&T) -> bool) -> u64 {
        let mut free = None;
        let probes =
            if self.moved == 0 && self.known.get(&own).is_none_or(|known| is(&known.what)) { 1 } else { PROBES };
        for place in (0..probes).map(|step| within(own.wrapping_add(step))) {
            match self.known.get(&place) {
                Some(known) if is(&known.what) => return place,
                Some(_) => {}
                None => free = free.or(Some(place)),
            }
        }
        free.unwrap_or(own)
    }

    /// Counts what is at a place that [`Table::place`] found as told once more; where nothing is yet, `what` is from now on.
    pub(super) fn tell(&mut self, place: u64, own: u64, what: impl FnOnce() -> T) {
        match self.known.entry(place) {
            Entry::Occupied(mut entry) => entry.get_mut().told = entry.get().told.saturating_add(1),
            Entry::Vacant(entry) => {
                let is_moved = place != own;
                self.moved += usize::from(is_moved);
                entry.insert(Known { what: what(), told: 1, is_moved });
            }
        }
    }

    /// The kernel forgot `count` of the times that it was told. Answers what it knows no more.
    pub(super) fn forget(&mut self, place: u64, count: u64) -> Option<T> {
        let Entry::Occupied(mut entry) = self.known.entry(place) else { return None };
        let told = entry.get().told;
        let left = if told == u32::MAX { told } else { told.saturating_sub(u32::try_from(count).unwrap_or(u32::MAX)) };
        if left > 0 {
            entry.get_mut().told = left;
            return None;
        }
        let Known { what, is_moved, .. } = entry.remove();
        self.moved -= usize::from(is_moved);
        Some(what)
    }

    /// What is at a place.
    pub(super) fn get(&self, place: u64) -> Option<&T> {
        self.known.get(&place).map(|known| &known.what)
    }

    /// How many rows there are.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.known.len()
    }
}

#[cfg(test)]
mod tests {
    use super::super::items::Item;
    use super::*;

    /// A row of this number that belongs at a place, which it is told to be at.
    fn told(table: &mut Table<u32>, what: u32, own: u64) -> u64 {
        let place = table.place(own, |known| *known == what);
        table.tell(place, own, || what);
        place
    }

    #[test]
    fn rows_of_one_place_live_side_by_side_and_keep_theirs() {
        const OWN: u64 = 1 << 20;
        let mut table = Table::default();
        let places: Vec<_> = (0..3).map(|what| told(&mut table, what, OWN)).collect();
        assert_eq!(places, [OWN, OWN + 1, OWN + 2]);
        assert_eq!(table.forget(OWN, 1), Some(0));
        assert_eq!((1..3).map(|what| told(&mut table, what, OWN)).collect::<Vec<_>>(), places[1..]);
        assert_eq!(told(&mut table, 0, OWN), OWN);
        assert_eq!(
            (table.forget(OWN + 1, 1), table.forget(OWN + 1, 1), table.forget(OWN + 2, 2)),
            (None, Some(1), Some(2))
        );
        assert_eq!((table.moved, table.len()), (0, 1));
    }

    #[test]
    fn a_row_of_an_item_is_small() {
        assert!(size_of::<(u64, Known<Item>)>() <= 40, "{}", size_of::<(u64, Known<Item>)>());
    }

    #[test]
    fn what_was_told_more_often_than_can_be_counted_stays() {
        let mut table = Table::default();
        let place = told(&mut table, 7, 1 << 20);
        table.known.get_mut(&place).unwrap().told = u32::MAX - 1;
        assert_eq!(table.forget(place, 1), None);
        for _ in 0..3 {
            told(&mut table, 7, 1 << 20);
        }
        assert_eq!((table.forget(place, u64::MAX), table.get(place)), (None, Some(&7)));
    }
}
