//! The entries of tags, properties and members: a name as a folder can hold it, and back. Pure.
//!
//! A name whose entry would be too long is cut and ends in `~` and a hash of the whole name, since there is no id to tell
//! it by. Where that is another one's entry as well, more of the hash is shown: each entry stands for exactly one name.

use std::collections::HashMap;

use super::Item;
use crate::hash::sha512;
use crate::name::{LONGEST, cut, encode_item};

/// Digits of the hash behind a name that was cut: the fewest, and how many more where that is not enough. 128 are all.
const DIGITS: [usize; 5] = [8, 16, 32, 64, 128];

/// How a name is hashed: [`DIGITS`] at most, in hexadecimal.
type Hash = fn(&str) -> String;

/// What an entry stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::fs) enum Meant<'a> {
    /// This one.
    One(&'a Item),
    /// Nothing that there is.
    Nothing,
    /// Several names that are cut, which it would stand for alike.
    Several,
}

/// Gives entries to names with the texts of their files.
pub(super) fn listed(contents: Vec<(String, String)>) -> Vec<Item> {
    listed_by(contents, |name| sha512(name.as_bytes()))
}

fn listed_by(contents: Vec<(String, String)>, hash: Hash) -> Vec<Item> {
    let mut forms: Vec<Forms> = contents.iter().map(|(name, _)| Forms::of(name, hash)).collect();
    let entries = tell_apart(&mut forms);
    let item = |((name, text), entry): (_, Option<String>)| Some(Item { name, entry: entry?, text });
    contents.into_iter().zip(entries).filter_map(item).collect()
}

/// What an entry stands for: one that is listed, or a name that is cut with as much of its hash as tells it from all
/// others, which goes on standing for it when others come and go.
pub(in crate::fs) fn meant<'a>(items: &'a [Item], entry: &str) -> Meant<'a> {
    meant_by(items, entry, |name| sha512(name.as_bytes()))
}

fn meant_by<'a>(items: &'a [Item], entry: &str, hash: Hash) -> Meant<'a> {
    if let Some(item) = items.iter().find(|item| item.entry == entry) {
        return Meant::One(item);
    }
    if !may_be_cut(entry) {
        return Meant::Nothing;
    }
    let mut fitting = items.iter().filter(|item| Forms::of(&item.name, hash).has(entry));
    match (fitting.next(), fitting.next()) {
        (Some(only), None) => Meant::One(only),
        (Some(_), Some(_)) => Meant::Several,
        (None, _) => Meant::Nothing,
    }
}

/// Whether an entry has the form of one that was cut.
pub(in crate::fs) fn may_be_cut(entry: &str) -> bool {
    let is_hash = |(_, digits): (_, &str)| {
        DIGITS.contains(&digits.len()) && digits.bytes().all(|digit| digit.is_ascii_hexdigit())
    };
    entry.rsplit_once('~').is_some_and(is_hash)
}

/// The entries that a name can have.
struct Forms {
    whole: String,
    /// Empty where the name need not be cut.
    hash: String,
    /// How much of the hash is shown: `DIGITS[level]`.
    level: usize,
}

impl Forms {
    fn of(name: &str, hash: Hash) -> Self {
        let whole = encode_item(name);
        let hash = if whole.len() > LONGEST { hash(name) } else { String::new() };
        Self { whole, hash, level: 0 }
    }

    fn at(&self, level: usize) -> String {
        match DIGITS.get(level) {
            Some(digits) if !self.hash.is_empty() => {
                let shown = self.hash.get(..*digits).unwrap_or(&self.hash);
                format!("{}~{shown}", cut(&self.whole, LONGEST.saturating_sub(1 + digits)))
            }
            _ => self.whole.clone(),
        }
    }

    fn is_shown_further(&mut self) -> bool {
        let goes = !self.hash.is_empty() && self.level.saturating_add(1) < DIGITS.len();
        self.level = self.level.saturating_add(usize::from(goes));
        goes
    }

    fn has(&self, entry: &str) -> bool {
        !self.hash.is_empty() && (0..DIGITS.len()).any(|level| self.at(level) == entry)
    }
}

/// Shows more and more of the hashes until no two entries are alike. Names whose whole hashes are alike have none.
fn tell_apart(forms: &mut [Forms]) -> Vec<Option<String>> {
    loop {
        let entries: Vec<String> = forms.iter().map(|form| form.at(form.level)).collect();
        let mut holders: HashMap<&str, usize> = HashMap::with_capacity(entries.len());
        for entry in &entries {
            *holders.entry(entry).or_default() += 1;
        }
        let is_shared = |entry: &str| holders.get(entry).is_some_and(|count| *count > 1);
        let mut clashing = forms.iter_mut().zip(&entries).filter(|(_, entry)| is_shared(entry));
        if !clashing.by_ref().fold(false, |goes, (form, _)| form.is_shown_further() || goes) {
            let is_only = |(form, entry): (&Forms, &String)| form.hash.is_empty() || !is_shared(entry);
            let only: Vec<bool> = forms.iter().zip(&entries).map(is_only).collect();
            return entries.into_iter().zip(only).map(|(entry, only)| only.then_some(entry)).collect();
        }
    }
}

/// Two names that are cut alike and have hashes that begin alike.
#[cfg(test)]
pub(in crate::fs) fn colliding() -> [String; 2] {
    let mut seen = HashMap::new();
    for n in 0.. {
        let name = format!("{}{n:08}", "é".repeat(124));
        let head: String = sha512(name.as_bytes()).chars().take(8).collect();
        if let Some(other) = seen.insert(head, name.clone()) {
            return [other, name];
        }
    }
    panic!("the numbers do not end")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;
    use crate::name::is_programs_own;

    fn items(names: &[String], hash: Hash) -> Vec<Item> {
        listed_by(names.iter().map(|name| (name.clone(), String::new())).collect(), hash)
    }

    fn real(name: &str) -> String {
        sha512(name.as_bytes())
    }

    #[test]
    fn two_long_names_whose_hashes_begin_alike_have_an_entry_each() {
        let names = colliding();
        let both = items(&names, real);
        let [one, two] = &both[..] else { panic!("{both:?}") };
        assert!(one.entry != two.entry && one.entry.len() <= LONGEST && two.entry.len() <= LONGEST);
        assert_eq!((meant(&both, &one.entry), meant(&both, &two.entry)), (Meant::One(one), Meant::One(two)));
        let shorter = &items(&names[..1], real)[0].entry;
        assert_eq!(*shorter, items(&names[1..], real)[0].entry, "alone they would be called alike");
        assert_eq!(meant(&both, shorter), Meant::Several, "and nobody guesses which one was meant");
        // Who removes all that was listed, one after another, finds the last one by the entry that he was told.
        let left = items(&names[1..], real);
        assert_eq!(meant(&left, &two.entry), Meant::One(&left[0]));
    }

    #[test]
    fn a_name_that_is_written_as_the_entry_of_a_longer_one_takes_nothing_away() {
        let long = "x".repeat(300);
        let entry = items(std::slice::from_ref(&long), real)[0].entry.clone();
        assert_eq!(entry.len(), LONGEST);
        let both = items(&[long, entry.clone()], real);
        assert_eq!(both[1].entry, entry, "who can be called as he is named is");
        assert_ne!(both[0].entry, entry);
        for item in &both {
            assert_eq!(meant(&both, &item.entry), Meant::One(item));
        }
    }

    #[test]
    fn a_short_name_is_never_looked_for_by_a_hash() {
        let names = ["a", "a~0123abcd", "x"].map(str::to_owned);
        let all = items(&names, |_| panic!("none is cut"));
        assert_eq!(meant_by(&all, "a~0123abcd", |_| panic!("none is cut")), Meant::One(&all[1]));
        assert_eq!(meant_by(&all, "x~0123abcd", |_| panic!("none is cut")), Meant::Nothing);
    }

    /// Hashes of which many begin alike, some are alike for longer, and some are the same.
    fn weak(name: &str) -> String {
        let sum: u32 = name.bytes().map(u32::from).sum();
        let [head, middle, tail] = [sum % 2, sum % 3, sum % 5];
        format!("{}{}{}", head.to_string().repeat(8), middle.to_string().repeat(24), tail.to_string().repeat(96))
    }

    proptest! {
        #[test]
        fn names_become_entries_and_entries_the_same_names_again(
            names in prop::collection::btree_set(
                "\\PC{0,12}|[%/.a~\\x00-\\x1f]{0,8}|sed[a-c]{5,7}|4913|a{252,255}~|x{254,262}|é{126,130}[a-h]{0,3}|/{84,90}|x{246}~(0{8}|1{8})|日{84}~[0-9a-f]{3,8}",
                0..24,
            ),
        ) {
            let names: Vec<String> = names.into_iter().collect();
            for (hash, is_strong) in [(real as Hash, true), (weak, false)] {
                let all = items(&names, hash);
                let entries: BTreeSet<&str> = all.iter().map(|item| item.entry.as_str()).collect();
                prop_assert_eq!(entries.len(), all.len(), "no two share one");
                for item in &all {
                    prop_assert!(item.entry.len() <= LONGEST && !item.entry.contains(['/', '\0']));
                    prop_assert!(!is_programs_own(&item.entry) && !item.entry.is_empty());
                    prop_assert_eq!(meant_by(&all, &item.entry, hash), Meant::One(item));
                }
                let shown: Vec<&String> = all.iter().map(|item| &item.name).collect();
                if is_strong {
                    prop_assert_eq!(shown, names.iter().collect::<Vec<_>>(), "every name has one");
                }
                // Those that no hash tells apart are in no listing, and stand behind nobody's entry.
                for name in names.iter().filter(|name| encode_item(name).len() <= LONGEST) {
                    prop_assert!(all.iter().any(|item| item.name == *name));
                }
            }
        }
    }
}
