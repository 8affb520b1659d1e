//! The results, as a Markdown table and as lines of JSON.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::rounds::{Series, mebibytes};

/// What may be needed in memory beside the image data.
const BESIDE: u64 = 48 << 20;

/// What a figure should be.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Wanted {
    AtLeast(f64),
    AtMost(f64),
    /// Nothing: it is shown because it explains another.
    Shown,
}

impl Wanted {
    /// Whether a figure is what it should be; `None` where nothing is asked.
    pub(crate) fn is_met(self, figure: f64) -> Option<bool> {
        match self {
            Self::AtLeast(bound) => Some(figure >= bound),
            Self::AtMost(bound) => Some(figure <= bound),
            Self::Shown => None,
        }
    }

    fn text(self, unit: &str) -> String {
        match self {
            Self::AtLeast(bound) => format!("at least {bound}{unit}"),
            Self::AtMost(bound) => format!("at most {bound}{unit}"),
            Self::Shown => String::new(),
        }
    }
}

/// One line: a work of ours against something.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    pub(crate) work: String,
    pub(crate) against: String,
    /// The two figures as they are read, with their units.
    pub(crate) ours: String,
    pub(crate) theirs: String,
    /// The ratio or difference that is judged, and its unit (none for a ratio). `None` where one side failed.
    pub(crate) figure: Option<f64>,
    pub(crate) unit: &'static str,
    pub(crate) wanted: Wanted,
    /// The most memory of our daemon in bytes.
    pub(crate) peak: Option<u64>,
    /// Processor seconds of our daemon in one round.
    pub(crate) cpu: Option<f64>,
    /// Bytes moved and requests made in one round.
    pub(crate) moved: Option<(f64, f64)>,
    /// (largest - smallest) / median, ours and theirs.
    pub(crate) spread: (f64, f64),
}

impl Row {
    /// Rates side by side.
    pub(crate) fn rates(work: &str, ours: &Series, theirs: &Series, wanted: Wanted) -> Self {
        let rate = |series: &Series| format!("{:.0} MiB/s", series.rate());
        let both = ours.failed.is_none() && theirs.failed.is_none();
        let figure = both.then(|| ours.rate() / theirs.rate());
        Self { figure, ..Self::of(work, ours, theirs, wanted, rate) }
    }

    /// Times side by side.
    pub(crate) fn times(work: &str, ours: &Series, theirs: &Series, wanted: Wanted) -> Self {
        let both = ours.failed.is_none() && theirs.failed.is_none();
        let figure = both.then(|| ours.seconds() / theirs.seconds());
        Self { figure, ..Self::of(work, ours, theirs, wanted, |series| time(series.seconds())) }
    }

    /// One figure, and what it is judged by.
    pub(crate) fn figure(work: &str, (ours, theirs): (String, String), figure: f64, wanted: Wanted) -> Self {
        Self {
            work: work.to_owned(),
            against: String::new(),
            ours,
            theirs,
            figure: Some(figure),
            unit: "",
            wanted,
            peak: None,
            cpu: None,
            moved: None,
            spread: (0.0, 0.0),
        }
    }

    /// All but the figure; each side is written as `write` says.
    pub(crate) fn of(
        work: &str,
        ours: &Series,
        theirs: &Series,
        wanted: Wanted,
        write: impl Fn(&Series) -> String,
    ) -> Self {
        let write = |series: &Series| match &series.failed {
            None => write(series),
            Some(why) => format!("failed: {}", short(why)),
        };
        Self {
            work: work.to_owned(),
            against: theirs.name.clone(),
            ours: write(ours),
            theirs: write(theirs),
            figure: None,
            unit: "",
            wanted,
            peak: ours.peak(),
            cpu: ours.cpu(),
            moved: ours.moved(),
            spread: (ours.spread(), theirs.spread()),
        }
    }

    /// Whether it is what was wanted. A side that failed never is.
    pub(crate) fn is_met(&self) -> Option<bool> {
        match self.figure {
            Some(figure) => self.wanted.is_met(figure),
            None => (self.wanted != Wanted::Shown).then_some(false),
        }
    }

    fn cells(&self) -> [String; 11] {
        let figure = self.figure.map(|figure| format!("{figure:.2}{}", self.unit)).unwrap_or_default();
        let met = self.is_met().map_or("", |met| if met { "yes" } else { "**no**" });
        let peak = self.peak.map(|bytes| format!("{} MiB", bytes >> 20)).unwrap_or_default();
        let cpu = self.cpu.map(|seconds| format!("{seconds:.2} s")).unwrap_or_default();
        let moved = self.moved.map(|(bytes, requests)| format!("{:.0} MiB in {requests:.0}", bytes / 1_048_576.0));
        let spread = match self.spread {
            (0.0, 0.0) => String::new(),
            (ours, theirs) => format!("{:.0} %, {:.0} %", ours * 100.0, theirs * 100.0),
        };
        [
            self.work.clone(),
            self.against.clone(),
            self.ours.clone(),
            self.theirs.clone(),
            figure,
            self.wanted.text(self.unit),
            met.to_owned(),
            peak,
            cpu,
            moved.unwrap_or_default(),
            spread,
        ]
    }

    fn json(&self) -> Value {
        let Self { work, against, ours, theirs, figure, unit, peak, cpu, moved, spread, .. } = self;
        let (least, most) = match self.wanted {
            Wanted::AtLeast(bound) => (Some(bound), None),
            Wanted::AtMost(bound) => (None, Some(bound)),
            Wanted::Shown => (None, None),
        };
        json!({
            "work": work, "against": against, "ours": ours, "theirs": theirs, "figure": figure, "unit": unit.trim(),
            "at_least": least, "at_most": most, "met": self.is_met(), "peak_bytes": peak, "cpu_seconds": cpu,
            "moved_bytes": moved.map(|both| both.0), "requests": moved.map(|both| both.1),
            "spread_ours": spread.0, "spread_theirs": spread.1,
        })
    }
}

/// The most memory in all rows, held against what our mounts got as `--memory` and what may be needed beside it.
pub(crate) fn peak(rows: &[Row], budget: u64) -> Option<Row> {
    let peak = rows.iter().filter_map(|row| row.peak).max()?;
    let bound = (budget + BESIDE) >> 20;
    let sides = (format!("{} MiB", peak >> 20), format!("{bound} MiB"));
    let row = Row::figure("peak memory in all of these", sides, mebibytes(peak), Wanted::AtMost(bound as f64));
    Some(Row { against: "--memory + 48 MiB".into(), unit: " MiB", peak: Some(peak), ..row })
}

/// Seconds as they are read.
pub(crate) fn time(seconds: f64) -> String {
    if seconds >= 1.0 {
        format!("{seconds:.2} s")
    } else if seconds >= 0.001 {
        format!("{:.1} ms", seconds * 1e3)
    } else {
        format!("{:.1} us", seconds * 1e6)
    }
}

/// The first line of an error, cut so that a table stays one.
fn short(why: &str) -> String {
    why.lines().next().unwrap_or_default().chars().take(60).collect::<String>().replace('|', "/")
}

const HEAD: [&str; 11] = [
    "work",
    "against",
    "ours",
    "theirs",
    "ratio",
    "wanted",
    "met",
    "peak memory",
    "CPU",
    "moved in requests",
    "spread",
];

/// A Markdown table.
pub(crate) fn markdown(rows: &[Row]) -> String {
    let line = |cells: &[String]| format!("| {} |\n", cells.join(" | "));
    let mut text = line(&HEAD.map(str::to_owned));
    text.push_str(&line(&HEAD.map(|_| "---".to_owned())));
    text.extend(rows.iter().map(|row| line(&row.cells())));
    text
}

/// A line of JSON for each row.
pub(crate) fn lines(rows: &[Row]) -> String {
    rows.iter().fold(String::new(), |mut text, row| {
        // Writing into a String cannot fail.
        let _ = writeln!(text, "{}", row.json());
        text
    })
}
