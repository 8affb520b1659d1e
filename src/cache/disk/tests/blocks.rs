//! Keeping blocks and giving them back.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::sync::Arc;

use super::super::testing::{PLENTY, Place, Sample, content};
use super::super::{BLOCK, DiskImage};

#[test]
fn a_block_is_read_as_it_was_written_and_others_are_absent() {
    let (place, sample) = (Place::new(), Sample::new(3 * BLOCK + 5));
    let image = place.open(PLENTY).image(&sample.content).unwrap();
    assert_eq!((image.missing(), sample.readable(&image)), (4, vec![]));
    for block in [3, 1] {
        assert!(!image.has(block));
        assert!(image.write(block, sample.block(block)));
        assert!(image.has(block));
    }
    assert_eq!((image.missing(), sample.readable(&image)), (2, vec![1, 3]));
    assert!(!image.has(4) && !image.has(u64::MAX));
}

#[test]
fn a_run_of_blocks_is_read_and_written_at_once() {
    let (place, sample) = (Place::new(), Sample::new(8 * BLOCK + 100));
    let image = place.open(PLENTY).image(&sample.content).unwrap();
    assert!(image.write(2, sample.run(2, 3)));
    assert!(image.write(6, sample.run(6, 3)));
    assert_eq!((image.run(2, 10), image.run(2, 2), image.run(6, 10), image.run(0, 10)), (3, 2, 3, 0));
    assert!(sample.reads_run(&image, 2, 3) && sample.reads_run(&image, 3, 2) && sample.reads_run(&image, 6, 3));
    assert!(!sample.reads_run(&image, 2, 4), "a run with a gap is absent as a whole");
}

#[test]
fn a_run_in_pieces_is_kept_as_one_where_they_end_with_blocks() {
    let (place, sample) = (Place::new(), Sample::new(5 * BLOCK + 100));
    let image = place.open(PLENTY).image(&sample.content).unwrap();
    let (front, rest) = sample.bytes.split_at(usize::try_from(2 * BLOCK).unwrap());
    assert!(image.write_pieces(0, &[front, rest]));
    assert!(sample.reads_run(&image, 0, 6));
    let (front, rest) = sample.bytes.split_at(usize::try_from(2 * BLOCK).unwrap() + 1);
    assert!(!image.write_pieces(0, &[front, rest]) && !image.write_pieces(0, &[]));
    assert!(sample.reads_run(&image, 0, 6));
}

#[test]
fn bytes_that_are_no_whole_blocks_are_neither_kept_nor_read() {
    let (place, sample) = (Place::new(), Sample::new(2 * BLOCK + 5));
    let image = place.open(PLENTY).image(&sample.content).unwrap();
    sample.write_all(&image);
    let block = usize::try_from(BLOCK).unwrap();
    for (first, length) in [(0, 0), (0, 1), (0, block - 1), (1, block + 4), (2, 4), (2, 6), (3, 1), (u64::MAX, block)] {
        let mut bytes = vec![1; length];
        assert!(!image.write(first, &bytes) && !image.read(first, &mut bytes), "{length} bytes from {first}");
    }
    assert_eq!(sample.readable(&image), [0, 1, 2]);
}

#[test]
fn blocks_are_there_again_after_a_restart() {
    let (place, sample) = (Place::new(), Sample::new(5 * BLOCK));
    let image = place.open(PLENTY).image(&sample.content).unwrap();
    assert!(image.write(1, sample.block(1)) && image.write(4, sample.block(4)));
    drop(image);
    let image = place.open(PLENTY).image(&sample.content).unwrap();
    assert_eq!((image.missing(), sample.readable(&image)), (3, vec![1, 4]));
}

#[test]
fn files_are_sparse_and_for_their_owner_alone() {
    let (place, sample) = (Place::new(), Sample::new(64 * BLOCK));
    let image = place.open(PLENTY).image(&sample.content).unwrap();
    assert!(image.write(60, sample.block(60)));
    let (data, map) = (place.entry().join("data"), place.entry().join("map"));
    for file in [&data, &map] {
        assert_eq!(fs::metadata(file).unwrap().mode() & 0o777, 0o600);
    }
    assert_eq!(fs::metadata(place.entry()).unwrap().mode() & 0o777, 0o700);
    let data = fs::metadata(data).unwrap();
    assert_eq!(data.len(), sample.content.size());
    assert!(data.blocks() * 512 < 2 * BLOCK);
}

#[test]
fn all_who_ask_for_an_image_have_the_same_one_while_somebody_holds_it() {
    let (place, one, two) = (Place::new(), content(5), content(5));
    let cache = place.open(PLENTY);
    let image = cache.image(&one).unwrap();
    assert!(Arc::ptr_eq(&image, &cache.image(&one).unwrap()));
    assert!(!Arc::ptr_eq(&image, &cache.image(&two).unwrap()));
    assert_eq!(cache.usage().unwrap().images, 2);
}

#[test]
fn a_forgotten_image_is_gone_on_disk_and_for_those_who_hold_it() {
    let (place, sample) = (Place::new(), Sample::new(2 * BLOCK));
    let cache = place.open(PLENTY);
    let image = cache.image(&sample.content).unwrap();
    sample.write_all(&image);
    cache.forget(&sample.content);
    assert!(place.entries().is_empty());
    assert!(!image.has(0) && !sample.reads(&image, 0) && !image.write(0, sample.block(0)));
    assert_eq!(image.missing(), 2);
    let again = cache.image(&sample.content).unwrap();
    assert!(again.write(1, sample.block(1)));
    drop(image);
    assert_eq!(sample.readable(&again), [1]);
    cache.forget(&content(5));
}

#[test]
fn another_version_of_an_image_has_none_of_its_blocks() {
    let (place, sample) = (Place::new(), Sample::new(2 * BLOCK));
    let cache = place.open(PLENTY);
    sample.write_all(&cache.image(&sample.content).unwrap());
    let (image, size) = (sample.content.image(), sample.content.size());
    let other = super::super::testing::hashed(image, size, "sha512", "aa");
    let larger = super::super::Identity::new(image, size + 1, sample.content.checksums().clone());
    for content in [other, larger] {
        let image = cache.image(&content).unwrap();
        assert!(!image.has(0) && !image.has(1));
    }
}

#[test]
fn an_empty_image_and_one_of_any_claimed_size_do_no_harm() {
    let place = Place::new();
    let cache = place.open(PLENTY);
    let image = cache.image(&content(0)).unwrap();
    assert!(image.is_complete() && !image.has(0) && !image.read(0, &mut []) && !image.write(0, &[]));
    for size in [u64::MAX, 1 << 60, 1 << 50] {
        assert!(cache.image(&content(size)).is_err());
        assert!(DiskImage::anonymous(&place.folder(), &content(size)).is_err());
    }
    assert!(place.entries().len() <= 1, "nothing is left of what was refused");
}

#[test]
fn an_anonymous_image_keeps_blocks_and_leaves_no_file() {
    let (place, sample) = (Place::new(), Sample::new(3 * BLOCK + 5));
    let folder = place.folder();
    fs::create_dir(&folder).unwrap();
    let image = DiskImage::anonymous(&folder, &sample.content).unwrap();
    assert!(image.write(0, sample.run(0, 2)) && image.write(3, sample.block(3)));
    assert_eq!(sample.readable(&image), [0, 1, 3]);
    assert!(image.write(2, sample.block(2)));
    assert!(image.is_complete() && image.seal(&sample.proof()).unwrap());
    assert_eq!(sample.readable(&image), [0, 1, 2, 3]);
    assert_eq!(fs::read_dir(&folder).unwrap().count(), 0);
}

#[test]
fn an_anonymous_image_that_does_not_fit_on_the_disk_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let refused = DiskImage::anonymous(folder.path(), &content(1 << 50)).unwrap_err();
    assert_eq!(refused.kind(), std::io::ErrorKind::StorageFull);
}
