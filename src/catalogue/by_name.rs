//! The entries of `by-name`: which image each stands for.

use std::borrow::Cow;
use std::collections::{BTreeSet, HashMap};
use std::ops::Range;
use std::sync::{Arc, OnceLock};

use crate::image::{Image, ImageId};
use crate::name::{LONGEST, cut, entry};

/// Characters of an id behind a name: the fewest, and how many more where that is not enough. 32 is a whole id.
const ID_CHARS: [usize; 7] = [8, 12, 16, 20, 24, 28, 32];

/// Entries of `by-name`, each for exactly one image.
///
/// A name that one image has is an entry of its own. Images that share a name are told apart by the beginning of their
/// ids (`name~1b2c3d4e`), and the bare name is no entry: an ambiguous name never picks an image.
#[derive(Clone, Debug, Default)]
pub struct Index {
    /// The images that have a name, by its entry and then by id, so that those which share one are neighbours.
    named: Vec<Arc<Image>>,
    /// How many characters of the id each of them has behind its name, so that whoever lists them all need not look at
    /// their neighbours.
    chars: Vec<u8>,
    /// How many of the names can be taken for another one's entry, or have to be cut.
    odd: usize,
    /// Where there are such names: all entries, sorted, each with the place of its image in `named`. Made when somebody
    /// looks.
    told_apart: OnceLock<Vec<(Box<str>, usize)>>,
}

impl Index {
    /// The entries for these images. An image without a name, or with an empty one, has none.
    pub fn new(images: &[Arc<Image>]) -> Self {
        let mut keys = Vec::with_capacity(images.len());
        keys.extend(images.iter().filter_map(|image| {
            let (base, _) = key(image)?;
            Some((beginning(&base), base, image))
        }));
        // Images lie where they were made: what is compared is fetched once, and mostly the beginning tells.
        keys.sort_unstable_by(|(head, base, image), (other_head, other_base, other)| {
            head.cmp(other_head).then_with(|| (base, image.id).cmp(&(other_base, other.id)))
        });
        let odd = keys.iter().filter(|(_, base, ..)| is_odd_entry(base)).count();
        let named: Vec<_> = keys.into_iter().map(|(.., image)| Arc::clone(image)).collect();
        let chars = (0..named.len()).map(|number| chars_behind(&named, number)).collect();
        Self { named, chars, odd, told_apart: OnceLock::new() }
    }

    /// Puts `now` in the place of `before`.
    pub(super) fn change(&mut self, before: Option<&Image>, now: Option<&Arc<Image>>) {
        if let (Some(before), Some(now)) = (before, now)
            && key(before) == key(now)
        {
            if let Some(Ok(at)) = self.place(before)
                && let Some(place) = self.named.get_mut(at)
            {
                *place = Arc::clone(now);
            }
            return;
        }
        if let Some(before) = before
            && let Some(Ok(at)) = self.place(before)
        {
            self.odd -= usize::from(is_odd(before));
            self.named.remove(at);
            self.chars.remove(at);
            self.tell_from_neighbours(at);
        }
        if let Some(now) = now
            && let Some(Err(at)) = self.place(now)
        {
            self.odd += usize::from(is_odd(now));
            self.named.insert(at, Arc::clone(now));
            self.chars.insert(at, 0);
            self.tell_from_neighbours(at);
        }
        self.told_apart = OnceLock::new();
    }

    /// How many entries there are.
    pub fn len(&self) -> usize {
        self.named.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.named.is_empty()
    }

    /// The entry of this number, from 0 on, and its image.
    pub fn at(&self, number: usize) -> Option<(Cow<'_, str>, &Arc<Image>)> {
        match self.told_apart() {
            Some(entries) => {
                let (entry, place) = entries.get(number)?;
                Some((Cow::Borrowed(entry.as_ref()), self.named.get(*place)?))
            }
            None => self.spelt(number),
        }
    }

    /// The images of all entries, by the numbers of those.
    pub fn images(&self) -> impl Iterator<Item = &Arc<Image>> {
        let places = self.told_apart().map(|entries| entries.iter().map(|(_, place)| *place));
        let plain = places.is_none().then_some(0..self.len());
        places.into_iter().flatten().chain(plain.into_iter().flatten()).filter_map(|place| self.named.get(place))
    }

    /// All entries.
    pub fn iter(&self) -> impl Iterator<Item = (Cow<'_, str>, ImageId)> {
        (0..self.len()).map_while(|number| self.at(number)).map(|(entry, image)| (entry, image.id))
    }

    /// The image that an entry stands for: one that is listed, or a name with the beginning of an id, which always
    /// resolves.
    pub fn resolve(&self, entry: &str) -> Option<ImageId> {
        let listed = match self.told_apart() {
            Some(entries) => self.listed_in(entries, entry),
            None => match self.group(entry) {
                [only] => Some(only.id),
                _ => None,
            },
        };
        listed.or_else(|| self.by_name_and_id(entry))
    }

    /// The image of a listed entry.
    pub fn get(&self, entry: &str) -> Option<ImageId> {
        if let Some(entries) = self.told_apart() {
            return self.listed_in(entries, entry);
        }
        let with_id = entry.rsplit_once('~').map(|(base, _)| self.numbers(base));
        let mut near = self.numbers(entry).chain(with_id.into_iter().flatten());
        near.find_map(|number| self.spelt(number).filter(|(listed, _)| listed == entry).map(|(_, image)| image.id))
    }

    /// The entries that a change of these images, as they were or as they will be, can take away or give to another one.
    pub(super) fn around<'a>(&self, images: impl Iterator<Item = &'a Image>) -> Vec<(Box<str>, ImageId)> {
        let owned = |(entry, id): (Cow<'_, str>, ImageId)| (Box::from(entry.as_ref()), id);
        let mut bases = BTreeSet::new();
        for image in images {
            if self.odd > 0 || is_odd(image) {
                return self.iter().map(owned).collect();
            }
            bases.extend(key(image).map(|(base, _)| base));
        }
        let spelt = |number| self.spelt(number).map(|(entry, image)| (Box::from(entry.as_ref()), image.id));
        bases.iter().flat_map(|base| self.numbers(base)).filter_map(spelt).collect()
    }

    /// Whether the entry stands for an image, or would for one of several if it were not ambiguous.
    pub fn is_taken(&self, entry: &str) -> bool {
        !self.group(entry).is_empty() || self.is_owned(entry) || self.resolve(entry).is_some()
    }

    fn by_name_and_id(&self, entry: &str) -> Option<ImageId> {
        let mut owners = self.owners(entry);
        let only = owners.next()?;
        owners.next().is_none().then_some(only.id)
    }

    /// The images whose name with the beginning of their id behind it this is. To nobody else may it ever lead, whatever
    /// their own entries are: those become shorter and longer as namesakes go and come.
    pub(super) fn owners<'a>(&'a self, entry: &'a str) -> impl Iterator<Item = &'a Arc<Image>> {
        let parts = entry.rsplit_once('~').filter(|(_, digits)| ID_CHARS.contains(&digits.len()));
        parts.into_iter().flat_map(|(base, digits)| {
            self.group(base).iter().filter(move |image| digits_of(image.id).starts_with(digits))
        })
    }

    /// What an image that is listed as `entry` can be called too, and no other one.
    pub fn longer(entry: &str, id: ImageId) -> String {
        with_id(entry, id, ID_CHARS[0], LONGEST)
    }

    /// Whether this is another image's name with the beginning of its id behind it.
    fn is_owned(&self, entry: &str) -> bool {
        self.owners(entry).next().is_some()
    }

    /// The images whose name has this entry.
    fn group(&self, base: &str) -> &[Arc<Image>] {
        self.named.get(self.numbers(base)).unwrap_or_default()
    }

    /// Where they are.
    fn numbers(&self, base: &str) -> Range<usize> {
        let below = |image: &Arc<Image>| key(image).is_some_and(|(own, _)| *own < *base);
        let start = self.named.partition_point(below);
        let rest = self.named.get(start..).unwrap_or_default();
        let count = rest.partition_point(|image| key(image).is_some_and(|(own, _)| *own == *base));
        start..start.saturating_add(count)
    }

    /// Where an image is, or where it belongs; `None` for one without a name.
    fn place(&self, image: &Image) -> Option<Result<usize, usize>> {
        let own = key(image)?;
        Some(self.named.binary_search_by(|other| key(other).cmp(&Some((Cow::Borrowed(&own.0), own.1)))))
    }

    /// The image at this place is another one: its neighbours are told apart from it.
    fn tell_from_neighbours(&mut self, at: usize) {
        for number in at.saturating_sub(1)..=at.saturating_add(1) {
            if let Some(chars) = self.chars.get_mut(number) {
                *chars = chars_behind(&self.named, number);
            }
        }
    }

    /// The entry of an image, where no name is odd: then nobody but its namesakes has the same.
    fn spelt(&self, number: usize) -> Option<(Cow<'_, str>, &Arc<Image>)> {
        let (image, chars) = (self.named.get(number)?, *self.chars.get(number)?);
        let (base, id) = key(image)?;
        let entry = if chars == 0 { base } else { Cow::Owned(with_id(&base, id, chars.into(), LONGEST)) };
        Some((entry, image))
    }

    fn listed_in(&self, entries: &[(Box<str>, usize)], entry: &str) -> Option<ImageId> {
        let at = entries.binary_search_by(|(known, _)| (**known).cmp(entry)).ok()?;
        entries.get(at).and_then(|(_, place)| self.named.get(*place)).map(|image| image.id)
    }

    fn told_apart(&self) -> Option<&[(Box<str>, usize)]> {
        (self.odd > 0).then(|| self.told_apart.get_or_init(|| self.tell_apart()).as_slice())
    }

    /// Spells ids out, further and further, until no two images have the same entry. This ends: a whole id differs from
    /// all others.
    fn tell_apart(&self) -> Vec<(Box<str>, usize)> {
        let mut images: Vec<Named<'_>> = self.named.iter().filter_map(|image| self.least_spelt(image)).collect();
        loop {
            let mut holders: HashMap<&str, usize> = HashMap::with_capacity(images.len());
            let entries: Vec<String> = images.iter().map(Named::entry).collect();
            for entry in &entries {
                *holders.entry(entry).or_default() += 1;
            }
            let mut clash = false;
            for (image, entry) in images.iter_mut().zip(&entries) {
                if holders.get(entry.as_str()).is_some_and(|count| *count > 1) && image.level < ID_CHARS.len() {
                    image.level += 1;
                    clash = true;
                }
            }
            if !clash {
                let mut entries: Vec<_> = entries.into_iter().map(Box::from).zip(0..).collect();
                entries.sort_unstable();
                return entries;
            }
        }
    }

    /// An image as it is called where no other one's entry is the same.
    fn least_spelt<'a>(&self, image: &'a Image) -> Option<Named<'a>> {
        let (base, id) = key(image)?;
        let level = usize::from(base.len() > LONGEST || self.is_owned(&base));
        Some(Named { id, base, level })
    }
}

/// What the index is sorted by; `None` for an image without a name.
fn key(image: &Image) -> Option<(Cow<'_, str>, ImageId)> {
    let name = image.name.as_deref().filter(|name| !name.is_empty())?;
    Some((entry(name), image.id))
}

/// The first bytes of an entry, as a number by which entries are sorted as by themselves: none holds NUL.
fn beginning(entry: &str) -> u128 {
    let mut bytes = [0; 16];
    for (place, byte) in bytes.iter_mut().zip(entry.bytes()) {
        *place = byte;
    }
    u128::from_be_bytes(bytes)
}

/// How many characters of its id tell an image from those that have its name; none where there are none. Those whose ids
/// begin most like its own are its neighbours.
fn chars_behind(named: &[Arc<Image>], number: usize) -> u8 {
    let Some(image) = named.get(number) else { return 0 };
    let namesake = |at: Option<usize>| named.get(at?).filter(|other| other.name == image.name);
    let near = [namesake(number.checked_sub(1)), namesake(number.checked_add(1))];
    let alike = near.into_iter().flatten().map(|other| common(other.id, image.id)).max();
    let chars = alike.map_or(0, |alike| ID_CHARS.into_iter().find(|chars| *chars > alike).unwrap_or(32));
    u8::try_from(chars).unwrap_or(u8::MAX)
}

/// Whether the name ends like one with an id behind it, or is so long that it may have to be cut.
fn is_odd(image: &Image) -> bool {
    key(image).is_some_and(|(base, _)| is_odd_entry(&base))
}

fn is_odd_entry(base: &str) -> bool {
    let is_id = |digits: &str| ID_CHARS.contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    base.len() + 33 > LONGEST || base.rsplit_once('~').is_some_and(|(_, digits)| is_id(digits))
}

struct Named<'a> {
    id: ImageId,
    base: Cow<'a, str>,
    /// How far the id is spelt out behind the name; 0: not at all, n: `ID_CHARS[n - 1]`.
    level: usize,
}

impl Named<'_> {
    fn entry(&self) -> String {
        match self.level.checked_sub(1).and_then(|level| ID_CHARS.get(level)) {
            None => self.base.to_string(),
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

/// How many digits two ids have in common at their beginning.
fn common(one: ImageId, other: ImageId) -> usize {
    digits_of(one).bytes().zip(digits_of(other).bytes()).take_while(|(one, other)| one == other).count()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::fs::testing::image;

    fn id(head: &str) -> ImageId {
        format!("{head:0<8}-0000-0000-0000-000000000000").parse().unwrap()
    }

    fn entries(index: &Index) -> Vec<String> {
        index.iter().map(|(entry, _)| entry.into_owned()).collect()
    }

    fn image_of((id, name): (ImageId, &str)) -> Arc<Image> {
        Arc::new(Image { id, ..image(1, name) })
    }

    fn index<'a>(images: impl IntoIterator<Item = (ImageId, &'a str)>) -> Index {
        Index::new(&images.into_iter().map(image_of).collect::<Vec<_>>())
    }

    #[test]
    fn a_shared_name_is_no_entry_and_a_single_one_is() {
        let index = index([(id("a1"), "x"), (id("b2"), "x"), (id("c3"), "y"), (id("d4"), "")]);
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
        let index = index([(one.parse().unwrap(), "x"), (two, "x")]);
        assert_eq!(entries(&index), ["x~a00000000000", "x~a00000001111"]);
        assert_eq!(index.resolve("x~a0000000"), None, "still ambiguous");
    }

    #[test]
    fn an_image_named_like_anothers_entry_takes_nothing_away() {
        let images = [(id("a1"), "x"), (id("c3"), "x~a1000000"), (id("b2"), "x")];
        let (two, one) = (index(images), index(images.into_iter().take(2)));
        assert_eq!(entries(&two), ["x~a1000000", "x~a1000000~c3000000", "x~b2000000"]);
        assert_eq!(entries(&one), ["x", "x~a1000000~c3000000"]);
        for index in [two, one] {
            assert_eq!(index.resolve("x~a1000000"), Some(id("a1")), "whether or not it has a namesake");
            assert_eq!(index.resolve("x~a1000000~c3000000"), Some(id("c3")));
        }
    }

    #[test]
    fn a_long_name_is_cut_and_has_its_id_behind_it() {
        let long = "é".repeat(200);
        let index = index([(id("a1"), long.as_str())]);
        let only = entries(&index)[0].clone();
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
            let index = index(ids.zip(names.iter().map(String::as_str)));
            let listed: Vec<_> = index.iter().collect();
            prop_assert_eq!(listed.len(), names.len());
            for (entry, id) in listed {
                prop_assert!(entry.len() <= LONGEST && !entry.contains('/'));
                prop_assert_eq!(index.resolve(&entry), Some(id));
                prop_assert_eq!(index.get(&entry), Some(id));
            }
            for unlisted in ["x~00000000", "x~000000000000", "y~10000000", "none"] {
                let is_listed = index.iter().any(|(entry, _)| entry == unlisted);
                prop_assert_eq!(index.get(unlisted).is_some(), is_listed);
            }
        }

        #[test]
        fn a_name_with_the_beginning_of_its_id_behind_it_leads_to_no_other_image(
            names in prop::collection::vec("[xy]|[xy]~[0-3]0{7}(~[0-3]0{7}|0{4})?", 1..12),
        ) {
            let ids = (0..12).map(|n| format!("{}0000000-0000-0000-0000-{n:012}", n % 4).parse::<ImageId>().unwrap());
            let images: Vec<_> = ids.zip(names.iter().map(String::as_str)).collect();
            let index = index(images.iter().copied());
            for &(id, name) in &images {
                for chars in ID_CHARS {
                    let spelt = with_id(name, id, chars, LONGEST);
                    let is_alike = |&&(other, its): &&(ImageId, &str)| its == name && common(other, id) >= chars;
                    let is_only = images.iter().filter(is_alike).count() == 1;
                    prop_assert_eq!(index.resolve(&spelt), is_only.then_some(id), "{}", spelt);
                    prop_assert!(index.is_taken(&spelt));
                }
            }
        }

        #[test]
        fn names_that_begin_alike_are_found(names in prop::collection::vec("m{14,17}[ab]?|é{7,9}[ab]?|[ab]", 1..12)) {
            let ids = (0..12).map(|n| format!("{n:08x}-0000-0000-0000-000000000000").parse::<ImageId>().unwrap()).rev();
            let index = index(ids.zip(names.iter().map(String::as_str)));
            prop_assert!(index.named.is_sorted_by_key(|image| key(image)));
            for (entry, id) in index.iter() {
                prop_assert_eq!(index.get(&entry), Some(id));
            }
        }

        /// What neighbours tell is what all images together would, and what many small changes lead to.
        #[test]
        fn entries_are_the_same_however_they_came_about(
            steps in prop::collection::vec((0..12_u32, prop::option::of("|[xy]|x~[0-3]0{7}|[%/.]{1,3}|z{250,255}")), 0..40),
            risky in any::<bool>(),
        ) {
            let id_of = |n: u32| format!("{}0000000-0000-0000-0000-{n:012}", n % 4).parse::<ImageId>().unwrap();
            let (mut grown, mut images) = (Index::default(), HashMap::new());
            for (n, name) in steps {
                let name = name.filter(|name| risky || !(name.len() > 200 || name.contains('~')));
                let now = name.as_deref().map(|name| image_of((id_of(n), name)));
                let before = match &now {
                    Some(now) => images.insert(n, Arc::clone(now)),
                    None => images.remove(&n),
                };
                grown.change(before.as_deref(), now.as_ref());
            }
            let fresh = Index::new(&images.values().cloned().collect::<Vec<_>>());
            let sorted = |index: &Index| {
                let mut all: Vec<_> = index.iter().map(|(entry, id)| (Box::from(entry.as_ref()), id)).collect();
                all.sort_unstable();
                all
            };
            prop_assert_eq!(sorted(&grown), sorted(&fresh));
            let apart = fresh.tell_apart().into_iter().map(|(entry, place)| (entry, fresh.named[place].id));
            prop_assert_eq!(sorted(&fresh), apart.collect::<Vec<_>>());
        }
    }
}
