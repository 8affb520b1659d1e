//! What the benches measure with: the link that plays a long and narrow way, the proxy that counts, and the arithmetic of
//! their figures.

#![expect(clippy::unwrap_used, reason = "a promise that does not hold ends with a panic")]

#[expect(dead_code, reason = "shared with the benches, which ask for more")]
#[expect(
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::cast_precision_loss,
    reason = "shared with the benches, which print figures"
)]
#[path = "../../benches/common/mod.rs"]
mod common;
#[path = "../../benches/read/link/mod.rs"]
mod link;
#[expect(dead_code, reason = "shared with the bench, which asks for more")]
#[path = "../../benches/read/preads.rs"]
mod preads;

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use common::http::Connection;
use common::options::Options;
use common::process::processor_time;
use common::proxy::Proxy;
use common::stats::{median, spread};
use common::table::{Row, Wanted, time};
use link::{Link, Schedule, Way};
use preads::{Buffer, PAGE, pages};

const MILLISECOND: Duration = Duration::from_millis(1);

#[test]
fn a_byte_leaves_after_the_delay_and_not_before() {
    let begun = Instant::now();
    let mut way = Schedule::new(10 * MILLISECOND, None, begun);
    way.take(begun + 5 * MILLISECOND, 100);
    assert_eq!(way.next(), Some(begun + 15 * MILLISECOND));
    assert_eq!(way.leave(begun + 14 * MILLISECOND), 0);
    assert_eq!(way.leave(begun + 15 * MILLISECOND), 100);
    assert_eq!((way.held(), way.next()), (0, None));
}

#[test]
fn many_bytes_leave_at_the_rate_and_one_delay_later() {
    let begun = Instant::now();
    let mut way = Schedule::new(10 * MILLISECOND, Some(1_000_000), begun);
    for _ in 0..100 {
        way.take(begun, 1_000);
    }
    // A thousand bytes a millisecond, the first of them after one more.
    for passed in 0..=100 {
        let left: usize = way.leave(begun + (10 + passed) * MILLISECOND);
        assert_eq!(left, if passed == 0 { 0 } else { 1_000 }, "after {passed} ms");
    }
}

#[test]
fn an_idle_way_saves_up_no_rate() {
    let begun = Instant::now();
    let mut way = Schedule::new(Duration::ZERO, Some(1_000_000), begun);
    let later = begun + Duration::from_secs(1);
    way.take(later, 10_000);
    assert_eq!(way.next(), Some(later + 10 * MILLISECOND));
}

#[test]
fn a_thread_that_wakes_up_late_loses_no_rate() {
    let begun = Instant::now();
    let mut way = Schedule::new(Duration::ZERO, Some(1_000_000), begun);
    way.take(begun, 10_000);
    // Looked at 30 ms later; the bytes have been there all the time.
    way.take(begun, 10_000);
    assert_eq!(way.leave(begun + 30 * MILLISECOND), 20_000);
    assert_eq!(way.open_from(), begun + 16 * MILLISECOND);
}

#[test]
fn nothing_leaves_a_new_connection_before_its_handshake() {
    let begun = Instant::now();
    let mut way = Schedule::new(10 * MILLISECOND, None, begun + 20 * MILLISECOND);
    way.take(begun, 1);
    assert_eq!(way.next(), Some(begun + 30 * MILLISECOND));
}

#[test]
fn every_byte_passes_a_link_in_both_directions_and_in_order() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let target = listener.local_addr().unwrap();
    let echo = thread::spawn(move || {
        for stream in listener.incoming().take(3) {
            thread::spawn(move || {
                let mut stream = stream.unwrap();
                let mut bytes = Vec::new();
                stream.read_to_end(&mut bytes).unwrap();
                stream.write_all(&bytes).unwrap();
            });
        }
    });
    let way = Way { round_trip: 2 * MILLISECOND, rate: Some(500_000_000) };
    let link = Link::start(target, way).unwrap();
    let clients: Vec<_> = (0..3)
        .map(|seed| {
            let address = link.address();
            thread::spawn(move || sends_and_gets_back(address, seed))
        })
        .collect();
    for client in clients {
        client.join().unwrap();
    }
    echo.join().unwrap();
}

fn sends_and_gets_back(address: std::net::SocketAddr, seed: u64) {
    let mut sent = vec![0; 3 << 20];
    fastrand::Rng::with_seed(seed).fill(&mut sent);
    let mut stream = TcpStream::connect(address).unwrap();
    stream.write_all(&sent).unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    let mut got = Vec::new();
    stream.read_to_end(&mut got).unwrap();
    assert!(got == sent, "seed {seed}");
}

#[test]
fn a_link_that_is_dropped_ends_its_connections() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let link = Link::start(listener.local_addr().unwrap(), Way { round_trip: MILLISECOND, rate: None }).unwrap();
    let mut client = TcpStream::connect(link.address()).unwrap();
    client.write_all(b"x").unwrap();
    let (mut server, _) = listener.accept().unwrap();
    server.read_exact(&mut [0]).unwrap();
    drop(link);
    // The end of the stream, or a reset: nothing more comes in either case.
    assert!(matches!(client.read(&mut [0]), Ok(0) | Err(_)));
}

#[test]
fn the_median_is_the_middle_value() {
    assert!((median(&[3.0, 1.0, 2.0]) - 2.0).abs() < 1e-9);
    assert!((median(&[4.0, 1.0, 2.0, 3.0]) - 2.5).abs() < 1e-9);
    assert!(median(&[]).abs() < 1e-9);
}

#[test]
fn the_spread_is_the_range_in_medians() {
    assert!((spread(&[1.0, 2.0, 3.0]) - 1.0).abs() < 1e-9);
    assert!(spread(&[]).abs() < 1e-9);
}

#[test]
fn the_pages_of_a_seed_are_always_the_same_and_each_is_touched_once() {
    let drawn = |seed| pages(&mut fastrand::Rng::with_seed(seed), 1000, 500);
    let chosen = drawn(1);
    let different: std::collections::HashSet<_> = chosen.iter().collect();
    assert_eq!(different.len(), 500);
    assert!(chosen.iter().all(|page| *page < 1000));
    assert_eq!(chosen, drawn(1));
    assert_ne!(chosen, drawn(2));
}

#[test]
fn no_more_pages_are_drawn_than_there_are() {
    assert_eq!(pages(&mut fastrand::Rng::with_seed(1), 3, 10).len(), 3);
}

#[test]
fn a_buffer_begins_at_a_page_and_is_as_long_as_asked() {
    let mut buffer = Buffer::new(3 * PAGE);
    assert_eq!(buffer.bytes().len(), 3 * PAGE);
    assert_eq!(buffer.bytes().as_ptr().align_offset(PAGE), 0);
}

/// Answers two requests on one connection; tells where it listens.
fn answering_twice() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let host = listener.local_addr().unwrap().to_string();
    thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut asked = Vec::new();
        for answer in 1..=2 {
            while asked.windows(4).filter(|end| end == b"\r\n\r\n").count() < answer {
                let mut piece = [0; 256];
                let length = stream.read(&mut piece).unwrap();
                asked.extend_from_slice(piece.get(..length).unwrap());
            }
            stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").unwrap();
        }
    });
    host
}

#[test]
fn a_proxy_writes_down_each_request_and_changes_none() {
    let proxy = Proxy::start(&answering_twice()).unwrap();
    let mut connection = Connection::open(&proxy.address, "").unwrap();
    assert_eq!(connection.get("/one?a=b", None).unwrap(), (200, b"ok".to_vec()));
    assert_eq!(proxy.count(), 1);
    assert_eq!(connection.get("/two", None).unwrap(), (200, b"ok".to_vec()));
    assert_eq!(proxy.take(), ["GET /one?a=b", "GET /two"]);
    assert_eq!(proxy.count(), 0);
}

#[test]
fn a_figure_is_judged_by_what_was_wanted() {
    let row = |figure, wanted| Row::figure("work", (String::new(), String::new()), figure, wanted);
    assert_eq!(row(1.0, Wanted::AtMost(1.0)).is_met(), Some(true));
    assert_eq!(row(1.1, Wanted::AtMost(1.0)).is_met(), Some(false));
    assert_eq!(row(0.9, Wanted::AtLeast(1.0)).is_met(), Some(false));
    assert_eq!(row(0.9, Wanted::Shown).is_met(), None);
    assert_eq!(Row { figure: None, ..row(0.9, Wanted::AtMost(1.0)) }.is_met(), Some(false), "a side that failed");
}

#[test]
fn times_are_written_in_their_own_unit() {
    assert_eq!([2.0, 0.25, 0.000_5].map(time), ["2.00 s", "250.0 ms", "500.0 us"]);
}

#[test]
fn processor_time_is_counted_to_less_than_a_tick() {
    let own = std::process::id();
    let before = processor_time(own).unwrap();
    let sum = (0..10_000_u64).fold(0, |sum: u64, number| std::hint::black_box(sum.wrapping_mul(31) ^ number));
    assert!(processor_time(own).unwrap() > before, "{sum}");
}

#[test]
fn a_first_look_has_three_rounds_and_what_nobody_knows_is_refused() {
    let parse = |words: &str| Options::parse("", words.split(' ').map(str::to_owned), |word, _| Ok(word == "--own"));
    assert_eq!(parse("--bench --own").unwrap().unwrap().rounds, 5);
    assert_eq!(parse("--quick").unwrap().unwrap().rounds, 3);
    assert_eq!(parse("--quick --rounds 7").unwrap().unwrap().rounds, 7);
    let mounted = parse("--memory 32 -- --ttl 1s").unwrap().unwrap().mount();
    assert_eq!(mounted, ["--memory", "32MiB", "--ttl", "1s"]);
    assert!(parse("--list").unwrap().is_none());
    assert!(parse("--only").is_err(), "a value is missing");
    assert!(parse("--other").is_err());
}
