//! Services that fail, forget tokens, go away, or give bytes that are wrong.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::time::{Duration, Instant};

use glancefs::server::{Fault, Faults, Ranges};
use serde_json::json;

use crate::content::{assert_same, compare_at_random, compare_where_it_can_be_read, noise};
use crate::login::{attempt, is_refused, token_only};
use crate::lot::seed;
use crate::target::Target;
use crate::tools::{attribute, shell, tool};

crate::promises![Embedded:
    a_fault_in_a_range_is_only_a_wait,
    a_fault_in_a_stream_is_only_a_wait,
    in_a_storm_of_faults_each_read_is_right_or_an_error,
    failures_without_end_are_an_error_with_a_sentence,
    a_token_that_was_revoked_is_replaced,
    a_token_that_is_revoked_midway_is_replaced,
    an_image_that_is_deleted_midway_is_right_or_stale,
    a_token_that_expired_is_refused,
    a_service_that_stops_leaves_what_is_known,
    a_service_that_comes_back_is_read_again,
    a_service_that_is_away_for_ten_seconds_costs_a_wait_or_an_error,
    damaged_bytes_are_never_taken_for_good,
];

const NOW: [&str; 1] = ["--ttl=0s"];

/// Faults of which the first `first` requests meet those that `likes` likes. The seeds are tried in turn.
fn drawn(one_in: u32, first: u64, likes: impl Fn(u64, Option<Fault>) -> bool) -> Faults {
    let begin = seed();
    let seeds = (0..u64::MAX).map(|more| begin.wrapping_add(more));
    let fits = |faults: &Faults| (0..first).all(|number| likes(number, faults.of(number)));
    let faults = seeds.map(|seed| Faults { seed, one_in }).find(fits).unwrap();
    println!("{faults:?}");
    faults
}

/// Silence costs a minute each time, so that it is met where there is time.
fn is_long() -> bool {
    std::env::var_os("GLANCEFS_TEST_LONG").is_some()
}

/// A copy of an image, once for each fault, which the first request of the copy meets.
fn copied_with_each_fault(target: &Target, ranges: Ranges) {
    let original = noise(11, (9 << 20) + 5);
    let id = target.filled(&target.person("demo"), &json!({}), &original);
    target.behave(|behaviour| behaviour.ranges = ranges);
    let faults =
        [Fault::Closed, Fault::Cut, Fault::Broken, Fault::Unavailable, Fault::Limited, Fault::Short, Fault::Page];
    for fault in faults.into_iter().chain(is_long().then_some(Fault::Stalled)) {
        let mount = target.mount("demo");
        let copy = target.file("copy");
        let first_only = |number, met| met == (number == 0).then_some(fault);
        let faults = drawn(8, 20, first_only);
        // Opening asks for the image again, which is not the request that is to fail.
        let mut file = File::open(mount.data(&id)).unwrap();
        target.behave(|behaviour| behaviour.faults = Some(faults));
        std::io::copy(&mut file, &mut File::create(&copy).unwrap()).unwrap_or_else(|why| panic!("{fault:?}: {why}"));
        target.behave(|behaviour| behaviour.faults = None);
        assert_same(&fs::read(copy).unwrap(), &original, &format!("a copy with {fault:?}"));
        drop(file);
        assert_eq!(attribute(&mount.data(&id), "user.glancefs.verified").as_deref(), Some("yes"), "{fault:?}");
        mount.end();
    }
}

fn a_fault_in_a_range_is_only_a_wait(target: &Target) {
    copied_with_each_fault(target, Ranges::Honoured);
}

fn a_fault_in_a_stream_is_only_a_wait(target: &Target) {
    copied_with_each_fault(target, Ranges::Refused);
}

fn in_a_storm_of_faults_each_read_is_right_or_an_error(target: &Target) {
    let original = noise(17, (24 << 20) + 321);
    let id = target.filled(&target.person("demo"), &json!({}), &original);
    for ranges in [Ranges::Honoured, Ranges::Refused] {
        target.behave(|behaviour| behaviour.ranges = ranges);
        let mount = target.mount("demo");
        let data = mount.data(&id);
        let files = [(); 3].map(|()| File::open(&data).unwrap());
        let faults = drawn(2, 150, |_, met| met != Some(Fault::Stalled));
        target.behave(|behaviour| behaviour.faults = Some(faults));
        let reads = if is_long() { 24 } else { 8 };
        let failed = std::thread::scope(|scope| {
            let original = &original;
            let readers = files.iter().zip(0..).map(|(file, reader)| {
                let seed = faults.seed.wrapping_add(reader);
                scope.spawn(move || compare_where_it_can_be_read(file, original, reads, seed, libc::EIO))
            });
            let readers: Vec<_> = readers.collect();
            readers.into_iter().map(|reader| reader.join().unwrap()).sum::<usize>()
        });
        println!("{failed} of {} reads failed", 3 * reads);
        target.behave(|behaviour| behaviour.faults = None);
        assert_same(&fs::read(&data).unwrap(), &original, "after the storm");
        drop(files);
        mount.end();
    }
}

fn failures_without_end_are_an_error_with_a_sentence(target: &Target) {
    let id = target.filled(&target.person("demo"), &json!({}), &noise(12, 3 << 20));
    let mount = target.mount("demo");
    let file = File::open(mount.data(&id)).unwrap();
    // None of these brings a byte, which would count as progress.
    let fruitless = [Fault::Closed, Fault::Broken, Fault::Unavailable, Fault::Limited, Fault::Page].map(Some);
    let faults = drawn(1, 20, |_, met| fruitless.contains(&met));
    target.behave(|behaviour| behaviour.faults = Some(faults));
    let error = file.read_exact_at(&mut [0; 100], 0).unwrap_err();
    assert_eq!(error.raw_os_error(), Some(libc::EIO));
    target.behave(|behaviour| behaviour.faults = None);
    let sentence = attribute(&mount.data(&id), "user.glancefs.error").unwrap();
    println!("{sentence}");
    assert!(!sentence.contains('<') && sentence.len() > 20, "{sentence}");
    file.read_exact_at(&mut [0; 100], 0).unwrap();
}

fn a_token_that_was_revoked_is_replaced(target: &Target) {
    let demo = target.person("demo");
    let original = noise(13, 20 << 20);
    let id = target.filled(&demo, &json!({}), &original);
    let mount = target.mount_with("demo", &NOW);
    let file = File::open(mount.data(&id)).unwrap();
    let mut found = vec![0; 4096];
    for place in [0, 5 << 20, 10 << 20, 19 << 20] {
        file.read_exact_at(&mut found, place).unwrap();
        assert_same(&found, &original[usize::try_from(place).unwrap()..][..4096], "after a token was revoked");
        target.server(glancefs::server::Server::revoke_all_tokens);
    }
    assert!(shell(&mount.root(), "ls by-id").contains(&id));
    assert_same(&fs::read(mount.data(&id)).unwrap(), &original, "the whole image");
}

/// Reads an image of both kinds of stores piece by piece, and does something after each piece.
fn read_midway(
    target: &Target,
    original: &[u8],
    mut between: impl FnMut(&str),
    judge: impl Fn(std::io::Result<()>) -> bool,
) {
    for ranges in [Ranges::Honoured, Ranges::Refused] {
        let id = target.filled(&target.person("demo"), &json!({}), original);
        // So slow that most of the image is still to come when the first piece has been read.
        target.behave(|behaviour| (behaviour.ranges, behaviour.rate) = (ranges, Some(8 << 20)));
        let mount = target.mount_with("demo", &NOW);
        let file = File::open(mount.data(&id)).unwrap();
        let mut found = vec![0; 1 << 20];
        for (number, piece) in original.chunks(found.len()).enumerate() {
            let found = &mut found[..piece.len()];
            if !judge(file.read_exact_at(found, (number as u64) << 20)) {
                break;
            }
            assert_same(found, piece, &format!("piece {number} with ranges {ranges:?}"));
            target.behave(|behaviour| behaviour.rate = None);
            between(&id);
        }
        drop(file);
        mount.end();
    }
}

fn a_token_that_is_revoked_midway_is_replaced(target: &Target) {
    let original = noise(18, (12 << 20) + 99);
    let revoke = |_: &str| target.server(glancefs::server::Server::revoke_all_tokens);
    let judge = |read: std::io::Result<()>| read.map(|()| true).unwrap();
    read_midway(target, &original, revoke, judge);
}

fn an_image_that_is_deleted_midway_is_right_or_stale(target: &Target) {
    let original = noise(19, (12 << 20) + 99);
    let demo = target.person("demo");
    let mut deleted = None;
    let delete = |id: &str| {
        if deleted.as_deref() != Some(id) {
            target.delete(&demo, id);
            deleted = Some(id.to_owned());
        }
    };
    let judge = |read: std::io::Result<()>| match read.map_err(|error| error.raw_os_error()) {
        Ok(()) => true,
        Err(Some(libc::ESTALE)) => false,
        Err(other) => panic!("errno {other:?}"),
    };
    read_midway(target, &original, delete, judge);
}

fn a_service_that_stops_leaves_what_is_known(target: &Target) {
    let demo = target.person("demo");
    let original = noise(14, 40 << 20);
    let name = target.name("known");
    let id = target.filled(&demo, &json!({"name": name}), &original);
    let unread = target.filled(&demo, &json!({"name": target.name("unread")}), b"never read");
    let mount = target.mount_with("demo", &NOW);
    let file = File::open(mount.data(&id)).unwrap();
    let mut found = vec![0; 300_000];
    file.read_exact_at(&mut found, 0).unwrap();
    let listed = shell(&mount.root(), "ls by-id by-name");
    target.stop();

    assert_eq!(shell(&mount.root(), "ls by-id by-name"), listed);
    assert_eq!(fs::metadata(mount.path("by-name").join(&name).join("data")).unwrap().len(), 40 << 20);
    assert_eq!(fs::read_to_string(mount.data(&id).with_file_name("status")).unwrap(), "active\n");
    found.fill(0);
    file.read_exact_at(&mut found, 0).unwrap();
    assert_same(&found, &original[..found.len()], "what was read before");

    let begun = Instant::now();
    let error = file.read_exact_at(&mut found, 30 << 20).unwrap_err();
    assert_eq!(error.raw_os_error(), Some(libc::EHOSTUNREACH), "{error}");
    let error = fs::read(mount.data(&unread)).unwrap_err();
    assert_eq!(error.raw_os_error(), Some(libc::EHOSTUNREACH), "{error}");
    println!("two failures took {:?}", begun.elapsed());
    assert!(begun.elapsed() < Duration::from_mins(1), "{:?}", begun.elapsed());
    let sentence = attribute(&mount.data(&unread), "user.glancefs.error").unwrap();
    assert!(sentence.contains("127.0.0.1"), "{sentence}");
    drop(file);
    mount.end();
}

fn a_service_that_comes_back_is_read_again(target: &Target) {
    let original = noise(15, 20 << 20);
    let id = target.filled(&target.person("demo"), &json!({}), &original);
    let mount = target.mount_with("demo", &NOW);
    let file = File::open(mount.data(&id)).unwrap();
    file.read_exact_at(&mut [0; 10], 0).unwrap();
    let settings = target.stop();
    // It forgets all tokens, too.
    target.start(settings);
    let mut found = vec![0; 4096];
    file.read_exact_at(&mut found, 15 << 20).unwrap();
    assert_same(&found, &original[15 << 20..][..4096], "through a file that was open");
    compare_at_random(&mount.data(&id), &original, 50, seed());
}

/// What a reader may be told while nothing listens.
const AWAY: [Option<i32>; 3] = [Some(libc::EHOSTUNREACH), Some(libc::ETIMEDOUT), Some(libc::EIO)];

fn a_service_that_is_away_for_ten_seconds_costs_a_wait_or_an_error(target: &Target) {
    let original = noise(20, (12 << 20) + 1);
    let id = target.filled(&target.person("demo"), &json!({}), &original);
    let mount = target.mount("demo");
    let file = File::open(mount.data(&id)).unwrap();
    file.read_exact_at(&mut [0; 10], 0).unwrap();
    let settings = target.stop();
    let begun = Instant::now();
    let (back, is_back) = std::sync::mpsc::channel();
    std::thread::scope(|scope| {
        let (file, original) = (&file, &original);
        scope.spawn(move || {
            let mut found = vec![0; original.len()];
            while let Err(error) = file.read_exact_at(&mut found, 0) {
                println!("after {:?}: {error}", begun.elapsed());
                assert!(AWAY.contains(&error.raw_os_error()), "{error}");
                is_back.recv().unwrap();
            }
            println!("read after {:?}", begun.elapsed());
            assert_same(&found, original, "once the service is back");
        });
        std::thread::sleep(Duration::from_secs(10));
        target.start(settings);
        // Nobody listens where the reader only had to wait.
        let _ = back.send(());
    });
    assert!(begun.elapsed() < Duration::from_mins(2), "{:?}", begun.elapsed());
    drop(file);
    mount.end();
}

fn damaged_bytes_are_never_taken_for_good(target: &Target) {
    for ranges in [Ranges::Honoured, Ranges::Refused] {
        target.behave(|behaviour| behaviour.ranges = ranges);
        damaged_bytes_are_found(target);
    }
}

fn damaged_bytes_are_found(target: &Target) {
    let original = noise(16, (6 << 20) + 17);
    let id = target.filled(&target.person("demo"), &json!({}), &original);
    let mount = target.mount("demo");
    target.behave(|behaviour| behaviour.corrupt = true);
    let data = mount.data(&id);
    for _ in 0..2 {
        let ran = tool("cp", [&data, &target.file("copy")]);
        assert!(ran.code == Some(1) && ran.err.contains("Input/output error"), "{ran:?}");
    }
    assert_eq!(attribute(&data, "user.glancefs.verified").as_deref(), Some("no"));
    let sentence = attribute(&data, "user.glancefs.error").unwrap();
    assert!(sentence.contains("damaged") && sentence.contains(&id), "{sentence}");
    mount.end();

    // Another mount, once the service is in order.
    target.behave(|behaviour| behaviour.corrupt = false);
    let mount = target.mount("demo");
    assert_same(&fs::read(mount.data(&id)).unwrap(), &original, "from a service that is in order");
}

fn a_token_that_expired_is_refused(target: &Target) {
    target.behave(|behaviour| behaviour.token_lifetime = Duration::ZERO);
    let demo = target.person("demo");
    let none = target.file_with("none.yaml", "clouds: {}");
    let (place, ran) = attempt(&none, None, &token_only(&target.auth_url(), &demo.token));
    assert!(!ran.err.contains(&demo.token), "{}", ran.err);
    is_refused((place, ran), &["token"]);
}
