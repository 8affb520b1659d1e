//! Keeping within the size and above the floor.

use std::fs::{File, FileTimes};
use std::path::Path;
use std::time::{Duration, SystemTime};

use super::super::testing::{NONE, PLENTY, Place, Sample};
use super::super::{BLOCK, DiskCache, DiskSettings};

/// Bytes of a folder's map and of what the filesystem adds to a file, at most.
const OVERHEAD: u64 = 64 * 1024;

/// Makes the image in `folder` one that was last used so many seconds after the epoch.
fn used_at(folder: &Path, seconds: u64) {
    let time = SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
    let map = File::options().write(true).open(folder.join("map")).unwrap();
    map.set_times(FileTimes::new().set_modified(time)).unwrap();
}

/// Writes a whole image and closes it; answers its folder.
fn keep(place: &Place, cache: &DiskCache, sample: &Sample) -> std::path::PathBuf {
    let before = place.entries();
    sample.write_all(&cache.image(&sample.content).unwrap());
    place.entries().into_iter().find(|path| !before.contains(path)).unwrap()
}

#[test]
fn the_least_recently_used_images_make_room_as_a_whole() {
    let place = Place::new();
    let cache = place.open(20 * BLOCK);
    let samples: Vec<Sample> = (0..3).map(|_| Sample::new(6 * BLOCK)).collect();
    let folders: Vec<_> = samples.iter().map(|sample| keep(&place, &cache, sample)).collect();
    for (folder, seconds) in folders.iter().zip([300, 100, 200]) {
        used_at(folder, seconds);
    }
    let next = Sample::new(6 * BLOCK);
    keep(&place, &cache, &next);
    let left: Vec<bool> = folders.iter().map(|folder| folder.exists()).collect();
    assert_eq!(left, [true, false, true]);
    assert_eq!(next.readable(&cache.image(&next.content).unwrap()).len(), 6);
    assert!(cache.usage().unwrap().bytes <= 20 * BLOCK);
}

#[test]
fn opening_an_image_is_a_use_of_it_also_after_a_restart() {
    let place = Place::new();
    let (one, two, three) = (Sample::new(6 * BLOCK), Sample::new(7 * BLOCK), Sample::new(8 * BLOCK));
    let folders = [&one, &two].map(|sample| keep(&place, &place.open(20 * BLOCK), sample));
    used_at(&folders[0], 100);
    used_at(&folders[1], 200);
    drop(place.open(20 * BLOCK).image(&one.content).unwrap());
    keep(&place, &place.open(20 * BLOCK), &three);
    assert_eq!([folders[0].exists(), folders[1].exists()], [true, false]);
}

#[test]
fn an_image_in_use_is_not_removed_while_another_process_writes() {
    let place = Place::new();
    let (one, two) = (Sample::new(12 * BLOCK), Sample::new(12 * BLOCK + 5));
    let (mine, theirs) = (place.open(20 * BLOCK), place.open(20 * BLOCK));
    let used = one.sealed_in(&mine);
    let image = theirs.image(&two.content).unwrap();
    for block in 0..two.content.blocks() {
        image.write(block, two.block(block));
        two.readable(&image);
    }
    assert_eq!(one.readable(&used).len(), 12);
    assert!(used.is_sealed() && mine.usage().unwrap().bytes <= 20 * BLOCK + OVERHEAD);
    drop(used);
    two.write_all(&image);
    assert_eq!((two.readable(&image).len(), place.entries().len()), (13, 1));
}

#[test]
fn an_image_larger_than_the_limit_keeps_its_newest_blocks() {
    let place = Place::new();
    let cache = place.open(20 * BLOCK);
    let sample = Sample::new(100 * BLOCK);
    let image = cache.image(&sample.content).unwrap();
    for block in 0..100 {
        assert!(image.write(block, sample.block(block)) && sample.reads(&image, block));
        assert!(cache.usage().unwrap().bytes <= 20 * BLOCK + OVERHEAD);
    }
    let here = sample.readable(&image);
    assert!((10..=20).contains(&here.len()), "{here:?}");
    assert!(here.iter().all(|block| *block >= 80), "{here:?}");
}

#[test]
fn a_sealed_image_is_never_punched() {
    let place = Place::new();
    let cache = place.open(20 * BLOCK);
    let (one, two) = (Sample::new(18 * BLOCK), Sample::new(30 * BLOCK));
    let sealed = one.sealed_in(&cache);
    let view = place.open(20 * BLOCK).image(&one.content).unwrap();
    let image = cache.image(&two.content).unwrap();
    for block in 0..30 {
        image.write(block, two.block(block));
        two.readable(&image);
    }
    assert_eq!((sealed.punch(u64::MAX), view.punch(u64::MAX)), (0, 0));
    assert_eq!((one.readable(&sealed).len(), one.readable(&view).len()), (18, 18));
}

#[test]
fn one_who_has_not_heard_of_the_seal_does_not_punch_either() {
    let (place, sample) = (Place::new(), Sample::new(8 * BLOCK));
    let unaware = place.open(PLENTY).image(&sample.content).unwrap();
    sample.write_all(&unaware);
    let image = sample.sealed_in(&place.open(PLENTY));
    assert!(!unaware.is_sealed());
    assert_eq!(unaware.punch(u64::MAX), 0);
    assert_eq!((unaware.is_sealed(), sample.readable(&image).len()), (true, 8));
}

#[test]
fn a_punched_block_is_absent_and_its_space_is_free() {
    let (place, sample) = (Place::new(), Sample::new(8 * BLOCK + 5));
    let cache = place.open(PLENTY);
    let image = cache.image(&sample.content).unwrap();
    sample.write_all(&image);
    let before = cache.usage().unwrap().bytes;
    assert_eq!(image.punch(3 * BLOCK), 3 * BLOCK);
    assert_eq!(sample.readable(&image), [3, 4, 5, 6, 7, 8]);
    assert!(cache.usage().unwrap().bytes <= before - 3 * BLOCK);
    image.punch(u64::MAX);
    assert_eq!(sample.readable(&image), NONE);
    assert!(cache.usage().unwrap().bytes < OVERHEAD);
    sample.write_all(&image);
    assert_eq!(sample.readable(&image).len(), 9);
}

#[test]
fn the_floor_of_free_space_stops_the_writing_and_fails_no_read() {
    let (place, sample) = (Place::new(), Sample::new(4 * BLOCK));
    let image = place.open(PLENTY).image(&sample.content).unwrap();
    assert!(image.write(0, sample.block(0)));
    drop(image);
    let full = DiskSettings { folder: place.folder(), size: PLENTY, floor: Some(u64::MAX) };
    let cache = DiskCache::open(&full).unwrap();
    let image = cache.image(&sample.content).unwrap();
    for block in 1..4 {
        assert!(!image.write(block, sample.block(block)) && !image.has(block));
    }
    assert!(cache.image(&Sample::new(5).content).is_err(), "nor is another image begun");
}

#[test]
fn the_floor_takes_images_that_nobody_uses() {
    let (place, one, two) = (Place::new(), Sample::new(4 * BLOCK), Sample::new(5 * BLOCK));
    drop(one.sealed_in(&place.open(PLENTY)));
    let image = place.open(PLENTY).image(&two.content).unwrap();
    assert!(image.write(0, two.block(0)));
    drop(image);
    let full = DiskSettings { folder: place.folder(), size: PLENTY, floor: Some(u64::MAX) };
    let image = DiskCache::open(&full).unwrap().image(&two.content).unwrap();
    assert!(!image.write(1, two.block(1)));
    assert_eq!(place.entries().len(), 1);
}

/// A filesystem of its own, in memory, unmounted at the end of the test. `None` where this user may not mount.
struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    fn new(bytes: u64) -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let mount = std::process::Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={bytes},mode=700"), "none"])
            .arg(folder.path())
            .output();
        mount.is_ok_and(|mount| mount.status.success()).then_some(Self(folder))
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = std::process::Command::new("umount").arg(self.0.path()).status();
    }
}

#[test]
fn a_full_disk_fails_no_reader_and_what_was_kept_stays() {
    let Some(disk) = SmallDisk::new(10 * BLOCK) else { return };
    let folder = disk.0.path().join("cache");
    let open = || DiskCache::open(&DiskSettings { folder: folder.clone(), size: PLENTY, floor: Some(0) }).unwrap();
    let sample = Sample::new(20 * BLOCK);
    let image = open().image(&sample.content).unwrap();
    // Beside the cache's own look at what is free: as if others filled the disk between the look and the write.
    let kept: Vec<u64> = (0..20).filter(|block| image.put_unasked(*block, sample.block(*block))).collect();
    assert!((5..10).contains(&kept.len()), "{kept:?}");
    assert_eq!(sample.readable(&image), kept);
    assert!((0..20).all(|block| image.has(block) == kept.contains(&block)));
    drop(image);
    let image = open().image(&sample.content).unwrap();
    assert_eq!(sample.readable(&image), kept);
    // With its look: old blocks go, and new ones are kept.
    let later = (0..20).filter(|block| image.write(*block, sample.block(*block))).count();
    assert!(later > kept.len(), "{later}");
    assert!(!sample.readable(&image).is_empty());
}

#[test]
fn a_disk_below_its_floor_keeps_nothing_more() {
    let Some(disk) = SmallDisk::new(100 * BLOCK) else { return };
    let settings = DiskSettings { folder: disk.0.path().join("cache"), size: PLENTY, floor: None };
    let sample = Sample::new(200 * BLOCK);
    let cache = DiskCache::open(&settings).unwrap();
    let image = cache.image(&sample.content).unwrap();
    for block in 0..200 {
        image.write(block, sample.block(block));
        assert!(cache.usage().unwrap().bytes <= 95 * BLOCK);
    }
    assert!(sample.readable(&image).len() > 60);
}
