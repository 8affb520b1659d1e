//! Whether the times grow as the number of images does.

use crate::Times;
use crate::common::table::{self, Row, Wanted};

/// How many times as long an image may take among ten times as many.
const MOST: f64 = 2.0;

/// Each work with one number of images beside the next smaller one, by the image.
pub(crate) fn rows(times: &[Times]) -> Vec<Row> {
    let next = |one: &Times| times.iter().find(|other| other.work == one.work && other.images > one.images);
    times.iter().filter_map(|one| Some(row(one, next(one)?))).collect()
}

fn row(few: &Times, many: &Times) -> Row {
    let steps = |few: f64, many: f64| format!("{} -> {}", table::time(few), table::time(many));
    let sides = (steps(few.ours, many.ours), steps(few.theirs, many.theirs));
    let work = format!("{}, an image, from {} to {} images", few.work, few.images, many.images);
    let row = Row::figure(&work, sides, many.ours / few.ours, Wanted::AtMost(MOST));
    let against = format!("the same of {}: {:.2}", few.rival, many.theirs / few.theirs);
    Row { against, ..row }
}
