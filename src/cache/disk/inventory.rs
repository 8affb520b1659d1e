//! What is in the cache, image by image, for people who look after it.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::entry::{self, Entry, Found, Listed};
use super::header::Seal;
use super::map::Map;
use super::tag::Tag;
use super::{BLOCK, DiskCache, Identity};
use crate::hash::Expected;
use crate::image::ImageId;

/// An image in the cache.
#[derive(Clone, Debug)]
pub struct InCache {
    /// The image. One that is whole and proved serves every image with the same hash; this one brought it.
    pub image: ImageId,
    /// The second hash that the service showed of it (`os_hash_value`).
    pub hash: Option<String>,
    /// Its length in bytes.
    pub size: u64,
    /// How many of its bytes are here.
    pub here: u64,
    /// Bytes that it takes on the disk.
    pub disk: u64,
    /// It is whole, and was compared with its hash.
    pub proved: bool,
    /// When it was last used.
    pub used: SystemTime,
    path: PathBuf,
}

/// What is in the folder of the cache.
#[derive(Clone, Debug, Default)]
pub struct Inventory {
    /// The images, the least recently used first.
    pub images: Vec<InCache>,
    /// What was an image, and can be read as none. Nobody finds it, and it takes its place until it is dropped.
    pub damaged: Vec<Damaged>,
}

/// What was an image, and takes its place.
#[derive(Clone, Debug)]
pub struct Damaged {
    /// Its folder.
    pub path: PathBuf,
    /// Bytes that it takes on the disk.
    pub disk: u64,
}

/// What a look at every byte found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// What is there is what was written.
    Sound,
    /// Some of it is not. The image was dropped; who reads it fetches it again.
    Damaged,
    /// It was dropped or replaced since it was listed.
    Gone,
}

/// What became of an image that is to be dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dropped {
    /// It is not there any more.
    Gone,
    /// Somebody reads it.
    InUse,
}

/// An opened image.
struct Opened {
    data: File,
    map: Map,
    content: Identity,
}

impl DiskCache {
    /// All that is in it.
    ///
    /// # Errors
    /// Where the folder cannot be read.
    pub fn inventory(&self) -> io::Result<Inventory> {
        let mut found = Inventory::default();
        for listed in self.home.list()? {
            match described(&listed) {
                Ok(Looked::Image(image)) => found.images.push(image),
                Ok(Looked::Moving) => {}
                Ok(Looked::Damaged) | Err(_) => found.damaged.push(Damaged { path: listed.path, disk: listed.bytes }),
            }
        }
        Ok(found)
    }

    /// Reads all that is here of `image` and compares it with the checksums of its blocks and, where it is whole and proved,
    /// with its hash. `looked` is told of each stretch of bytes.
    ///
    /// # Errors
    /// Where the disk fails.
    pub fn verify(&self, image: &InCache, looked: &mut dyn FnMut(u64)) -> io::Result<Verdict> {
        let Opening::Image(opened) = open(&image.path)? else { return Ok(Verdict::Gone) };
        if opened.is_sound(looked)? {
            return Ok(Verdict::Sound);
        }
        self.forget(&opened.content);
        entry::remove(&image.path)?;
        Ok(Verdict::Damaged)
    }

    /// Drops an image that nobody reads.
    pub fn discard(&self, image: &InCache) -> Dropped {
        dropped(&image.path)
    }

    /// Drops what is damaged.
    pub fn discard_damaged(&self, damaged: &Damaged) -> Dropped {
        dropped(&damaged.path)
    }
}

fn dropped(path: &Path) -> Dropped {
    let is_there = || path.symlink_metadata().is_ok();
    if entry::evict(path) || !is_there() { Dropped::Gone } else { Dropped::InUse }
}

/// What is in a folder.
enum Opening {
    Image(Opened),
    /// Somebody is replacing it at this moment.
    Moving,
    Damaged,
}

fn open(path: &Path) -> io::Result<Opening> {
    let Found::Entry(Entry { data, map }) = entry::open(path)? else { return Ok(Opening::Moving) };
    Ok(Map::open(map)?.map_or(Opening::Damaged, |(map, content)| Opening::Image(Opened { data, map, content })))
}

/// The same in figures.
enum Looked {
    Image(InCache),
    Moving,
    Damaged,
}

fn described(listed: &Listed) -> io::Result<Looked> {
    let opened = match open(&listed.path)? {
        Opening::Image(opened) => opened,
        Opening::Moving => return Ok(Looked::Moving),
        Opening::Damaged => return Ok(Looked::Damaged),
    };
    let (content, proved) = (&opened.content, opened.is_sealed()?);
    let here = if proved { content.size() } else { opened.here()? };
    let (image, size) = (content.image(), content.size());
    let hash = content.checksums().value.as_ref().map(ToString::to_string);
    let (disk, used, path) = (listed.bytes, listed.used, listed.path.clone());
    Ok(Looked::Image(InCache { image, hash, size, here, disk, proved, used, path }))
}

/// Blocks whose tags are read at once.
const TAGS: u64 = 1 << 14;

impl Opened {
    /// Whether it is sealed, and the seal is of this file.
    fn is_sealed(&self) -> io::Result<bool> {
        Ok(self.map.seal()? == Some(Seal::of(&self.data)?))
    }

    /// Bytes of the block `index`.
    fn length(&self, index: u64) -> u64 {
        BLOCK.min(self.content.size().saturating_sub(index.saturating_mul(BLOCK)))
    }

    fn here(&self) -> io::Result<u64> {
        let mut here = 0;
        self.each_tag(|index, _| {
            here += self.length(index);
            Ok(true)
        })?;
        Ok(here)
    }

    /// Gives each block that is here to `look` until that answers `false`, and answers what it answered.
    fn each_tag(&self, mut look: impl FnMut(u64, Tag) -> io::Result<bool>) -> io::Result<bool> {
        let blocks = self.content.blocks();
        let mut first = 0;
        while first < blocks {
            let count = TAGS.min(blocks - first);
            for (index, tag) in (first..).zip(self.map.tags(first, count)?) {
                if let Some(tag) = tag
                    && !look(index, tag)?
                {
                    return Ok(false);
                }
            }
            first += count;
        }
        Ok(true)
    }

    fn is_sound(&self, looked: &mut dyn FnMut(u64)) -> io::Result<bool> {
        let (sealed, is_marked) = (self.is_sealed()?, self.map.seal()?.is_some());
        if is_marked && !sealed {
            return Ok(false);
        }
        let mut hash = Expected::of(self.content.checksums()).filter(|_| sealed);
        let (mut bytes, mut fed) = (Vec::new(), 0);
        let sound = self.each_tag(|index, tag| {
            let length = self.length(index);
            bytes.resize(usize::try_from(length).map_err(io::Error::other)?, 0);
            self.data.read_exact_at(&mut bytes, index.saturating_mul(BLOCK))?;
            looked(length);
            if let Some((_, hash)) = &mut hash {
                hash.feed(&bytes);
                fed += length;
            }
            // Who makes room takes the tag away before the bytes.
            Ok(Tag::of(index, &bytes) == tag || self.map.tags(index, 1)? != [Some(tag)])
        })?;
        let is_whole = || !sealed || fed == self.content.size() || hash.is_none();
        if !sound || !is_whole() {
            return Ok(false);
        }
        Ok(hash.is_none_or(|(expected, hash)| hash.finish() == expected.value))
    }
}

#[cfg(test)]
mod tests {
    use std::fs::OpenOptions;

    use super::super::testing::{PLENTY, Place, Sample, hashed};
    use super::*;
    use crate::hash::sha512;

    /// A sample with its true hash.
    fn true_sample(blocks: u64) -> Sample {
        let size = blocks * BLOCK + 5;
        let bytes = super::super::testing::fill(1, size);
        Sample::of(hashed(ImageId::random(), size, "sha512", &sha512(&bytes)), 1)
    }

    fn verdict(cache: &DiskCache, image: &InCache) -> Verdict {
        cache.verify(image, &mut |_| {}).unwrap()
    }

    /// Changes a byte of the data behind the cache's back.
    fn spoil(place: &Place, at: u64) {
        let data = OpenOptions::new().read(true).write(true).open(place.entry().join("data")).unwrap();
        let (mut byte, time) = ([0], data.metadata().unwrap().modified().unwrap());
        data.read_exact_at(&mut byte, at).unwrap();
        data.write_all_at(&[!byte[0]], at).unwrap();
        // As a disk that fails does it.
        data.set_modified(time).unwrap();
    }

    #[test]
    fn an_image_is_listed_with_what_is_here_of_it_and_whether_it_is_proved() {
        let (place, sample) = (Place::new(), true_sample(4));
        let cache = place.open(PLENTY);
        let image = cache.image(&sample.content).unwrap();
        image.write(1, sample.run(1, 2));
        let listed = cache.inventory().unwrap().images;
        let [part] = listed.as_slice() else { panic!("{listed:?}") };
        assert_eq!((part.image, part.here, part.proved), (sample.content.image(), 2 * BLOCK, false));
        image.write(0, &sample.bytes);
        assert!(image.seal(&sample.proof()).unwrap());
        let listed = cache.inventory().unwrap().images;
        let [whole] = listed.as_slice() else { panic!("{listed:?}") };
        assert_eq!((whole.here, whole.size, whole.proved), (4 * BLOCK + 5, 4 * BLOCK + 5, true));
        assert!(whole.disk >= whole.size);
    }

    #[test]
    fn what_is_sound_stays_and_what_is_damaged_is_dropped() {
        for sealed in [false, true] {
            let (place, sample) = (Place::new(), true_sample(3));
            let cache = place.open(PLENTY);
            let image = cache.image(&sample.content).unwrap();
            image.write(0, &sample.bytes);
            assert!(!sealed || image.seal(&sample.proof()).unwrap());
            drop(image);
            let listed = cache.inventory().unwrap().images.remove(0);
            let mut looked = 0;
            assert_eq!(cache.verify(&listed, &mut |bytes| looked += bytes).unwrap(), Verdict::Sound);
            assert_eq!(looked, listed.size);
            spoil(&place, 2 * BLOCK);
            assert_eq!(verdict(&cache, &listed), Verdict::Damaged, "sealed: {sealed}");
            assert_eq!(verdict(&cache, &listed), Verdict::Gone);
            assert!(cache.inventory().unwrap().images.is_empty());
        }
    }

    #[test]
    fn bytes_that_have_another_hash_than_the_service_showed_are_damaged_though_their_blocks_are_as_written() {
        let place = Place::new();
        let sample = Sample::of(hashed(ImageId::random(), 3 * BLOCK, "sha512", &"0".repeat(128)), 1);
        let cache = place.open(PLENTY);
        let image = cache.image(&sample.content).unwrap();
        image.write(0, &sample.bytes);
        // Whoever sealed it was wrong.
        assert!(image.seal(&sample.proof()).unwrap());
        drop(image);
        assert_eq!(verdict(&cache, &cache.inventory().unwrap().images[0]), Verdict::Damaged);
    }

    #[test]
    fn an_image_that_is_read_is_not_dropped() {
        let (place, sample) = (Place::new(), true_sample(1));
        let (cache, other) = (place.open(PLENTY), place.open(PLENTY));
        let image = cache.image(&sample.content).unwrap();
        image.write(0, &sample.bytes);
        let listed = other.inventory().unwrap().images.remove(0);
        assert_eq!(other.discard(&listed), Dropped::InUse);
        drop((image, cache));
        assert_eq!(other.discard(&listed), Dropped::Gone);
        assert_eq!(other.discard(&listed), Dropped::Gone, "also when it was gone before");
        assert!(other.inventory().unwrap().images.is_empty());
    }

    #[test]
    fn what_can_be_read_as_no_image_is_told_and_dropped() {
        let (place, sample) = (Place::new(), true_sample(1));
        let cache = place.open(PLENTY);
        cache.image(&sample.content).unwrap().write(0, &sample.bytes);
        std::fs::write(place.entry().join("map"), [7; 4096]).unwrap();
        let found = cache.inventory().unwrap();
        assert_eq!((found.images.len(), found.damaged.len()), (0, 1));
        assert!(found.damaged[0].disk >= BLOCK);
        assert_eq!(cache.discard_damaged(&found.damaged[0]), Dropped::Gone);
        assert!(cache.inventory().unwrap().damaged.is_empty());
    }
}
