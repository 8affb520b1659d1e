//! Random operations of two processes, and damage done to their files, against a model of what has to be there.

use std::collections::BTreeSet;
use std::fs::OpenOptions;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use super::super::header::HEADER;
use super::super::testing::{PLENTY, Place, Sample, content};
use super::super::{BLOCK, DiskCache, DiskImage};

const BLOCKS: u64 = 6;

/// What one of the two does.
#[derive(Clone, Debug)]
enum Step {
    Write(u64, u64),
    Read(u64, u64),
    Punch(u64),
    Seal,
    Reopen,
    Forget,
    /// A byte of the data changes.
    Rot(u64),
    /// A byte of a tag changes.
    Blur(u64),
}

fn step() -> impl Strategy<Value = Step> {
    let run = || (0..BLOCKS).prop_flat_map(|first| (Just(first), 1..=BLOCKS - first));
    prop_oneof![
        8 => run().prop_map(|(first, count)| Step::Write(first, count)),
        6 => run().prop_map(|(first, count)| Step::Read(first, count)),
        1 => (1..=BLOCKS).prop_map(Step::Punch),
        2 => Just(Step::Seal),
        2 => Just(Step::Reopen),
        1 => Just(Step::Forget),
        1 => (0..BLOCKS * BLOCK).prop_map(Step::Rot),
        1 => (0..BLOCKS * 4).prop_map(Step::Blur),
    ]
}

/// One of the two, and the blocks that it has to have: written or read by it, and not disturbed since.
struct Process {
    cache: DiskCache,
    image: Option<Arc<DiskImage>>,
    sure: BTreeSet<u64>,
}

struct World {
    place: Place,
    sample: Sample,
    processes: [Process; 2],
    /// Something was damaged: what is there may turn out not to be, until it is read.
    damaged: bool,
}

impl World {
    fn new() -> Self {
        let (place, sample) = (Place::new(), Sample::of(content(BLOCKS * BLOCK - 7), 1));
        let processes = [0, 1].map(|_| {
            let cache = place.open(PLENTY);
            let image = cache.image(&sample.content).unwrap();
            Process { cache, image: Some(image), sure: BTreeSet::new() }
        });
        Self { place, sample, processes, damaged: false }
    }

    fn disturb(&mut self) {
        self.processes.iter_mut().for_each(|process| process.sure.clear());
    }

    fn is_sealed(&self) -> bool {
        self.processes.iter().any(|process| process.image.as_ref().unwrap().is_sealed())
    }

    fn change(&mut self, file: &str, at: u64) {
        // Readers of a sealed file look at nothing but the bytes; that is what sealed means.
        if self.is_sealed() {
            return;
        }
        let Some(entry) = self.place.entries().first().cloned() else { return };
        let file = OpenOptions::new().read(true).write(true).open(entry.join(file)).unwrap();
        let mut byte = [0];
        if file.read_at(&mut byte, at).unwrap() == 1 {
            file.write_all_at(&[byte[0] ^ 0x55], at).unwrap();
        }
        self.damaged = true;
    }

    fn run(&mut self, who: usize, step: &Step) {
        let damaged = self.damaged;
        let process = &mut self.processes[who];
        let image = process.image.clone().unwrap();
        match *step {
            Step::Write(first, count) => {
                if image.write(first, self.sample.run(first, count)) {
                    process.sure.extend(first..first + count);
                }
            }
            Step::Read(first, count) => {
                let here = self.sample.reads_run(&image, first, count);
                let sure = (first..first + count).all(|block| process.sure.contains(&block));
                assert!(here || !sure || damaged, "blocks {first} to {} are lost", first + count);
                if here {
                    process.sure.extend(first..first + count);
                }
            }
            Step::Punch(blocks) => {
                image.punch(blocks * BLOCK);
                self.disturb();
            }
            Step::Seal => {
                let complete = process.sure.len() as u64 == BLOCKS;
                let sealed = image.seal(&self.sample.proof()).unwrap();
                assert!(sealed || !complete || damaged, "all blocks are there and it was not sealed");
            }
            Step::Reopen => {
                // What is open already would be the answer again.
                drop((image, process.image.take()));
                process.image = process.cache.image(&self.sample.content).ok();
                process.sure.clear();
            }
            Step::Forget => {
                process.cache.forget(&self.sample.content);
                process.image = process.cache.image(&self.sample.content).ok();
                process.sure.clear();
            }
            Step::Rot(at) => self.change("data", at),
            Step::Blur(at) => self.change("map", HEADER + at),
        }
    }
}

#[test]
fn every_read_gives_right_bytes_or_none_and_what_was_kept_stays() {
    // A case takes milliseconds of disk work, so that their number is not that of the tests of pure functions.
    let cases = if std::env::var_os("GLANCEFS_TEST_LONG").is_some() { 500 } else { 24 };
    let mut runner = TestRunner::new(Config { cases, failure_persistence: None, ..Config::default() });
    let steps = proptest::collection::vec((0..2_usize, step()), 1..60);
    let held = runner.run(&steps, |steps| {
        let mut world = World::new();
        for (who, step) in &steps {
            world.run(*who, step);
        }
        for process in &world.processes {
            world.sample.readable(process.image.as_ref().unwrap());
        }
        Ok(())
    });
    held.unwrap_or_else(|failed| panic!("{failed}"));
}
