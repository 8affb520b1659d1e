//! A longer and narrower way to a service on this machine, for kernels without netem.
//!
//! Each connection has the round trip and the rate to itself, as towards a distant service that limits each connection.
//! Bytes pass from socket to socket through a pipe with splice(2), without being copied, so that the link costs little
//! of the processors that the measured programs share with it. Its pipe holds what is under way.
//!
//! Not played: loss, slow start, and a limit that connections share.

mod schedule;

use std::collections::HashMap;
use std::io;
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::pipe::{PipeFlags, SpliceFlags, fcntl_getpipe_size, fcntl_setpipe_size, pipe_with, splice};

pub(crate) use schedule::Schedule;

/// What a pipe should hold: more than is under way at 100 MB/s for 10 ms, also when its pages are half filled. Without
/// root the kernel grants 1 MiB, which is just that.
const PIPE: usize = 4 << 20;

/// What is taken in at once: some milliseconds at the rates that are played.
const PIECE: usize = 256 << 10;

/// How long and how narrow the way is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Way {
    /// The added round trip; each direction takes half of it.
    pub(crate) round_trip: Duration,
    /// Bytes a second towards the client, for each connection.
    pub(crate) rate: Option<u64>,
}

/// The connections that are open, by number, so that they can be ended.
type Open = Mutex<HashMap<u64, [TcpStream; 2]>>;

/// A listening link; dropping it ends its connections.
#[derive(Debug)]
pub(crate) struct Link {
    address: SocketAddr,
    over: Arc<AtomicBool>,
    open: Arc<Open>,
    listening: Option<JoinHandle<()>>,
}

impl Link {
    /// Listens on any free port of the loopback interface, and leads to `target`.
    pub(crate) fn start(target: SocketAddr, way: Way) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let address = listener.local_addr()?;
        let (over, open) = (Arc::new(AtomicBool::new(false)), Arc::new(Open::default()));
        let (ends, connections) = (Arc::clone(&over), Arc::clone(&open));
        let listening = thread::spawn(move || {
            for (number, client) in (0..).zip(listener.incoming()) {
                if ends.load(Ordering::Acquire) {
                    break;
                }
                // A connection that fails is dropped, and its client sees that.
                let _ = client.and_then(|client| lead(client, target, way, number, &connections));
            }
        });
        Ok(Self { address, over, open, listening: Some(listening) })
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Release);
        // Wakes the thread that listens.
        let woken = TcpStream::connect(self.address).is_ok();
        if let Some(listening) = self.listening.take().filter(|_| woken) {
            let _ = listening.join();
        }
        for pair in lock(&self.open).values() {
            end(pair);
        }
    }
}

fn lock(open: &Open) -> std::sync::MutexGuard<'_, HashMap<u64, [TcpStream; 2]>> {
    open.lock().unwrap_or_else(PoisonError::into_inner)
}

fn end(pair: &[TcpStream; 2]) {
    for socket in pair {
        // One that is closed already needs nothing.
        let _ = socket.shutdown(Shutdown::Both);
    }
}

/// Joins a client to the target with a thread for each direction.
fn lead(client: TcpStream, target: SocketAddr, way: Way, number: u64, open: &Arc<Open>) -> io::Result<()> {
    let server = TcpStream::connect(target)?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    let now = Instant::now();
    let half = way.round_trip / 2;
    // The kernel answers a client's handshake at once; a distant one would take a round trip, which the first bytes wait.
    let there = Direction::new(&client, &server, Schedule::new(half, None, now + way.round_trip))?;
    let back = Direction::new(&server, &client, Schedule::new(half, way.rate, now))?;
    lock(open).insert(number, [client, server]);
    let there = thread::spawn(move || there.run());
    let open = Arc::clone(open);
    thread::spawn(move || {
        let outcome = back.run();
        if outcome.is_err() {
            lock(&open).get(&number).map(end);
        }
        // A panic there is a connection that ended.
        let _ = there.join();
        lock(&open).remove(&number);
    });
    Ok(())
}

/// One direction of one connection.
#[derive(Debug)]
struct Direction {
    from: TcpStream,
    to: TcpStream,
    inlet: OwnedFd,
    outlet: OwnedFd,
    capacity: usize,
    schedule: Schedule,
    /// The pipe's places are taken, although perhaps not all of its bytes.
    full: bool,
    /// Since when there have been bytes to take, if it is known. A thread that wakes up late reckons from then.
    since: Option<Instant>,
    ended: bool,
}

impl Direction {
    fn new(from: &TcpStream, to: &TcpStream, schedule: Schedule) -> io::Result<Self> {
        let (outlet, inlet) = pipe_with(PipeFlags::CLOEXEC)?;
        let capacity = match fcntl_setpipe_size(&inlet, PIPE) {
            Ok(granted) => granted,
            Err(_) => fcntl_setpipe_size(&inlet, 1 << 20).or_else(|_| fcntl_getpipe_size(&inlet))?,
        };
        let (from, to) = (from.try_clone()?, to.try_clone()?);
        Ok(Self { from, to, inlet, outlet, capacity, schedule, full: false, since: None, ended: false })
    }

    /// Passes bytes on until the source has ended and the last one has arrived.
    fn run(mut self) -> io::Result<()> {
        loop {
            let leaving = self.schedule.leave(Instant::now());
            if leaving > 0 {
                self.deliver(leaving)?;
            } else if self.ended && self.schedule.held() == 0 {
                return self.to.shutdown(Shutdown::Write);
            } else if self.wait()? {
                self.take()?;
            }
        }
    }

    fn deliver(&mut self, bytes: usize) -> io::Result<()> {
        let mut left = bytes;
        while left > 0 {
            match splice(&self.outlet, None, &self.to, None, left, SpliceFlags::MOVE)? {
                0 => return Err(io::ErrorKind::WriteZero.into()),
                passed => left -= passed,
            }
        }
        self.full = false;
        Ok(())
    }

    /// Waits for bytes or for the next moment at which something is due; answers whether there are bytes to take.
    fn wait(&self) -> io::Result<bool> {
        let now = Instant::now();
        let room = !self.ended && !self.full && self.schedule.held() < self.capacity;
        let opens = Some(self.schedule.open_from()).filter(|opens| room && *opens > now);
        let until = [self.schedule.next(), opens].into_iter().flatten().min();
        let timeout = until.map(|until| until.saturating_duration_since(now));
        if room && opens.is_none() { is_ready(&self.from, timeout) } else { sleep(timeout) }
    }

    fn take(&mut self) -> io::Result<()> {
        let room = PIECE.min(self.capacity - self.schedule.held());
        let now = Instant::now();
        match splice(&self.from, None, &self.inlet, None, room, SpliceFlags::MOVE | SpliceFlags::NONBLOCK) {
            Ok(0) => self.ended = true,
            Ok(bytes) => {
                self.schedule.take(self.since.unwrap_or(now), bytes);
                self.since = is_ready(&self.from, Some(Duration::ZERO))?.then_some(now);
            }
            // There are bytes, so it is the pipe that has no place; it has as soon as something left it.
            Err(rustix::io::Errno::AGAIN) => self.full = self.schedule.held() > 0,
            Err(error) => return Err(error.into()),
        }
        Ok(())
    }
}

fn is_ready(socket: &TcpStream, timeout: Option<Duration>) -> io::Result<bool> {
    wait_for(&mut [PollFd::new(socket, PollFlags::IN)], timeout)
}

fn sleep(timeout: Option<Duration>) -> io::Result<bool> {
    wait_for(&mut [], timeout)
}

fn wait_for(watched: &mut [PollFd<'_>], timeout: Option<Duration>) -> io::Result<bool> {
    match poll(watched, timeout.map(timespec).as_ref()) {
        Ok(ready) => Ok(ready > 0),
        Err(rustix::io::Errno::INTR) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

fn timespec(duration: Duration) -> Timespec {
    let seconds = i64::try_from(duration.as_secs()).unwrap_or(i64::MAX);
    Timespec { tv_sec: seconds, tv_nsec: duration.subsec_nanos().into() }
}
