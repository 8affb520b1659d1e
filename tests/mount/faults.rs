//! Services that fail, forget tokens, go away, or give bytes that are wrong.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::time::{Duration, Instant};

use glancefs::server::{Faults, Ranges};
use serde_json::json;

use crate::content::{assert_same, compare_at_random, noise};
use crate::login::{attempt, is_refused, token_only};
use crate::target::Target;
use crate::tools::{attribute, shell, tool};

crate::promises![Embedded:
    bytes_are_right_although_requests_fail,
    bytes_are_right_although_a_stream_breaks,
    failures_without_end_are_an_error_with_a_sentence,
    a_token_that_was_revoked_is_replaced,
    a_token_that_expired_is_refused,
    a_service_that_stops_leaves_what_is_known,
    a_service_that_comes_back_is_read_again,
    damaged_bytes_are_never_taken_for_good,
];

/// Seeds whose first ninety requests meet each fault but silence, which costs a minute each time, and none of them
/// more than three times in a row.
const SEEDS: [u64; 3] = [173, 445, 1002];

/// A seed whose first forty requests all meet a fault, and silence none of them.
const ALL_FAIL: u64 = 917;

const NOW: [&str; 1] = ["--ttl=0s"];

fn copied_with_faults(target: &Target, ranges: Ranges) {
    let original = noise(11, 9 << 20);
    let id = target.filled(&target.person("demo"), &json!({}), &original);
    target.behave(|behaviour| behaviour.ranges = ranges);
    let requests = || target.server(|server| server.traffic().requests);
    let mut cost = Vec::new();
    for faults in std::iter::once(None).chain(SEEDS.map(|seed| Some(Faults { seed, one_in: 3 }))) {
        let mount = target.mount("demo");
        let before = requests();
        target.behave(|behaviour| behaviour.faults = faults);
        let copy = target.file("copy");
        let ran = tool("cp", [&mount.data(&id), &copy]);
        assert!(ran.code == Some(0), "{faults:?}: {ran:?}");
        target.behave(|behaviour| behaviour.faults = None);
        cost.push(requests() - before);
        assert_same(&fs::read(copy).unwrap(), &original, &format!("a copy with {faults:?}"));
        assert_eq!(attribute(&mount.data(&id), "user.glancefs.verified").as_deref(), Some("yes"));
        mount.end();
    }
    println!("requests without faults, and with those of each seed: {cost:?}");
    assert!(cost[1..].iter().sum::<u64>() > cost[0] * SEEDS.len() as u64, "no fault was met");
}

fn bytes_are_right_although_requests_fail(target: &Target) {
    copied_with_faults(target, Ranges::Honoured);
}

fn bytes_are_right_although_a_stream_breaks(target: &Target) {
    copied_with_faults(target, Ranges::Refused);
}

fn failures_without_end_are_an_error_with_a_sentence(target: &Target) {
    let id = target.filled(&target.person("demo"), &json!({}), &noise(12, 3 << 20));
    let mount = target.mount("demo");
    let file = File::open(mount.data(&id)).unwrap();
    target.behave(|behaviour| behaviour.faults = Some(Faults { seed: ALL_FAIL, one_in: 1 }));
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
    compare_at_random(&mount.data(&id), &original, 50, fastrand::u64(..));
}

fn damaged_bytes_are_never_taken_for_good(target: &Target) {
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
