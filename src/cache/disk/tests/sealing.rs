//! Sealing: when it is done, what it is worth, and when it is not trusted.

use std::fs::{self, OpenOptions};
use std::os::unix::fs::FileExt;

use super::super::testing::{NONE, PLENTY, Place, Sample, hashed};
use super::super::{BLOCK, Proof};
use crate::image::ImageId;

/// An image with a hash that names its bytes for everybody.
fn named(seed: u64) -> Sample {
    let hash = format!("{seed:0>128x}");
    Sample::of(hashed(ImageId::random(), 3 * BLOCK + 5, "sha512", &hash), seed)
}

#[test]
fn a_complete_image_with_a_proof_is_sealed_and_stays_so() {
    for sample in [named(1), Sample::new(3 * BLOCK + 5)] {
        let place = Place::new();
        let image = sample.sealed_in(&place.open(PLENTY));
        for image in [image, place.open(PLENTY).image(&sample.content).unwrap()] {
            assert!(image.is_sealed() && image.is_complete() && image.has(3) && !image.has(4));
            assert_eq!(sample.readable(&image), [0, 1, 2, 3]);
            let file = image.sealed_file().unwrap();
            let mut bytes = vec![0; sample.bytes.len()];
            file.read_exact_at(&mut bytes, 0).unwrap();
            assert_eq!((bytes == sample.bytes, file.metadata().unwrap().len()), (true, sample.content.size()));
            assert!(file.write_at(b"x", 0).is_err(), "it is open for reading only");
        }
    }
}

#[test]
fn an_image_with_a_missing_block_is_not_sealed() {
    let (place, sample) = (Place::new(), named(1));
    let image = place.open(PLENTY).image(&sample.content).unwrap();
    for block in [0, 1, 3] {
        assert!(image.write(block, sample.block(block)));
        assert!(!image.seal(&sample.proof()).unwrap() && !image.is_sealed() && image.sealed_file().is_none());
    }
    assert!(image.write(2, sample.block(2)) && image.seal(&sample.proof()).unwrap());
}

#[test]
fn a_proof_of_other_bytes_seals_nothing_and_drops_what_differs() {
    let (place, sample) = (Place::new(), named(1));
    let image = place.open(PLENTY).image(&sample.content).unwrap();
    sample.write_all(&image);
    let mut other = sample.bytes.clone();
    other[usize::try_from(BLOCK).unwrap()] ^= 1;
    let mut proof = Proof::new(&sample.content);
    assert!(proof.feed(0, &super::super::Tag::all(0, &other)));
    assert!(!image.seal(&Proof::new(&sample.content)).unwrap(), "it saw nothing");
    assert!(!image.seal(&named(1).proof()).unwrap(), "it is that of another image");
    assert!(!image.seal(&proof).unwrap());
    assert_eq!(sample.readable(&image), [0, 2, 3]);
}

#[test]
fn a_sealed_image_vouches_for_blocks_that_are_its_own_and_for_no_others() {
    let (place, sample) = (Place::new(), named(1));
    let image = place.open(PLENTY).image(&sample.content).unwrap();
    let of = |bytes: &[u8]| {
        let mut proof = Proof::new(&sample.content);
        assert!(proof.note(2, &super::super::Tag::all(2, bytes)));
        proof
    };
    sample.write_all(&image);
    assert!(!image.vouches_for(&of(sample.block(2))), "it is not sealed");
    assert!(image.seal(&sample.proof()).unwrap());
    assert!(image.vouches_for(&of(sample.block(2))) && image.vouches_for(&Proof::new(&sample.content)));
    assert!(!image.vouches_for(&of(sample.block(1))));
    let last = [sample.block(2), sample.block(3)].concat();
    assert!(image.vouches_for(&of(&last)), "up to the end");
}

#[test]
fn bytes_that_changed_on_the_disk_are_not_sealed() {
    let (place, sample) = (Place::new(), named(1));
    let image = place.open(PLENTY).image(&sample.content).unwrap();
    sample.write_all(&image);
    let data = OpenOptions::new().write(true).open(place.entry().join("data")).unwrap();
    data.write_all_at(&[sample.bytes[9] ^ 1], 9).unwrap();
    assert!(!image.seal(&sample.proof()).unwrap());
    assert!(!image.has(0) && image.write(0, sample.block(0)) && image.seal(&sample.proof()).unwrap());
}

#[test]
fn a_sealed_file_that_was_changed_behind_our_back_is_not_trusted() {
    let changes: [fn(&fs::File); 3] = [
        |data| data.set_len(3 * BLOCK + 4).unwrap(),
        |data| data.set_len(3 * BLOCK + 6).unwrap(),
        |data| data.write_all_at(b"x", 0).unwrap(),
    ];
    for change in changes {
        let (place, sample) = (Place::new(), named(1));
        drop(sample.sealed_in(&place.open(PLENTY)));
        change(&OpenOptions::new().write(true).open(place.entry().join("data")).unwrap());
        let image = place.open(PLENTY).image(&sample.content).unwrap();
        assert!(!image.is_sealed());
        assert_eq!(sample.readable(&image), NONE);
    }
}

#[test]
fn a_byte_of_a_sealed_file_that_its_disk_flipped_is_not_read() {
    let (place, sample) = (Place::new(), named(1));
    drop(sample.sealed_in(&place.open(PLENTY)));
    let data = OpenOptions::new().write(true).open(place.entry().join("data")).unwrap();
    let time = data.metadata().unwrap().modified().unwrap();
    data.write_all_at(&[sample.bytes[9] ^ 1], 9).unwrap();
    data.set_modified(time).unwrap();
    let image = place.open(PLENTY).image(&sample.content).unwrap();
    assert!(sample.reads(&image, 1), "others are sound");
    assert!(!sample.reads(&image, 0) && !image.has(0));
}

#[test]
fn a_seal_that_was_torn_is_none_and_the_blocks_still_count() {
    let (place, sample) = (Place::new(), Sample::new(3 * BLOCK));
    drop(sample.sealed_in(&place.open(PLENTY)));
    OpenOptions::new().write(true).open(place.entry().join("map")).unwrap().write_all_at(&[0; 20], 2048 + 16).unwrap();
    let image = place.open(PLENTY).image(&sample.content).unwrap();
    assert_eq!((image.is_sealed(), sample.readable(&image)), (false, vec![0, 1, 2]));
}

#[test]
fn copies_of_one_image_share_a_file_once_it_is_sealed() {
    let (place, sample) = (Place::new(), named(1));
    let (size, sums) = (sample.content.size(), sample.content.checksums().clone());
    let copy = Sample::of(super::super::Identity::new(ImageId::random(), size, sums), 1);
    let cache = place.open(PLENTY);
    let image = cache.image(&sample.content).unwrap();
    sample.write_all(&image);
    assert_eq!(copy.readable(&cache.image(&copy.content).unwrap()), NONE, "a hash that is only claimed shares nothing");
    let waiting = cache.image(&copy.content).unwrap();
    copy.write_all(&waiting);
    assert!(image.seal(&sample.proof()).unwrap());
    assert!(waiting.seal(&copy.proof()).unwrap(), "the second one is sealed as well");
    assert_eq!(cache.usage().unwrap().images, 1);
    drop(waiting);
    let third = cache.image(&copy.content).unwrap();
    assert_eq!((third.is_sealed(), copy.readable(&third).len()), (true, 4));
    assert_eq!((copy.readable(&image).len(), cache.usage().unwrap().images), (4, 1));
    assert!(place.entry().to_string_lossy().contains("sha512-0"));
}

#[test]
fn a_process_that_ended_between_sealing_and_sharing_is_made_up_for() {
    let (place, sample) = (Place::new(), named(1));
    let own = {
        let image = place.open(PLENTY).image(&sample.content).unwrap();
        sample.write_all(&image);
        let own = place.entry();
        assert!(image.seal(&sample.proof()).unwrap());
        own
    };
    let shared = place.entry();
    fs::rename(&shared, &own).unwrap();
    assert!(place.open(PLENTY).image(&sample.content).unwrap().is_sealed());
    assert_eq!(place.entry(), shared);
}

#[test]
fn a_sealed_image_is_right_for_its_readers_after_it_was_forgotten() {
    let (place, sample) = (Place::new(), named(1));
    let cache = place.open(PLENTY);
    let image = sample.sealed_in(&cache);
    let file = image.sealed_file().unwrap();
    cache.forget(&sample.content);
    assert!(image.sealed_file().is_none() && !image.has(0) && place.entries().is_empty());
    let mut bytes = vec![0; sample.bytes.len()];
    file.read_exact_at(&mut bytes, 0).unwrap();
    assert!(bytes == sample.bytes);
}

#[test]
fn a_folder_with_a_shared_name_and_no_seal_is_dropped() {
    let (place, sample) = (Place::new(), named(1));
    drop(sample.sealed_in(&place.open(PLENTY)));
    OpenOptions::new().write(true).open(place.entry().join("map")).unwrap().write_all_at(&[0; 40], 2048).unwrap();
    let image = place.open(PLENTY).image(&sample.content).unwrap();
    assert_eq!((image.is_sealed(), sample.readable(&image)), (false, vec![]));
    assert!(!place.entry().to_string_lossy().contains("sha512-"));
}
