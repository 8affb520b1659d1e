//! A table with a place for each block of an image, however long the service says that it is: memory is taken for the
//! neighbourhood of what was put there, and for nothing else.

use std::collections::BTreeMap;

/// Places in a page.
const PAGE: u64 = 512;

/// See the module. A place where nothing was put has the type's default value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Sparse<T> {
    pages: BTreeMap<u64, Box<[T]>>,
}

impl<T> Default for Sparse<T> {
    fn default() -> Self {
        Self { pages: BTreeMap::new() }
    }
}

impl<T: Copy + Default> Sparse<T> {
    /// What is at place `index`.
    pub(crate) fn get(&self, index: u64) -> T {
        let page = self.pages.get(&(index / PAGE));
        page.and_then(|page| page.get(offset(index))).copied().unwrap_or_default()
    }

    /// Changes what is at place `index`.
    pub(crate) fn change(&mut self, index: u64, change: impl FnOnce(&mut T)) {
        let page = self.pages.entry(index / PAGE).or_insert_with(|| (0..PAGE).map(|_| T::default()).collect());
        if let Some(place) = page.get_mut(offset(index)) {
            change(place);
        }
    }

    /// Everything that was put, with its surroundings: pieces of the table in their order, each with its first place.
    pub(crate) fn pieces(&self) -> impl Iterator<Item = (u64, &[T])> {
        self.pages.iter().map(|(page, places)| (page.saturating_mul(PAGE), &**places))
    }

    /// Bytes of memory that the places take.
    pub(crate) fn bytes(&self) -> usize {
        self.pages.values().map(|page| std::mem::size_of_val::<[T]>(page)).sum()
    }
}

fn offset(index: u64) -> usize {
    usize::try_from(index % PAGE).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_put_is_found_and_everywhere_else_is_nothing() {
        let (mut table, mut model) = (Sparse::<u64>::default(), BTreeMap::<u64, u64>::new());
        let mut random = fastrand::Rng::with_seed(5);
        for value in 1..2000_u64 {
            let index = random.choice([0, u64::MAX - 3 * PAGE]).unwrap() + random.u64(..3 * PAGE);
            table.change(index, |place| *place += value);
            *model.entry(index).or_default() += value;
        }
        for index in (0..4 * PAGE).chain(u64::MAX - 4 * PAGE..=u64::MAX) {
            assert_eq!(table.get(index), model.get(&index).copied().unwrap_or_default(), "{index}");
        }
        let pieces = table.pieces().flat_map(|(first, piece)| (first..=u64::MAX).zip(piece));
        assert!(pieces.filter(|(_, value)| **value != 0).map(|(index, value)| (index, *value)).eq(model));
    }

    #[test]
    fn a_place_far_away_takes_no_memory_for_those_before_it() {
        let mut table = Sparse::<u64>::default();
        assert_eq!(table.bytes(), 0);
        table.change(u64::MAX, |place| *place = 1);
        assert_eq!(table.bytes(), 4096);
    }
}
