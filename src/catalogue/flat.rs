//! The entries of `files`: each image as one plain file.

use std::borrow::Cow;
use std::collections::BTreeMap;

use super::by_name::{Index, tell_by_id};
use crate::image::{Image, ImageId};
use crate::name::LONGEST;

/// The longest format that a file's name ends in, in bytes: each that there is has eight of them at most.
const LONGEST_ENDING: usize = 32;

/// Entries of `files`, each for exactly one image: its entry in `by-name`, a dot and its disk format; the bare entry while
/// it has none that can end a name. Names that begin with a dot are other programs' temporaries there, so `.x` is `%2Ex`.
#[derive(Debug, Default)]
pub struct Flat(Box<[(Box<str>, ImageId)]>);

impl Flat {
    /// The entries of images that `names` has, whose [`ending`]s `format_of` tells.
    pub(super) fn new<'a>(names: &Index, format_of: impl Fn(ImageId) -> Option<&'a str>) -> Self {
        let is_owned = |name: &str| {
            let parts = name.rsplit_once('.').map(|(stem, format)| (base(stem), format));
            parts.is_some_and(|(stem, format)| names.owners(&stem).any(|image| format_of(image.id) == Some(format)))
        };
        let mut entries = BTreeMap::new();
        let (formatted, others): (Vec<_>, Vec<_>) =
            names.iter().map(|(name, id)| (name, id, format_of(id))).partition(|(.., format)| format.is_some());
        // No two of the formatted ones are called alike; a bare one may be called as one of them is, or may come to be.
        for (name, id, format) in formatted.into_iter().chain(others) {
            let (base, format) = (escaped(&name), format.unwrap_or_default());
            let plain = join(&base, format);
            let is_anothers = || entries.contains_key(plain.as_str()) || format.is_empty() && is_owned(&plain);
            let entry = if plain.len() > LONGEST || is_anothers() {
                let room = LONGEST - (join("", format).len()).min(LONGEST);
                let mut told = tell_by_id(&base, id, room).map(|base| join(&base, format));
                // A whole id differs from all others.
                told.find(|entry| !entries.contains_key(entry.as_str())).unwrap_or(plain)
            } else {
                plain
            };
            entries.insert(entry.into(), id);
        }
        Self(entries.into_iter().collect())
    }

    /// All entries, sorted.
    pub fn iter(&self) -> impl Iterator<Item = (&str, ImageId)> {
        self.0.iter().map(|(entry, id)| (entry.as_ref(), *id))
    }

    /// The entry of this number, from 0 on, and its image.
    pub fn at(&self, number: usize) -> Option<(&str, ImageId)> {
        self.0.get(number).map(|(entry, id)| (entry.as_ref(), *id))
    }

    /// The image of a listed entry.
    pub(super) fn get(&self, entry: &str) -> Option<ImageId> {
        let at = self.0.binary_search_by(|(listed, _)| (**listed).cmp(entry)).ok()?;
        self.at(at).map(|(_, id)| id)
    }
}

/// What the file of an image ends in: its disk format. A service may say anything for one; what is no short word could
/// make an entry that is none, or be taken for a part of the name.
pub(super) fn ending(image: &Image) -> Option<&str> {
    let is_sign = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'+' | b'-');
    let is_word = |format: &&str| (1..=LONGEST_ENDING).contains(&format.len()) && format.bytes().all(is_sign);
    image.disk_format.as_deref().filter(is_word)
}

fn join(base: &str, format: &str) -> String {
    if format.is_empty() { base.to_owned() } else { format!("{base}.{format}") }
}

fn escaped(name: &str) -> Cow<'_, str> {
    name.strip_prefix('.').map_or(Cow::Borrowed(name), |rest| Cow::Owned(format!("%2E{rest}")))
}

/// The entry of `by-name` that a flat file's name without its format stands for.
pub(super) fn base(name: &str) -> Cow<'_, str> {
    match name.strip_prefix("%2E").filter(|rest| !rest.is_empty() && *rest != "%2E") {
        Some(rest) => Cow::Owned(format!(".{rest}")),
        None => Cow::Borrowed(name),
    }
}

#[cfg(test)]
mod tests {
    use super::super::Snapshot;
    use crate::fs::testing::{id, image};
    use crate::image::{Image, Text};
    use crate::name::LONGEST;

    #[test]
    fn long_names_of_images_whose_ids_begin_alike_have_a_file_each() {
        let long = |end: &str| "n".repeat(LONGEST - 2) + end;
        let image = |end: u32, name: String| Image {
            id: format!("00000001-0000-4000-8000-{end:012}").parse().unwrap(),
            disk_format: Some("qcow2".into()),
            ..image(1, &name)
        };
        let snapshot = Snapshot::new([image(1, long("a")), image(2, long("b"))]);
        let files: Vec<_> = snapshot.files().iter().collect();
        assert_eq!(files.len(), 2, "{files:?}");
        for (entry, id) in files {
            assert!(entry.len() <= LONGEST && entry.split('.').next_back() == Some("qcow2"), "{entry}");
            assert_eq!(snapshot.file(entry), Some(id));
        }
    }

    fn snapshot(images: &[(&str, Option<&str>)]) -> Snapshot {
        let of = |(n, (name, format)): (u32, &(&str, Option<&str>))| Image {
            disk_format: format.map(Text::from),
            ..image(n, name)
        };
        Snapshot::new((1..).zip(images).map(of))
    }

    fn entries(snapshot: &Snapshot) -> Vec<&str> {
        snapshot.files().iter().map(|(entry, _)| entry).collect()
    }

    #[test]
    fn an_entry_is_the_name_and_the_format() {
        let snapshot = snapshot(&[("disk", Some("qcow2")), ("new", None), ("v1.0", Some("raw")), ("", Some("raw"))]);
        assert_eq!(entries(&snapshot), ["disk.qcow2", "new", "v1.0.raw"]);
        assert_eq!(snapshot.file("disk.qcow2"), Some(id(1)));
        assert_eq!(snapshot.file("disk"), Some(id(1)), "without its format, too");
        assert_eq!(snapshot.file("disk.raw"), None, "and not with another one");
        assert_eq!(snapshot.file("v1.0"), Some(id(3)));
    }

    #[test]
    fn a_format_that_cannot_end_a_name_is_left_out_and_takes_no_other_file_with_it() {
        let long = "f".repeat(300);
        let odd = ["", "a/b", "nul\0", "..", ".x", "tar.gz", "a b", "r\u{e4}w", "a\n", long.as_str()];
        for format in odd {
            let snapshot = snapshot(&[("disk", Some("qcow2")), ("odd", Some(format)), ("x", Some("root-tar"))]);
            assert_eq!(entries(&snapshot), ["disk.qcow2", "odd", "x.root-tar"], "{format:?}");
            assert_eq!(snapshot.file("odd"), Some(id(2)));
            assert_eq!(snapshot.file(&format!("odd.{format}")), None);
            assert_eq!(snapshot.file("odd~00000002"), Some(id(2)));
        }
    }

    #[test]
    fn images_that_share_a_name_are_told_apart_as_in_by_name() {
        let snapshot = snapshot(&[("x", Some("raw")), ("x", Some("qcow2"))]);
        assert_eq!(entries(&snapshot), ["x~00000001.raw", "x~00000002.qcow2"]);
        assert_eq!((snapshot.file("x.raw"), snapshot.file("x")), (None, None));
        assert_eq!(snapshot.file("x~00000002.qcow2"), Some(id(2)));
    }

    #[test]
    fn a_name_with_the_beginning_of_its_id_works_also_while_it_is_unique() {
        let snapshot = snapshot(&[("disk", Some("qcow2"))]);
        assert_eq!(snapshot.file("disk~00000001.qcow2"), Some(id(1)));
    }

    #[test]
    fn an_image_without_format_that_is_called_as_another_ones_file_has_its_id_behind_it() {
        let snapshot = snapshot(&[("a", Some("raw")), ("a.raw", None)]);
        assert_eq!(entries(&snapshot), ["a.raw", "a.raw~00000002"]);
        assert_eq!((snapshot.file("a.raw"), snapshot.file("a.raw~00000002")), (Some(id(1)), Some(id(2))));
    }

    #[test]
    fn an_image_that_is_called_as_another_ones_file_with_its_id_never_takes_its_place() {
        let images = [("a", Some("raw")), ("a~00000001.raw", None), ("b~00000004.raw", None), ("a", Some("raw"))];
        for images in [&images[..3], &images[..]] {
            let snapshot = snapshot(images);
            assert_eq!(snapshot.file("a~00000001.raw"), Some(id(1)), "{:?}", entries(&snapshot));
            assert_eq!(snapshot.file("a~00000001.raw~00000002"), Some(id(2)));
            assert_eq!(snapshot.file("b~00000004.raw"), Some(id(3)), "which is nobody's");
        }
    }

    #[test]
    fn a_leading_dot_is_escaped_because_such_files_are_temporaries() {
        let snapshot = snapshot(&[(".x", Some("raw")), (".", Some("raw"))]);
        assert_eq!(entries(&snapshot), ["%2E.raw", "%2Ex.raw"]);
        assert_eq!((snapshot.file("%2Ex.raw"), snapshot.file("%2E.raw")), (Some(id(1)), Some(id(2))));
    }

    #[test]
    fn a_long_name_is_cut_and_keeps_its_format() {
        let long = "n".repeat(LONGEST - 2);
        let snapshot = snapshot(&[(long.as_str(), Some("qcow2"))]);
        let [only] = entries(&snapshot)[..] else { panic!("one image has one entry") };
        assert!(only.len() <= LONGEST && only.ends_with("~00000001.qcow2"), "{only}");
        assert_eq!(snapshot.file(only), Some(id(1)));
    }
}
