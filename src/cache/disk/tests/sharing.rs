//! Several processes with one folder. Two caches in one process are as strange to each other as two processes: what
//! they share is files and file locks, which belong to open files.

use super::super::BLOCK;
use super::super::testing::{PLENTY, Place, Sample, hashed};
use crate::image::ImageId;

#[test]
fn what_one_process_wrote_the_other_finds_once_it_looks() {
    let (place, sample) = (Place::new(), Sample::new(10 * BLOCK));
    let (mine, theirs) = (place.open(PLENTY), place.open(PLENTY));
    let (one, two) = (mine.image(&sample.content).unwrap(), theirs.image(&sample.content).unwrap());
    assert!(one.write(0, sample.run(0, 5)));
    assert!(!two.has(0));
    assert!(two.write(9, sample.block(9)));
    assert_eq!(sample.readable(&two), [0, 1, 2, 3, 4, 9]);
    assert!(one.write(9, sample.block(9)) && sample.readable(&one) == [0, 1, 2, 3, 4, 9]);
}

#[test]
fn a_block_that_the_other_process_punched_is_absent() {
    let (place, sample) = (Place::new(), Sample::new(4 * BLOCK));
    let (one, two) = (place.open(PLENTY).image(&sample.content).unwrap(), place.open(PLENTY));
    sample.write_all(&one);
    let two = two.image(&sample.content).unwrap();
    one.punch(2 * BLOCK);
    assert!(two.has(0) && !sample.reads(&two, 0) && !two.has(0));
    assert_eq!(sample.readable(&two), [2, 3]);
    assert!(two.write(0, sample.block(0)));
    assert!(one.write(1, sample.block(1)));
    assert_eq!((sample.readable(&one).len(), sample.readable(&two)), (4, vec![0, 2, 3]));
}

#[test]
fn a_block_that_the_other_process_punched_is_kept_again_by_one_who_did_not_notice() {
    let (place, sample) = (Place::new(), Sample::new(4 * BLOCK));
    let (mine, theirs) = (place.open(PLENTY), place.open(PLENTY));
    let (one, two) = (mine.image(&sample.content).unwrap(), theirs.image(&sample.content).unwrap());
    sample.write_all(&two);
    assert!(one.write(3, sample.block(3)) && one.punch(BLOCK) == BLOCK);
    assert!(two.has(0) && two.write(0, sample.block(0)) && sample.reads(&two, 0));
}

#[test]
fn an_image_that_the_other_process_removed_stays_right_for_those_who_have_it() {
    let hashed = hashed(ImageId::random(), 4 * BLOCK, "sha256", &"7".repeat(64));
    for sample in [Sample::new(4 * BLOCK), Sample::of(hashed, 1)] {
        let place = Place::new();
        let (mine, theirs) = (place.open(PLENTY), place.open(PLENTY));
        let image = mine.image(&sample.content).unwrap();
        sample.write_all(&image);
        theirs.forget(&sample.content);
        assert_eq!(sample.readable(&image), [0, 1, 2, 3]);
        // It seals and removes its own files, and not what is under its name by now.
        let next = theirs.image(&sample.content).unwrap();
        let entry = place.entry();
        assert!(next.write(2, sample.block(2)));
        assert!(image.seal(&sample.proof()).unwrap());
        assert_eq!((sample.readable(&image).len(), sample.readable(&next)), (4, vec![2]));
        image.lose();
        assert_eq!((sample.readable(&next), place.entry()), (vec![2], entry));
    }
}

#[test]
fn a_look_finds_what_the_other_process_wrote_and_dropped() {
    let (place, sample) = (Place::new(), Sample::new(3 * BLOCK));
    let (mine, theirs) = (place.open(PLENTY), place.open(PLENTY));
    let (one, two) = (mine.image(&sample.content).unwrap(), theirs.image(&sample.content).unwrap());
    sample.write_all(&one);
    assert!(!two.has(1) && two.look(1) && two.has(0) && sample.readable(&two) == [0, 1, 2]);
    one.punch(BLOCK);
    assert!(two.has(0) && !two.look(0) && two.look(1) && !two.look(3) && !two.look(u64::MAX));
    assert!(one.seal(&sample.proof()).is_ok_and(|sealed| !sealed));
    assert!(one.write(0, sample.block(0)) && one.seal(&sample.proof()).unwrap());
    assert!(two.look(0) && two.is_sealed());
}

#[test]
fn a_seal_is_taken_over_by_those_who_write_and_nothing_is_written_over_it() {
    let (place, sample) = (Place::new(), Sample::new(4 * BLOCK));
    let (mine, theirs) = (place.open(PLENTY), place.open(PLENTY));
    let unaware = theirs.image(&sample.content).unwrap();
    let sealed = sample.sealed_in(&mine);
    let wrong = vec![7; usize::try_from(BLOCK).unwrap()];
    assert!(!unaware.has(1) && unaware.write(1, &wrong));
    assert!(unaware.is_sealed());
    assert_eq!((sample.readable(&sealed).len(), sample.readable(&unaware).len()), (4, 4));
}

#[test]
fn wrong_bytes_of_one_process_are_replaced_by_those_of_the_other() {
    let (place, sample) = (Place::new(), Sample::new(2 * BLOCK));
    let (one, two) =
        (place.open(PLENTY).image(&sample.content).unwrap(), place.open(PLENTY).image(&sample.content).unwrap());
    let wrong = vec![7; usize::try_from(BLOCK).unwrap()];
    assert!(one.write(0, &wrong) && two.write(0, sample.block(0)));
    assert!(sample.reads(&two, 0));
    assert!(!sample.reads(&one, 0), "its tag is that of the other bytes");
}

#[test]
fn while_one_process_seals_or_punches_the_other_keeps_nothing_and_reads_on() {
    let (place, sample) = (Place::new(), Sample::new(4 * BLOCK));
    let (one, two) =
        (place.open(PLENTY).image(&sample.content).unwrap(), place.open(PLENTY).image(&sample.content).unwrap());
    assert!(two.write(0, sample.block(0)));
    let alone = one.kept.as_ref().unwrap().map.own().unwrap().unwrap();
    assert!(!two.write(1, sample.block(1)) && two.punch(BLOCK) == 0);
    assert_eq!(sample.readable(&two), [0]);
    drop(alone);
    assert!(two.write(1, sample.block(1)));
}
