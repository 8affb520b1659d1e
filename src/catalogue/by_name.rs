//! The entries of `by-name`: which image each stands for.

use std::collections::{BTreeMap, HashMap};

use crate::image::ImageId;
use crate::name::{LONGEST, cut, encode};

/// Characters of an id behind a name: the fewest, and how many more where that is not enough. 32 is a whole id.
const ID_CHARS: [usize; 7] = [8, 12, 16, 20, 24, 28, 32];

/// Entries of `by-name`, each for exactly one image.
///
/// A name that one image has is an entry of its own. Images that share a name are told apart by the beginning of their
/// ids (`name~1b2c3d4e`), and the bare name is no entry: an ambiguous name never picks an image.
#[derive(Debug, Default)]
pub struct Index {
    entries: BTreeMap<Box<str>, ImageId>,
    named: HashMap<Box<str>, Vec<ImageId>>,
}

struct Named {
    id: ImageId,
    base: String,
    /// How far the id is spelt out behind the name; 0: not at all, n: `ID_CHARS[n - 1]`.
    level: usize,
}

impl Index {
    /// The entries for images of these names. An image without a name, or with an empty one, has none.
    pub fn new<'a>(images: impl Iterator<Item = (ImageId, &'a str)>) -> Self {
        let mut images: Vec<Named> = images
            .filter(|(_, name)| !name.is_empty())
            .map(|(id, name)| (id, encode(name)))
            .map(|(id, base)| Named { id, level: usize::from(base.len() > LONGEST), base })
            .collect();
        let entries = tell_apart(&mut images);
        let mut named: HashMap<Box<str>, Vec<ImageId>> = HashMap::new();
        for image in images {
            named.entry(image.base.into()).or_default().push(image.id);
        }
        Self { entries, named }
    }

    /// All entries, sorted.
    pub fn iter(&self) -> impl Iterator<Item = (&str, ImageId)> {
        self.entries.iter().map(|(entry, id)| (entry.as_ref(), *id))
    }

    /// The image that an entry stands for: one that is listed, or a name with the beginning of an id, which always
    /// resolves.
    pub fn resolve(&self, entry: &str) -> Option<ImageId> {
        self.entries.get(entry).copied().or_else(|| self.by_name_and_id(entry))
    }

    /// Whether the entry stands for an image, or would for one of several if it were not ambiguous.
    pub fn is_taken(&self, entry: &str) -> bool {
        self.named.contains_key(entry) || self.resolve(entry).is_some()
    }

    fn by_name_and_id(&self, entry: &str) -> Option<ImageId> {
        let (base, digits) = entry.rsplit_once('~')?;
        ID_CHARS.contains(&digits.len()).then_some(())?;
        let mut fitting = self.named.get(base)?.iter().filter(|id| digits_of(**id).starts_with(digits));
        let only = fitting.next()?;
        fitting.next().is_none().then_some(*only)
    }
}

/// Spells ids out, further and further, until no two images have the same entry. This ends: a whole id differs from
/// all others.
fn tell_apart(images: &mut [Named]) -> BTreeMap<Box<str>, ImageId> {
    loop {
        let mut holders: HashMap<String, usize> = HashMap::with_capacity(images.len());
        let entries: Vec<String> = images.iter().map(Named::entry).collect();
        for entry in &entries {
            *holders.entry(entry.clone()).or_default() += 1;
        }
        let mut clash = false;
        for (image, entry) in images.iter_mut().zip(&entries) {
            if holders.get(entry).is_some_and(|count| *count > 1) && image.level < ID_CHARS.len() {
                image.level += 1;
                clash = true;
            }
        }
        if !clash {
            return entries.into_iter().zip(images.iter()).map(|(entry, image)| (entry.into(), image.id)).collect();
        }
    }
}

impl Named {
    fn entry(&self) -> String {
        match self.level.checked_sub(1).and_then(|level| ID_CHARS.get(level)) {
            None => self.base.clone(),
            Some(chars) => with_id(&self.base, self.id, *chars, LONGEST),
        }
    }
}

/// The entry `base` with the beginning of an id behind it, at most `room` bytes in all: with more and more of the id.
pub(super) fn tell_by_id(base: &str, id: ImageId, room: usize) -> impl Iterator<Item = String> {
    ID_CHARS.into_iter().map(move |chars| with_id(base, id, chars, room))
}

fn with_id(base: &str, id: ImageId, chars: usize, room: usize) -> String {
    let digits = digits_of(id);
    format!("{}~{}", cut(base, room.saturating_sub(1 + chars)), digits.get(..chars).unwrap_or(&digits))
}

fn digits_of(id: ImageId) -> String {
    id.as_str().replace('-', "")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn id(head: &str) -> ImageId {
        format!("{head:0<8}-0000-0000-0000-000000000000").parse().unwrap()
    }

    fn entries(index: &Index) -> Vec<&str> {
        index.iter().map(|(entry, _)| entry).collect()
    }

    #[test]
    fn a_shared_name_is_no_entry_and_a_single_one_is() {
        let index = Index::new([(id("a1"), "x"), (id("b2"), "x"), (id("c3"), "y"), (id("d4"), "")].into_iter());
        assert_eq!(entries(&index), ["x~a1000000", "x~b2000000", "y"]);
        assert_eq!(index.resolve("x"), None);
        assert!(index.is_taken("x") && index.is_taken("y~c3000000") && !index.is_taken("z"));
        assert_eq!(index.resolve("x~b2000000"), Some(id("b2")));
        assert_eq!(index.resolve("y~c3000000"), Some(id("c3")), "resolves also while the name is unique");
        assert_eq!(index.resolve("y~d4000000"), None);
    }

    #[test]
    fn ids_that_begin_alike_are_spelt_out_further() {
        let (one, two) = (id("a").as_str().replace("-0000-0000-", "-1111-0000-"), id("a"));
        let index = Index::new([(one.parse().unwrap(), "x"), (two, "x")].into_iter());
        assert_eq!(entries(&index), ["x~a00000000000", "x~a00000001111"]);
        assert_eq!(index.resolve("x~a0000000"), None, "still ambiguous");
    }

    #[test]
    fn an_image_named_like_anothers_entry_takes_nothing_away() {
        let images = [(id("a1"), "x"), (id("b2"), "x"), (id("c3"), "x~a1000000")];
        let index = Index::new(images.into_iter());
        assert_eq!(entries(&index), ["x~a10000000000", "x~a1000000~c3000000", "x~b2000000"]);
    }

    #[test]
    fn a_long_name_is_cut_and_has_its_id_behind_it() {
        let long = "é".repeat(200);
        let index = Index::new([(id("a1"), long.as_str())].into_iter());
        let only = entries(&index)[0].to_owned();
        assert!(only.len() <= LONGEST && only.ends_with("~a1000000"), "{only}");
        assert_eq!(index.resolve(&only), Some(id("a1")));
    }

    proptest! {
        #[test]
        fn each_named_image_has_exactly_one_entry(
            names in prop::collection::vec("[xy]|x~[0-3]0{7}|[%/.]{1,3}|z{250,255}", 1..12),
        ) {
            // Twelve ids, four of them alike in each of their first eight digits.
            let ids = (0..12).map(|n| format!("{}0000000-0000-0000-0000-{n:012}", n % 4).parse::<ImageId>().unwrap());
            let index = Index::new(ids.zip(names.iter().map(String::as_str)));
            let listed: Vec<_> = index.iter().collect();
            prop_assert_eq!(listed.len(), names.len());
            for (entry, id) in listed {
                prop_assert!(entry.len() <= LONGEST && !entry.contains('/'));
                prop_assert_eq!(index.resolve(entry), Some(id));
            }
        }
    }
}
