//! Whatever is done to a file that is being written, in whatever order: the image is what a model of the file says.

use std::fs::File;
use std::os::unix::fs::FileExt;

use rustix::fs::FallocateFlags;

use crate::content::assert_same;
use crate::target::Target;
use crate::tools::shell;
use crate::uploading::{assert_holds, becomes_active, made};

crate::promises![Both:
    whatever_is_done_to_a_file_in_whatever_order_the_image_is_the_same,
    a_child_that_exits_while_its_parent_writes_seals_nothing,
];

/// No file of these tests is longer.
const LONGEST: u64 = 3 << 20;

/// How many files are written, and how much is done to each.
fn rounds() -> (u64, usize) {
    if std::env::var_os("GLANCEFS_TEST_LONG").is_some() { (40, 300) } else { (4, 60) }
}

/// A file in memory, with what fallocate(2) and pwrite(2) do to it.
#[derive(Default)]
struct Model(Vec<u8>);

impl Model {
    fn extend(&mut self, end: u64) {
        let end = usize::try_from(end).unwrap();
        self.0.resize(self.0.len().max(end), 0);
    }

    fn write(&mut self, offset: u64, bytes: &[u8]) {
        self.extend(offset + bytes.len() as u64);
        let offset = usize::try_from(offset).unwrap();
        self.0[offset..offset + bytes.len()].copy_from_slice(bytes);
    }

    fn zero(&mut self, offset: u64, length: u64) {
        let at = |place: u64| usize::try_from(place).unwrap().min(self.0.len());
        let range = at(offset)..at(offset + length);
        self.0[range].fill(0);
    }
}

/// Does one thing to both.
fn step(random: &mut fastrand::Rng, file: &File, model: &mut Model) -> String {
    let (offset, length) = (random.u64(..LONGEST / 2), random.u64(1..LONGEST / 4));
    let allocate = |flags| rustix::fs::fallocate(file, flags, offset, length).unwrap();
    match random.u32(..8) {
        0 => {
            let length = random.u64(..LONGEST);
            file.set_len(length).unwrap();
            model.0.resize(usize::try_from(length).unwrap(), 0);
            format!("truncate to {length}")
        }
        1 => {
            allocate(FallocateFlags::empty());
            model.extend(offset + length);
            format!("reserve {length} at {offset}")
        }
        2 => {
            allocate(FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE);
            model.zero(offset, length);
            format!("punch {length} at {offset}")
        }
        3 => {
            allocate(FallocateFlags::ZERO_RANGE);
            model.extend(offset + length);
            model.zero(offset, length);
            format!("zero {length} at {offset}")
        }
        4 => {
            file.sync_all().unwrap();
            "sync".to_owned()
        }
        _ => {
            let mut bytes = vec![0; 1 << random.u32(..18)];
            random.fill(&mut bytes);
            file.write_all_at(&bytes, offset).unwrap();
            model.write(offset, &bytes);
            format!("write {} at {offset}", bytes.len())
        }
    }
}

fn whatever_is_done_to_a_file_in_whatever_order_the_image_is_the_same(target: &Target) {
    let (files, steps) = rounds();
    let mount = target.mount("demo");
    for seed in 0..files {
        let folder = made(target, &mount, &format!("model-{seed}"));
        let (mut random, mut model) = (fastrand::Rng::with_seed(seed), Model::default());
        let file = File::options().read(true).write(true).open(folder.join("data")).unwrap();
        let mut done = Vec::new();
        for number in 0..steps {
            done.push(step(&mut random, &file, &mut model));
            if number % 10 == 9 {
                // Another program sees the same.
                let what = format!("seed {seed}: {}", done.join(", "));
                assert_same(&std::fs::read(folder.join("data")).unwrap(), &model.0, &what);
            }
        }
        // So that it is not what a program leaves that goes on later.
        file.write_all_at(b"end", 0).unwrap();
        model.write(0, b"end");
        drop(file);
        assert_holds(target, &folder, &model.0, &format!("seed {seed}: {}", done.join(", ")));
    }
    mount.end();
}

fn a_child_that_exits_while_its_parent_writes_seals_nothing(target: &Target) {
    let mount = target.mount("demo");
    let folder = made(target, &mount, "forked");
    let program = "
import os
file = os.open('data', os.O_WRONLY)
os.write(file, b'before ')
if os.fork() == 0:
    os._exit(0)
os.wait()
assert open('status').read() == 'queued\\n'
os.write(file, b'after')
os.close(file)
assert open('status').read() == 'active\\n'
";
    shell(&folder, &format!("python3 -c \"{program}\""));
    becomes_active(&folder);
    assert_holds(target, &folder, b"before after", "fork");
    mount.end();
}
