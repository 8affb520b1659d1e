//! Where the lines of a folder are: numbers that hold for as long as a line is there, whatever comes and goes around it.
//!
//! The kernel asks for a folder piece by piece, may ask for a piece twice, and keeps what it was told for others; between
//! two pieces images come and go. So a position is derived from what the line is, and a folder is listed in their order.

/// The position of `.`.
pub(super) const SELF: u64 = 1;

/// The position of `..`.
pub(super) const PARENT: u64 = 2;

/// In front of the positions of names, behind those of images, which have 59 bits.
const NAMES: u64 = 1 << 60;

/// In front of the positions of results.
const RESULTS: u64 = 1 << 61;

/// Bits for the place of a result in its answer.
const RESULT_BITS: u32 = 32;

/// The position of a line that is always there, by its number.
pub(super) fn fixed(number: usize) -> u64 {
    u64::try_from(number).unwrap_or(u64::MAX).saturating_add(PARENT + 1)
}

/// The position of a line that is told by its name.
pub(super) fn named(name: &str) -> u64 {
    NAMES | hash(name.as_bytes())
}

/// The position of a result, which is where it is in the answer of this number.
pub(super) fn result(answer: u32, number: usize) -> u64 {
    let number = u64::try_from(number).unwrap_or(u64::MAX) & (u64::MAX >> RESULT_BITS);
    // Positions are signed for programs (telldir(3)), which leaves 29 bits for the answer.
    RESULTS | (u64::from(answer & (u32::MAX >> 3)) << RESULT_BITS) | number
}

/// Which answer a position belongs to, as far as it tells.
pub(super) fn is_of_answer(position: u64, answer: u32) -> bool {
    position >> RESULT_BITS == result(answer, 0) >> RESULT_BITS
}

/// The same place in another answer.
pub(super) fn in_answer(position: u64, answer: u32) -> u64 {
    if position < RESULTS {
        position
    } else {
        result(answer, usize::try_from(position & (u64::MAX >> RESULT_BITS)).unwrap_or(0))
    }
}

/// 59 bits that a text has by itself: FNV-1a, stirred. Never one of the small numbers.
pub(super) fn hash(text: &[u8]) -> u64 {
    let stir = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
    let mut hash = text.iter().fold(0xcbf2_9ce4_8422_2325, stir);
    hash = (hash ^ (hash >> 32)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    hash = (hash ^ (hash >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    within(hash ^ (hash >> 32))
}

/// A number cut to 59 bits and lifted above the small ones.
pub(super) fn within(number: u64) -> u64 {
    (number & (u64::MAX >> 5)).max(1 << 16)
}

/// Lines in the order of their positions.
#[derive(Debug, Default)]
pub(super) struct Order(Vec<(u64, u32)>);

impl Order {
    /// The order of lines, which are known by their numbers from 0 on, with these positions. Of those that are alike, the
    /// later ones give way.
    pub(super) fn new(positions: impl Iterator<Item = u64>) -> Self {
        let mut lines: Vec<(u64, u32)> = positions.zip(0..).collect();
        lines.sort_unstable();
        let mut last = 0_u64;
        for (position, _) in &mut lines {
            last = (*position).max(last.saturating_add(1));
            *position = last;
        }
        Self(lines)
    }

    /// The lines behind a position, each with its own and its number.
    pub(super) fn behind(&self, from: u64) -> impl Iterator<Item = (u64, usize)> {
        let first = self.0.partition_point(|(position, _)| *position <= from);
        let rest = self.0.get(first..).unwrap_or_default();
        rest.iter().map(|(position, number)| (*position, usize::try_from(*number).unwrap_or(usize::MAX)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_has_its_position_whatever_comes_and_goes_around_it() {
        let of = |names: &[&str]| {
            let order = Order::new(names.iter().map(|name| named(name)));
            order.behind(0).map(|(position, number)| (names[number].to_owned(), position)).collect::<Vec<_>>()
        };
        let (few, many) = (of(&["b", "d"]), of(&["a", "b", "c", "d", "e"]));
        assert!(few.iter().all(|line| many.contains(line)), "{few:?} {many:?}");
    }

    #[test]
    fn lines_of_one_position_are_all_listed_once_however_it_is_cut_to_pieces() {
        let order = Order::new([7, 5, 7, 7, 8].into_iter());
        let mut seen = Vec::new();
        let mut from = 0;
        while let Some((position, number)) = order.behind(from).next() {
            seen.push(number);
            from = position;
        }
        seen.sort_unstable();
        assert_eq!(seen, [0, 1, 2, 3, 4]);
    }

    #[test]
    fn positions_are_numbers_that_programs_take() {
        let all = [fixed(0), fixed(7), hash(b"x"), named("x"), named(""), result(0, 0), result(u32::MAX, usize::MAX)];
        assert!(all.iter().all(|position| *position > PARENT && *position <= i64::MAX.unsigned_abs()), "{all:?}");
        assert!(fixed(100) < hash(b"x") && hash(b"x") < named("x") && named("x") < result(0, 0));
        assert!(is_of_answer(result(7, 9), 7) && !is_of_answer(result(8, 9), 7) && !is_of_answer(2, 7));
        assert_eq!((in_answer(result(7, 9), 8), in_answer(PARENT, 8)), (result(8, 9), PARENT));
    }
}
