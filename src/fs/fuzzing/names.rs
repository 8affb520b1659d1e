//! Names: of files that somebody makes, and of what the service has.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::sync::Arc;

use super::scene::{Scene, run};
use crate::catalogue::Index;
use crate::fs::document::{self, Meant};
use crate::fs::node::Collection;
use crate::image::{Image, ImageId, Text};
use crate::name::{LONGEST, cut, decode, decode_item, encode, encode_item, is_programs_own};

/// The folders in which a file or a folder of any name may be made.
const FOLDERS: [&str; 6] =
    ["by-name", "files", "by-name/disk/tags", "by-name/disk/properties", "by-name/disk/members", "by-name/disk"];

/// Makes a file called `data` but for its first byte, which chooses the folder; and shows what is called so in the service.
///
/// # Panics
/// Where what was promised does not hold.
pub fn names(data: &[u8]) {
    tried(data);
}

/// Answers the errno, and 0 for what was made and removed; `None` for what no program can ask for.
pub(super) fn tried(data: &[u8]) -> Option<i32> {
    let (folder, name) = data.split_first()?;
    let text = String::from_utf8_lossy(name);
    assert_encodings(&text);
    shown(&text.split('\n').collect::<Vec<_>>());
    // The kernel takes none of the others apart from too long ones.
    let is_name = !name.is_empty() && !matches!(name, b"." | b"..") && !name.contains(&0) && !name.contains(&b'/');
    let folder = FOLDERS.get(usize::from(*folder) % FOLDERS.len()).filter(|_| is_name)?;
    run(async { made(&Scene::new(0)?, folder, OsStr::from_bytes(name)).await })
}

fn assert_encodings(name: &str) {
    for (entry, back) in [(encode(name), decode as fn(&str) -> Option<String>), (encode_item(name), decode_item)] {
        assert_eq!(back(&entry).as_deref(), Some(name), "{entry}");
        assert!(!entry.is_empty() && !entry.contains(['/', '\0']) && entry != "." && entry != "..");
        let head = cut(&entry, 10);
        assert!(head.len() <= 10 && entry.starts_with(head) && head.len() + 6 > entry.len().min(10), "{head}");
    }
    // An entry that is one stands for a name that is written so.
    for (name, again) in [(decode(name), encode as fn(&str) -> String), (decode_item(name), encode_item)] {
        assert!(name.is_none_or(|plain| decode(&again(&plain)).is_some() || decode_item(&again(&plain)).is_some()));
    }
    assert!(decode(name).is_none_or(|plain| encode(&plain) == name));
    assert!(decode_item(name).is_none_or(|plain| encode_item(&plain) == name));
}

/// Tags, properties and images of these names have an entry each.
fn shown(names: &[&str]) {
    let mut image = crate::fs::testing::image(1, "disk");
    image.tags = names.iter().map(|name| (*name).into()).collect();
    image.tags.sort();
    image.tags.dedup();
    image.properties = image.tags.iter().map(|name| (name.clone(), Text::default())).collect();
    for collection in [Collection::Tags, Collection::Properties] {
        let items = document::items(&image, collection, &[], Vec::new());
        assert!(items.iter().map(|item| &item.name).eq(&image.tags), "{items:?}");
        for item in &items {
            assert!(item.entry.len() <= LONGEST && !item.entry.contains(['/', '\0']) && !is_programs_own(&item.entry));
            assert_eq!(document::meant(&items, &item.entry), Meant::One(item));
        }
    }
    // Each name twice: those are told apart by their ids.
    let image_of = |name: &&str| Arc::new(Image { id: ImageId::random(), ..crate::fs::testing::image(1, name) });
    let index = Index::new(&names.iter().chain(names).map(image_of).collect::<Vec<_>>());
    let count = names.iter().filter(|name| !name.is_empty()).count();
    assert_eq!(index.iter().count(), count.saturating_mul(2));
    for (entry, id) in index.iter() {
        assert!(entry.len() <= LONGEST && !entry.contains(['/', '\0']));
        assert_eq!(index.resolve(&entry), Some(id));
    }
}

/// What is made is there under the name that it was made with, and gone when it is removed.
async fn made(scene: &Scene, folder: &str, name: &OsStr) -> Option<i32> {
    let before = scene.image();
    let parent = scene.walk(folder).await.ok()?.attr.ino;
    let is_there = scene.fs.lookup(parent, name).await.is_ok();
    let is_folder = folder == "by-name";
    let outcome = if is_folder { scene.fs.mkdir(parent, name).await } else { scene.fs.mknod(parent, name).await };
    if let Err(error) = &outcome {
        scene.assert_told(error);
        return Some(error.errno());
    }
    let text = name.to_str();
    assert!(text.is_some(), "a name that is no text was taken");
    let text = text?;
    assert!(name.len() <= LONGEST && scene.fs.lookup(parent, name).await.is_ok());
    assert!(scene.listed(folder).await.iter().any(|listed| listed == text), "{text:?} is not listed");
    let removed = if is_folder { scene.fs.rmdir(parent, name).await } else { scene.fs.unlink(parent, name).await };
    assert!(removed.is_ok(), "{removed:?}");
    assert!(is_there || scene.fs.lookup(parent, name).await.is_err());
    assert!(is_there || scene.image() == before);
    Some(0)
}
