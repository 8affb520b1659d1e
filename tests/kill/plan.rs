//! What happens in a round, drawn from its seed.

use std::fmt;
use std::time::Duration;

use glancefs::server::UploadFault;

use crate::proxy::{Request, Step};

/// A round: what is written, over what kind of link, and when the daemon is killed.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) seed: u64,
    /// The mount is made with `--write-back`.
    pub(crate) write_back: bool,
    pub(crate) images: Vec<Writing>,
    /// Bytes a second that the service takes of each upload.
    pub(crate) rate: Option<u64>,
    /// How long the service waits before each answer.
    pub(crate) latency: Duration,
    /// What befalls the first uploads.
    pub(crate) faults: Vec<UploadFault>,
    pub(crate) moment: Moment,
    /// The daemon that comes next is killed too.
    pub(crate) second: Option<Moment>,
}

/// How an image is written.
#[derive(Clone, Debug)]
pub(crate) struct Writing {
    pub(crate) size: usize,
    /// Bytes in each write.
    pub(crate) piece: usize,
    /// The last piece first, into a file that was made as long as it will be.
    pub(crate) backwards: bool,
    /// After so many writes what is there is made durable.
    pub(crate) sync_after: Option<usize>,
    /// Between two writes.
    pub(crate) pause: Duration,
}

/// When the daemon is killed.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Moment {
    /// When everything is done.
    Never,
    /// After this part of what such a round takes.
    Time(f64),
    /// When the service is asked this for the nth time, counted from 0. At most steps the request stays there.
    Asked(Asked, usize, Step, Duration),
    /// When a writer is there.
    Writer(usize, At),
    /// So long after the nth change in the folder of uploads, counted from 0.
    Journal(usize, Duration),
    /// So long after the nth upload that is done began to be removed from the folder.
    Removal(usize, Duration),
}

/// What the service is asked.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Asked {
    /// To make an image.
    Create,
    /// To set the formats.
    Update,
    /// To take the bytes.
    Upload,
    /// For an image, as at the end of an upload.
    Show,
}

/// Where a writer is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum At {
    /// It has made the image.
    Made,
    /// It has made so many writes.
    Wrote(usize),
    /// It has written all, and not closed.
    Written,
    /// Its close has returned.
    Closed,
}

impl Asked {
    pub(crate) fn is(self, request: &Request) -> bool {
        match self {
            Self::Create => request.method == "POST",
            Self::Update => request.method == "PATCH",
            Self::Upload => request.is_upload(),
            Self::Show => request.is_show(),
        }
    }
}

impl Plan {
    pub(crate) fn draw(seed: u64) -> Self {
        let mut random = fastrand::Rng::with_seed(seed);
        let images: Vec<_> = (0..random.usize(2..=6)).map(|_| Writing::draw(&mut random)).collect();
        let faults = if random.u8(..4) == 0 { draw_faults(&mut random) } else { Vec::new() };
        Self {
            seed,
            write_back: random.bool(),
            rate: random.bool().then(|| random.u64((3 << 20)..(20 << 20))),
            latency: Duration::from_millis(random.choice([0, 0, 3, 15]).unwrap()),
            moment: Moment::draw(&mut random, &images),
            second: (random.u8(..4) == 0).then(|| Moment::draw_second(&mut random)),
            images,
            faults,
        }
    }

    /// Rounds of one class take about as long as each other.
    pub(crate) fn class(&self) -> (bool, bool, bool, bool) {
        let has_empty = self.images.iter().any(|writing| writing.size == 0);
        (self.write_back, self.faults.is_empty(), self.rate.is_some(), has_empty)
    }
}

fn draw_faults(random: &mut fastrand::Rng) -> Vec<UploadFault> {
    const ALL: [UploadFault; 8] = [
        UploadFault::Closed,
        UploadFault::Unavailable,
        UploadFault::Limited,
        UploadFault::Page,
        UploadFault::Cut,
        UploadFault::Broken,
        UploadFault::Unanswered,
        UploadFault::Late,
    ];
    (0..random.usize(1..=3)).map(|_| random.choice(ALL).unwrap()).collect()
}

impl Writing {
    fn draw(random: &mut fastrand::Rng) -> Self {
        let (size, piece) = match random.u8(..20) {
            0 => (0, 1),
            1..=2 => (random.usize(1..5000), 1000),
            // Many small writes.
            3..=8 => (random.usize(20_000..200_000), 4096),
            9..=17 => (random.usize(200_000..1_500_000), random.usize(30_000..130_000)),
            // So many that they are hashed while they are written.
            _ => (random.usize(4 << 20..6 << 20), 1 << 20),
        };
        let writes = size.div_ceil(piece);
        Self {
            size,
            piece,
            backwards: random.u8(..4) == 0,
            sync_after: (random.u8(..3) == 0).then(|| random.usize(..=writes)),
            pause: Duration::from_micros(random.choice([0, 0, 300, 3000]).unwrap()),
        }
    }

    /// Where each write begins.
    pub(crate) fn offsets(&self) -> Vec<usize> {
        let mut offsets: Vec<_> = (0..self.size).step_by(self.piece).collect();
        if self.backwards {
            offsets.reverse();
        }
        offsets
    }
}

impl Moment {
    fn draw(random: &mut fastrand::Rng, images: &[Writing]) -> Self {
        let (image, soon) = (random.usize(..images.len()), Duration::from_micros(random.u64(..2000)));
        match random.u8(..20) {
            0..=4 => Self::Time(random.f64() * 1.05),
            5..=10 => Self::draw_asked(random, images, image),
            11..=14 => Self::draw_writer(random, images, image),
            15..=17 => Self::Journal(random.usize(..16 * images.len()), soon / 4),
            _ => Self::Removal(image, soon / 16),
        }
    }

    fn draw_asked(random: &mut fastrand::Rng, images: &[Writing], nth: usize) -> Self {
        let asked = random.choice([Asked::Create, Asked::Update, Asked::Upload, Asked::Upload, Asked::Show]).unwrap();
        let size = images[nth].size as u64;
        let step = match random.u8(..4) {
            0 => Step::Begun,
            1 if asked == Asked::Upload => Step::Sent(random.u64(..=size)),
            1 | 2 => Step::Answered,
            _ => Step::Told,
        };
        Self::Asked(asked, nth, step, Duration::from_micros(random.u64(..3000)))
    }

    fn draw_writer(random: &mut fastrand::Rng, images: &[Writing], image: usize) -> Self {
        let at = match random.u8(..4) {
            0 => At::Made,
            1 => At::Wrote(random.usize(..=images[image].offsets().len())),
            2 => At::Written,
            _ => At::Closed,
        };
        Self::Writer(image, at)
    }

    /// For the daemon that goes on, and that nobody writes through.
    fn draw_second(random: &mut fastrand::Rng) -> Self {
        let soon = Duration::from_micros(random.u64(..1000));
        match random.u8(..3) {
            0 => Self::Journal(random.usize(..12), soon),
            1 => Self::Asked(Asked::Upload, random.usize(..2), Step::Answered, soon),
            _ => Self::Asked(Asked::Show, random.usize(..4), Step::Answered, soon),
        }
    }
}

impl fmt::Debug for Moment {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Never => write!(out, "when all is done"),
            Self::Time(part) => write!(out, "after {part:.3} of the time"),
            Self::Asked(asked, nth, Step::Told, delay) => write!(out, "{delay:?} after the answer to {asked:?} {nth}"),
            Self::Asked(asked, nth, step, _) => write!(out, "at {step:?} of {asked:?} {nth}"),
            Self::Writer(image, at) => write!(out, "when the writer of image {image} is at {at:?}"),
            Self::Journal(nth, delay) => write!(out, "{delay:?} after change {nth} of the folder"),
            Self::Removal(nth, delay) => write!(out, "{delay:?} after removal {nth} began"),
        }
    }
}
