//! What holds in whatever order threads come to the cache.

use shuttle::rand::{Rng, thread_rng};
use shuttle::thread;

use super::*;
use crate::image::Checksums;
use crate::sync::interleave;

/// Bytes of an image: so few, because all of them are filled in thousands of times.
const SIZE: u64 = 64;

/// An image of a single block, whose id is the same in each run, so that a schedule that fails fails again.
fn content(number: u8) -> Identity {
    let image = format!("00000000-0000-4000-8000-0000000000{number:02x}").parse().unwrap();
    Identity::new(image, SIZE, Checksums::default())
}

fn cache(images: u64) -> Arc<Cache> {
    Arc::new(Cache::with_shards(Budget::new(images * SIZE), 2))
}

/// The bytes of an image, where there is memory for them: all of them are its number.
fn made(cache: &Cache, number: u8) -> Option<Run> {
    let mut buffer = cache.try_buffer(SIZE).ok()?;
    buffer.whole().fill(number);
    Some(Run::new(&content(number), 0..1, buffer).unwrap())
}

#[track_caller]
fn assert_right(run: &Run, number: u8) {
    assert_eq!(run.bytes_of(&content(number), &(0..SIZE)), Some([number; 64].as_slice()));
}

/// What one reader does. Answers what it goes on holding.
fn read(cache: &Cache) -> Option<(Run, u8)> {
    let mut random = thread_rng();
    let number = random.gen_range(1..6);
    let content = content(number);
    let how = if random.gen_bool(0.5) { Use::Kept } else { Use::Passing };
    let run = cache.get(&content, 0, how).or_else(|| {
        let run = made(cache, number)?;
        cache.put(run.clone());
        Some(run)
    })?;
    assert_right(&run, number);
    match random.gen_range(0..6) {
        0 => cache.forget_content(&content),
        1 => cache.passed(&run),
        _ => {}
    }
    Some((run, number))
}

#[test]
fn a_block_that_is_found_is_the_one_asked_for_and_stays_right_while_it_is_held() {
    interleave(2000, || {
        let cache = cache(4);
        let readers = [(); 3].map(|()| {
            let cache = Arc::clone(&cache);
            thread::spawn(move || {
                let mut held: Option<(Run, u8)> = None;
                for _ in 0..4 {
                    let next = read(&cache);
                    if let Some((run, number)) = &held {
                        assert_right(run, *number);
                    }
                    held = next;
                }
            })
        });
        for reader in readers {
            reader.join().unwrap();
        }
        let budget = cache.budget();
        assert!(budget.peak() <= budget.total());
        assert_eq!((budget.held(), cache.held_by_others()), (cache.count() * SIZE, 0));
        // Nobody holds anything any more, so that all of it makes room.
        drop(cache.try_buffer(budget.total()).unwrap());
        assert_eq!((budget.held(), cache.count()), (0, 0));
    });
}

#[test]
fn memory_that_nobody_holds_is_never_refused() {
    interleave(2000, || {
        let cache = cache(3);
        for number in 1..4 {
            cache.put(made(&cache, number).unwrap());
        }
        // A reader of one image has moved on just now, so that its block goes from one order to the other.
        let other = Arc::clone(&cache);
        let mover = thread::spawn(move || {
            let place = Place::of(&content(1), 0);
            drop(other.shard(&place).and_then(|mut shard| shard.passed(place.clone())));
        });
        let takers = [(); 3].map(|()| {
            let cache = Arc::clone(&cache);
            thread::spawn(move || cache.try_buffer(SIZE).unwrap())
        });
        mover.join().unwrap();
        let taken = takers.map(|taker| taker.join().unwrap());
        assert_eq!((cache.count(), cache.budget().held()), (0, 3 * SIZE));
        drop(taken);
        assert_eq!(cache.budget().held(), 0);
    });
}
