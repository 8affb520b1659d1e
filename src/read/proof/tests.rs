//! The proof of a content, without a service.

use super::*;
use crate::budget::Budget;
use crate::cache::{BLOCK, Cache};
use crate::image::{Checksums, ImageId};

const ROOM: u64 = 1 << 30;

/// What is fetched again while anybody waits.
const AGAIN: u64 = 24 * BLOCK;

/// A content of so many blocks, each filled with its number, and its proof.
struct Image {
    identity: Identity,
    cache: Cache,
    proof: Proof,
}

fn fill(block: u64) -> u8 {
    u8::try_from(block % 251).unwrap()
}

fn image(blocks: u64) -> Image {
    let mut hash = Hash::named("sha512").unwrap();
    (0..blocks).for_each(|block| hash.feed(&vec![fill(block); usize::try_from(BLOCK).unwrap()]));
    let checksums = Checksums { md5: None, algorithm: Some("sha512".into()), value: Some(hash.finish().into()) };
    let identity = Identity::new(ImageId::random(), blocks * BLOCK, checksums);
    let proof = Proof::new(&identity, AGAIN);
    Image { identity, cache: Cache::new(Budget::new(64 << 20)), proof }
}

impl Image {
    fn run(&self, blocks: Range<u64>) -> Run {
        let range = self.identity.bytes(&blocks);
        let mut buffer = self.cache.try_buffer(range.end - range.start).unwrap();
        for block in blocks.clone() {
            buffer.fill(&vec![fill(block); usize::try_from(BLOCK).unwrap()]);
        }
        Run::new(&self.identity, blocks, buffer).unwrap()
    }

    /// A reader gets these blocks.
    fn see(&self, blocks: Range<u64>, room: u64) {
        let run = self.run(blocks);
        if self.proof.note(&run.range(), &run, room) {
            self.work();
        }
    }

    fn work(&self) {
        loop {
            match self.proof.next() {
                Work::Feed => self.proof.feed(),
                Work::Fetch(blocks) => self.proof.give(&self.run(blocks)),
                Work::Judge => self.proof.publish(self.proof.judge().unwrap()),
                Work::Rest => return,
            }
        }
    }
}

#[test]
fn an_image_read_from_end_to_end_is_proved() {
    let image = image(20);
    for block in (0..20).step_by(4) {
        assert_ne!(image.proof.verified(), Verified::Yes);
        image.see(block..block + 4, ROOM);
    }
    assert_eq!(image.proof.verified(), Verified::Yes);
    assert_eq!(image.cache.budget().held(), 0, "no memory is kept");
}

#[test]
fn blocks_seen_in_any_order_are_proved_and_hashed_once() {
    for seed in 0..20 {
        let mut random = fastrand::Rng::with_seed(seed);
        let image = image(16);
        let mut order: Vec<u64> = (0..16).collect();
        random.shuffle(&mut order);
        for block in &order {
            image.see(*block..block + 1, ROOM);
        }
        assert_eq!(image.proof.verified(), Verified::Yes, "seed {seed}: {order:?}");
    }
}

#[test]
fn reads_that_overtake_each_other_are_hashed_from_memory() {
    let image = image(16);
    for block in [2, 1, 0, 5, 3, 4, 7, 6, 9, 10, 11, 8, 15, 14, 13, 12] {
        let run = image.run(block..block + 1);
        image.proof.note(&run.range(), &run, ROOM);
    }
    while image.proof.next() == Work::Feed {
        image.proof.feed();
    }
    assert_eq!(image.proof.next(), Work::Judge, "nothing had to be fetched");
    image.work();
    assert_eq!(image.proof.verified(), Verified::Yes);
}

#[test]
fn without_room_the_bytes_are_fetched_again_and_the_proof_is_the_same() {
    let image = image(16);
    for block in 0..16 {
        image.see(block..block + 1, 0);
    }
    assert_eq!(image.proof.verified(), Verified::Yes);
}

#[test]
fn bytes_that_a_reader_got_and_others_that_were_hashed_are_no_proof_of_each_other() {
    let image = image(16);
    let mut buffer = image.cache.try_buffer(BLOCK).unwrap();
    buffer.whole().fill(fill(9) ^ 1);
    let damaged = Run::new(&image.identity, 9..10, buffer).unwrap();
    assert!(!image.proof.note(&damaged.range(), &damaged, 0), "it is not the turn of this block");
    assert!(!image.proof.agrees(&image.run(8..16)) && image.proof.agrees(&image.run(0..8)));
    image.see(0..8, 0);
    assert_eq!(image.proof.verdict().map(drop), None);
    // Without room for it, the hash gets the sound ones.
    image.see(8..9, 0);
    let Some(Err(ReadError::OtherBytes { .. })) = image.proof.verdict() else { panic!("{:?}", image.proof) };
    assert_eq!(image.proof.verified(), Verified::No);
}

#[test]
fn what_was_proved_before_says_nothing_where_a_reader_has_got_other_bytes() {
    let image = image(16);
    image.see(9..10, 0);
    assert!(!image.proof.accept(|tags| tags.agrees(9, image.run(8..9).tags(&(8..9)))));
    assert_eq!(image.proof.verified(), Verified::No);
}

#[test]
fn what_was_proved_before_is_told_until_other_bytes_come_however_often_it_is_found() {
    let image = image(16);
    assert!(image.proof.accept(|_| true));
    assert!(!image.proof.accept(|_| true), "it is known");
    image.see(0..8, ROOM);
    assert_eq!(image.proof.verified(), Verified::Yes);
    image.proof.is_fetched();
    assert_eq!(image.proof.verified(), Verified::No);
    assert!(!image.proof.accept(|_| false), "readers have got other bytes");
    assert!(image.proof.accept(|tags| tags.agrees(0, image.run(0..8).tags(&(0..8)))), "or the same");
    image.proof.is_fetched();
    // What readers got until then is hashed with what comes now.
    image.see(8..16, ROOM);
    assert_eq!(image.proof.verified(), Verified::Yes);
}

#[test]
fn what_a_reader_gets_while_the_disk_is_asked_is_not_vouched_for() {
    let image = image(16);
    let meanwhile = |_: &disk::Proof| {
        image.see(9..10, 0);
        true
    };
    assert!(!image.proof.accept(meanwhile));
    assert_eq!(image.proof.verified(), Verified::No);
    assert!(image.proof.accept(|_| true), "the next one who looks asks for that too");
}

#[test]
fn who_has_read_all_of_an_image_waits_for_the_verdict_however_much_is_to_be_fetched_again() {
    let image = image(40);
    for blocks in [1..8, 8..16, 16..24, 24..32, 32..40] {
        let run = image.run(blocks);
        assert!(!image.proof.note(&run.range(), &run, 0), "it is not the turn of these blocks");
    }
    let (mut own, first) = (Seen::new(40), image.run(0..1));
    assert!(image.proof.note(&first.range(), &first, 0));
    own.note(0..BLOCK, false);
    let full = |own: &Seen| image.proof.is_full(16 * BLOCK, own);
    assert!(!image.proof.is_due(&own) && !full(&own), "others have read at random places");
    own.note(BLOCK..8 * BLOCK, false);
    assert!(full(&own) && !full(&Seen::new(40)), "it is not to be further than the hash");
    own.note(8 * BLOCK..40 * BLOCK, true);
    assert!(image.proof.is_due(&own) && !image.proof.is_due(&Seen::new(40)));
    image.work();
    assert!(!image.proof.is_due(&own) && !full(&own));
    assert_eq!(image.proof.verified(), Verified::Yes);
}

#[test]
fn a_byte_that_is_different_is_found() {
    let image = image(9);
    image.see(0..8, ROOM);
    let mut buffer = image.cache.try_buffer(BLOCK).unwrap();
    buffer.whole().fill(fill(8) ^ 1);
    let run = Run::new(&image.identity, 8..9, buffer).unwrap();
    assert!(image.proof.note(&run.range(), &run, ROOM));
    assert!(image.proof.is_due(&Seen::new(16)));
    image.work();
    assert!(matches!(image.proof.verdict(), Some(Err(ReadError::HashMismatch { .. }))));
    assert_eq!(image.proof.verified(), Verified::No);
}

#[test]
fn a_part_is_told_as_a_part() {
    let image = image(16);
    image.see(8..16, ROOM);
    assert_eq!(image.proof.verified(), Verified::No);
    image.see(0..3, ROOM);
    assert_eq!(image.proof.verified(), Verified::Part(3 * BLOCK));
    assert!(!image.proof.is_due(&Seen::new(16)));
}

#[test]
fn a_reader_is_held_back_only_when_its_share_of_memory_waits_for_the_hash() {
    let image = image(16);
    let one = image.run(0..8);
    assert!(image.proof.note(&one.range(), &one, ROOM));
    assert!(!image.proof.is_full(17 * BLOCK, &Seen::new(16)));
    assert!(image.proof.is_full(16 * BLOCK, &Seen::new(16)));
    image.work();
    assert!(!image.proof.is_full(BLOCK, &Seen::new(16)));
}

#[test]
fn a_hash_that_nobody_can_compute_holds_nothing() {
    let checksums = Checksums { md5: None, algorithm: Some("shake_128".into()), value: Some("00".into()) };
    let proof = Proof::new(&Identity::new(ImageId::random(), 8 * BLOCK, checksums), AGAIN);
    assert_eq!((proof.verified(), proof.is_due(&Seen::new(16))), (Verified::Unknown, false));
}

#[test]
fn the_hash_of_nothing_is_compared_at_once() {
    let empty = |md5: &str| {
        let checksums = Checksums { md5: Some(md5.into()), ..Checksums::default() };
        Proof::new(&Identity::new(ImageId::random(), 0, checksums), AGAIN).verified()
    };
    assert_eq!(empty("d41d8cd98f00b204e9800998ecf8427e"), Verified::Yes);
    assert_eq!(empty("d41d8cd98f00b204e9800998ecf8427f"), Verified::No);
}

#[tokio::test]
async fn all_who_wait_hear_that_the_worker_gave_up_and_nobody_who_comes_later() {
    let image = image(16);
    image.see(1..8, 0);
    let (first, never) = (image.run(0..1), |_: &Proof| false);
    assert!(image.proof.note(&first.range(), &first, 0));
    let before = image.proof.given_up();
    let error = ReadError::TimedOut { image: image.identity.image(), waited: std::time::Duration::ZERO };
    let waiting = futures_util::future::join(image.proof.wait(before, never), image.proof.wait(before, never));
    let (both, ()) = futures_util::future::join(waiting, async { image.proof.give_up(error) }).await;
    assert!(both.0.is_err() && both.1.is_err());
    assert!(image.proof.needs_worker(), "there is work, and nobody at it");
    let later = image.proof.wait(image.proof.given_up(), |proof| proof.hashed() == 8 * BLOCK);
    let (later, ()) = futures_util::future::join(later, async { image.work() }).await;
    assert!(later.is_ok());
}
