//! Files that are not what was written: nothing of them is trusted, and nothing panics.

use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::Path;

use super::super::header::HEADER;
use super::super::testing::{NONE, PLENTY, Place, Sample, fill};
use super::super::{BLOCK, DiskCache};

fn file(path: &Path) -> File {
    OpenOptions::new().read(true).write(true).open(path).unwrap()
}

fn flip(path: &Path, at: u64) {
    let file = file(path);
    let mut byte = [0];
    file.read_exact_at(&mut byte, at).unwrap();
    file.write_all_at(&[byte[0] ^ 0x40], at).unwrap();
}

/// A cache with a whole image, closed.
fn written(blocks: u64) -> (Place, Sample) {
    let (place, sample) = (Place::new(), Sample::new(blocks * BLOCK));
    sample.write_all(&place.open(PLENTY).image(&sample.content).unwrap());
    (place, sample)
}

fn readable(cache: &DiskCache, sample: &Sample) -> Vec<u64> {
    sample.readable(&cache.image(&sample.content).unwrap())
}

#[test]
fn a_flipped_byte_in_the_data_is_noticed_and_its_block_absent_afterwards() {
    let (place, sample) = written(4);
    for open in [true, false] {
        let image = place.open(PLENTY).image(&sample.content).unwrap();
        let image = if open { Some(image) } else { None };
        flip(&place.entry().join("data"), if open { BLOCK + 77 } else { 3 * BLOCK - 1 });
        let image = image.unwrap_or_else(|| place.open(PLENTY).image(&sample.content).unwrap());
        let bad = if open { 1 } else { 2 };
        assert!(image.has(bad) && !sample.reads(&image, bad) && !image.has(bad));
        assert!(image.write(bad, sample.block(bad)));
        assert_eq!(sample.readable(&image), [0, 1, 2, 3]);
    }
}

#[test]
fn a_disk_that_can_read_nothing_any_more_has_nothing() {
    let (place, sample) = written(4);
    let image = place.open(PLENTY).image(&sample.content).unwrap();
    for name in ["data", "map"] {
        file(&place.entry().join(name)).set_len(0).unwrap();
    }
    assert!(image.has(1) && !sample.reads(&image, 1) && !image.has(1), "nobody is sent there again");
}

#[test]
fn in_a_run_only_the_damaged_block_is_dropped() {
    let (place, sample) = written(6);
    flip(&place.entry().join("data"), 2 * BLOCK);
    let image = place.open(PLENTY).image(&sample.content).unwrap();
    assert!(!sample.reads_run(&image, 0, 6));
    assert_eq!(sample.readable(&image), [0, 1, 3, 4, 5]);
}

#[test]
fn a_dropped_block_stays_dropped_after_a_restart() {
    let (place, sample) = written(3);
    flip(&place.entry().join("data"), 0);
    assert_eq!(readable(&place.open(PLENTY), &sample), [1, 2]);
    flip(&place.entry().join("data"), 0);
    assert_eq!(readable(&place.open(PLENTY), &sample), [1, 2]);
}

#[test]
fn a_flipped_byte_anywhere_in_the_map_makes_blocks_absent_and_none_wrong() {
    let (place, sample) = written(3);
    let mut random = fastrand::Rng::with_seed(1);
    for at in (0..2048).step_by(97).chain(2048..2090).chain(HEADER..HEADER + 12) {
        let map = place.entry().join("map");
        flip(&map, at + random.u64(..1));
        let cache = place.open(PLENTY);
        let here = readable(&cache, &sample);
        assert!(at >= 2048 || here.is_empty(), "byte {at}: {here:?}");
        assert!(at < HEADER || here.len() == 2, "byte {at}: {here:?}");
        sample.write_all(&cache.image(&sample.content).unwrap());
        assert_eq!(readable(&cache, &sample), [0, 1, 2]);
    }
}

#[test]
fn a_flipped_bit_does_not_make_an_absent_block_present() {
    let (place, sample) = (Place::new(), Sample::new(3 * BLOCK));
    drop(place.open(PLENTY).image(&sample.content).unwrap());
    flip(&place.entry().join("map"), HEADER + 4);
    let image = place.open(PLENTY).image(&sample.content).unwrap();
    assert_eq!((image.has(1), sample.readable(&image)), (true, vec![]));
    assert!(!image.has(1));
}

#[test]
fn a_map_that_is_torn_truncated_or_garbage_is_dropped() {
    let garbage = fill(3, 3 * 4096);
    let zeros = vec![0; 4096 + 12];
    for (name, text) in [("empty", &[][..]), ("short", &garbage[..100]), ("garbage", &garbage), ("zeros", &zeros)] {
        let (place, sample) = written(3);
        fs::write(place.entry().join("map"), text).unwrap();
        let cache = place.open(PLENTY);
        assert_eq!(readable(&cache, &sample), NONE, "{name}");
        sample.write_all(&cache.image(&sample.content).unwrap());
        assert_eq!(readable(&cache, &sample), [0, 1, 2], "{name}");
    }
    for length in [0, 1, 2048, 4095, 4096, 4096 + 11, 4096 + 13] {
        let (place, sample) = written(3);
        file(&place.entry().join("map")).set_len(length).unwrap();
        assert_eq!(readable(&place.open(PLENTY), &sample), NONE, "{length} bytes");
    }
}

#[test]
fn a_map_that_is_cut_under_an_open_image_fails_no_reader() {
    let (place, sample) = written(3);
    let image = place.open(PLENTY).image(&sample.content).unwrap();
    file(&place.entry().join("map")).set_len(10).unwrap();
    assert_eq!(sample.readable(&image), [0, 1, 2], "what is known in memory still holds");
    flip(&place.entry().join("data"), 0);
    assert!(!sample.reads(&image, 0));
    image.write(0, sample.block(0));
    sample.readable(&image);
    assert!(!image.seal(&sample.proof()).unwrap_or(false));
}

#[test]
fn the_files_of_another_image_are_dropped() {
    let (place, sample) = written(3);
    let other = Sample::of(super::super::testing::content(3 * BLOCK), 99);
    let mine = place.entry();
    other.write_all(&place.open(PLENTY).image(&other.content).unwrap());
    let theirs = place.entries().into_iter().find(|path| *path != mine).unwrap();
    // Only its map, then all of it.
    fs::copy(theirs.join("map"), mine.join("map")).unwrap();
    assert_eq!(readable(&place.open(PLENTY), &sample), NONE);
    sample.write_all(&place.open(PLENTY).image(&sample.content).unwrap());
    fs::copy(theirs.join("data"), mine.join("data")).unwrap();
    assert_eq!(readable(&place.open(PLENTY), &sample), NONE, "only its data");
    fs::copy(theirs.join("map"), mine.join("map")).unwrap();
    assert_eq!(readable(&place.open(PLENTY), &sample), NONE);
}

#[test]
fn data_of_the_wrong_length_are_dropped() {
    for length in [0, BLOCK, 3 * BLOCK - 1, 3 * BLOCK + 1] {
        let (place, sample) = written(3);
        file(&place.entry().join("data")).set_len(length).unwrap();
        assert_eq!(readable(&place.open(PLENTY), &sample), NONE, "{length} bytes");
    }
}

#[test]
fn data_that_are_cut_under_an_open_image_are_absent() {
    let (place, sample) = written(3);
    let image = place.open(PLENTY).image(&sample.content).unwrap();
    file(&place.entry().join("data")).set_len(BLOCK + 5).unwrap();
    assert_eq!(sample.readable(&image), [0]);
    assert!(!image.has(1) && !image.has(2));
}

#[test]
fn half_a_folder_is_made_anew() {
    for half in ["data", "map"] {
        let (place, sample) = written(2);
        fs::remove_file(place.entry().join(half)).unwrap();
        let image = place.open(PLENTY).image(&sample.content).unwrap();
        sample.write_all(&image);
        assert_eq!(sample.readable(&image), [0, 1]);
    }
}

#[test]
fn a_link_in_the_place_of_a_file_is_not_followed() {
    let (place, sample) = written(2);
    let outside = place.folder().join("outside");
    fs::write(&outside, "precious").unwrap();
    for name in ["data", "map"] {
        let path = place.entry().join(name);
        fs::remove_file(&path).unwrap();
        std::os::unix::fs::symlink(&outside, &path).unwrap();
        if let Ok(image) = place.open(PLENTY).image(&sample.content) {
            sample.write_all(&image);
        }
        assert_eq!(fs::read(&outside).unwrap(), b"precious");
    }
}

#[test]
fn what_an_ended_process_left_half_made_is_removed() {
    let (place, _) = written(1);
    let images = place.folder().join("images");
    fs::create_dir(images.join("trash-0123")).unwrap();
    fs::write(images.join("trash-0123/data"), "x").unwrap();
    fs::create_dir(images.join("new-0123")).unwrap();
    drop(place.open(PLENTY));
    assert!(!images.join("trash-0123").exists());
    assert!(images.join("new-0123").exists(), "somebody may be making it");
    let later = std::time::SystemTime::now() + std::time::Duration::from_hours(1);
    super::super::entry::clean(&images, later).unwrap();
    assert!(!images.join("new-0123").exists());
    assert_eq!(place.entries().len(), 1);
}
