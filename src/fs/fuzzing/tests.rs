//! Whatever somebody writes, at random: drawn from what breaks texts, and from seeds that are printed.

use fastrand::Rng;

use std::collections::{BTreeMap, BTreeSet};

use super::control::{CUT, FILES};
use super::*;

/// What is put into a document to break it, or to change what it says.
const PIECES: [&str; 36] = [
    "\"",
    "\\",
    "{",
    "}",
    "[",
    "]",
    ",",
    ":",
    "\n",
    " ",
    "\\u00e9",
    "\\ud800",
    "\\u0000",
    "\"p\": ",
    "\"tags\": [",
    "\"id\": ",
    "\"size\": ",
    "\"updated_at\"",
    "null",
    "true",
    "1e400",
    "-",
    "0.5",
    "18446744073709551616",
    "\0",
    "\u{1b}",
    "\u{85}",
    "é",
    "\u{1f600}",
    "\u{feff}",
    "//",
    "'",
    "\"os_glance_x\": \"\",",
    "[[[[[[[[",
    "{\"a\":{\"a\":",
    "999999999",
];

fn damaged(random: &mut Rng, text: &mut Vec<u8>) {
    let at = random.usize(..=text.len());
    let end = text.len().min(at + random.usize(..12));
    match random.u32(..6) {
        0 => text.truncate(at),
        1 => drop(text.drain(at..end)),
        2 => drop(text.splice(at..end, random.choice(PIECES).unwrap().bytes())),
        3 => drop(text.splice(at..at, random.choice(PIECES).unwrap().bytes())),
        4 => text.extend_from_within(at..end),
        _ => text.iter_mut().skip(at).take(1).for_each(|byte| *byte = random.u8(..)),
    }
}

fn any_value(random: &mut Rng) -> Value {
    let values = [
        json!(null),
        json!(true),
        json!(0),
        json!(-1),
        json!(4.0),
        json!(u64::MAX),
        json!(""),
        json!("raw"),
        json!("x".repeat(256)),
        json!("\u{1b}[2J"),
        json!([]),
        json!(["a", "a", "\u{202e}"]),
        json!([1]),
        json!({}),
    ];
    random.choice(values).unwrap()
}

/// The document with other lines, but whole.
fn rewritten(random: &mut Rng, text: &[u8]) -> Vec<u8> {
    let Ok(Parsed::Complete(mut document)) = parse(text) else { panic!("it begins whole") };
    for _ in 0..random.u32(1..4) {
        let present = random.choice(document.keys().cloned().collect::<Vec<_>>());
        let new =
            random.choice(["os_distro", "", "a/b~c", "owner", "size", "os_glance_x", "\u{1b}"]).map(str::to_owned);
        let Some(key) = (if random.bool() { present } else { new }) else { continue };
        if random.u32(..3) == 0 {
            document.remove(&key);
        } else {
            document.insert(key, any_value(random));
        }
    }
    serde_json::to_vec_pretty(&document).unwrap()
}

#[test]
fn whatever_is_written_is_refused_or_does_what_it_says() {
    let seeds = seeds();
    let (first, rounds) = rounds(4000);
    let mut kinds = [0_u64; 3];
    for seed in first..first + rounds {
        let mut random = Rng::with_seed(seed);
        let mut text = random.choice(&seeds).unwrap().clone();
        if random.bool() {
            text = rewritten(&mut random, &text);
        }
        if random.bool() {
            (0..random.u32(1..4)).for_each(|_| damaged(&mut random, &mut text));
        }
        kinds[match parse(&text) {
            Ok(Parsed::Complete(_)) => 0,
            Ok(Parsed::Incomplete) => 1,
            Err(_) => 2,
        }] += 1;
        text.insert(0, random.u8(..4));
        let outcome = std::panic::catch_unwind(|| document(&text));
        assert!(outcome.is_ok(), "seed {seed}: {:?}", String::from_utf8_lossy(&text));
        let any: Vec<u8> = (0..random.usize(..16)).map(|_| random.u8(..)).collect();
        assert!(std::panic::catch_unwind(|| document(&any)).is_ok(), "seed {seed}: {any:?}");
    }
    assert!(kinds.iter().all(|kind| *kind > rounds / 50), "all kinds are met: {kinds:?}");
}

/// The first of the seeds, and how many there are: ten times the usual number in a long run.
fn rounds(usual: u64) -> (u64, u64) {
    let first = fastrand::u64(..1 << 32);
    println!("seeds from {first} on");
    (first, if std::env::var_os("GLANCEFS_TEST_LONG").is_some() { usual * 10 } else { usual })
}

/// Texts that mean something in one of the files.
const WORDS: [&str; 36] = [
    "disk",
    "p",
    "deactivated",
    "active",
    "queued",
    "accepted",
    "rejected",
    "pending",
    "https://example.org/disk.qcow2",
    "http://u:p@[::1]:1/x.img?y#z",
    "://",
    "MD5 (data) = 5d41402abc4b2a76b9719d911017c592",
    "SHA512 (data) = 00",
    " (data) = ",
    "retry 00000001-0000-4000-8000-000000000000",
    "discard 00000001-0000-4000-8000-000000000000",
    "{\"min_ram\": 1}",
    "{\"tags\": [",
    "\n",
    "\n\n",
    " ",
    "\t",
    "\r\n",
    "\0",
    "\u{1b}[2J",
    "\u{85}",
    "\u{2028}",
    "\u{202e}",
    "%2E",
    "%7E",
    "~01234567",
    "~",
    "4913",
    "sedABC123",
    "\u{1f600}",
    "x",
];

/// A few words, damaged or not, with the ends of writes between them.
fn any_text(random: &mut Rng) -> Vec<u8> {
    let mut text = Vec::new();
    for _ in 0..random.u32(..5) {
        text.extend_from_slice(random.choice(WORDS).unwrap().as_bytes());
        if random.u32(..4) == 0 {
            text.push(CUT);
        }
    }
    if random.bool() {
        text.push(b'\n');
    }
    if random.u32(..3) == 0 {
        damaged(random, &mut text);
    }
    text
}

#[test]
fn whatever_is_written_to_a_small_file_is_refused_or_does_what_it_says() {
    let (first, rounds) = rounds(1500);
    let mut outcomes: BTreeMap<u8, BTreeSet<i32>> = BTreeMap::new();
    for seed in first..first + rounds {
        let mut random = Rng::with_seed(seed);
        let mut data = any_text(&mut random);
        let file = u8::try_from(random.usize(..FILES.len())).unwrap();
        data.splice(0..0, [random.u8(..8), file]);
        let outcome = std::panic::catch_unwind(|| super::control::tried(&data));
        let tried = || format!("seed {seed}: {:?}: {:?}", FILES[usize::from(file)], String::from_utf8_lossy(&data));
        outcomes.entry(file).or_default().extend(outcome.unwrap_or_else(|_| panic!("{}", tried())));
    }
    assert!(outcomes.values().all(|met| met.contains(&0)), "{outcomes:?}");
    assert!(outcomes.values().any(|met| met.contains(&libc::EINVAL)), "{outcomes:?}");
}

#[test]
fn whatever_something_is_called_it_is_refused_or_there_by_that_name() {
    let (first, rounds) = rounds(1500);
    let mut outcomes = BTreeSet::new();
    for seed in first..first + rounds {
        let mut random = Rng::with_seed(seed);
        let mut data = any_text(&mut random);
        if random.u32(..4) == 0 {
            let long = random.choice(["x", "é", "/", "日", "."]).unwrap().repeat(random.usize(60..270));
            data.splice(0..0, long.bytes());
        }
        data.retain(|byte| *byte != CUT);
        data.insert(0, random.u8(..));
        let outcome = std::panic::catch_unwind(|| super::names::tried(&data));
        outcomes.extend(outcome.unwrap_or_else(|_| panic!("seed {seed}: {:?}", String::from_utf8_lossy(&data))));
    }
    assert!([0, libc::EINVAL, libc::ENAMETOOLONG].iter().all(|met| outcomes.contains(met)), "{outcomes:?}");
}
