//! The requests that one `mkdir` and one `cp` make, written down on their way to the service.

use std::fs;
use std::process::Command;

use anyhow::Result;

use crate::common::LIMIT;
use crate::common::process::timed;
use crate::common::proxy::Proxy;
use crate::common::table::{Row, Wanted};
use crate::{Bench, mounts};

/// `POST`, `PATCH`, `PUT`, `GET`: none of them can be done without.
const FEWEST: f64 = 4.0;

pub(crate) fn made(bench: &Bench<'_>) -> Result<Vec<Row>> {
    let proxy = Proxy::start(&bench.service.host)?;
    let mount = mounts::of(bench, Some(&proxy.address))?;
    let source = bench.scratch.join("small");
    fs::write(&source, vec![7; 64 << 10])?;
    // The first one pays for what is asked once in the life of a mount.
    let mut rows = Vec::new();
    for (work, name) in [("the first mkdir and cp of a mount", "first"), ("one mkdir and cp", "second")] {
        proxy.take();
        let folder = mount.target.join(name);
        timed(Command::new("mkdir").arg(&folder), LIMIT)?;
        timed(Command::new("cp").arg(&source).arg(folder.join("data")), LIMIT)?;
        let made: Vec<_> = proxy.take().iter().map(|request| without_id(request)).collect();
        timed(Command::new("rmdir").arg(&folder), LIMIT)?;
        rows.push(row(work, &made, if name == "second" { Wanted::AtMost(FEWEST) } else { Wanted::Shown }));
    }
    Ok(rows)
}

fn row(work: &str, made: &[String], wanted: Wanted) -> Row {
    let sides = (made.join(", "), format!("{FEWEST}"));
    let row = Row::figure(&format!("requests of {work}"), sides, made.len() as f64, wanted);
    Row { against: "POST, PATCH, PUT, GET".to_owned(), ..row }
}

/// The request with `ID` in place of an image's id.
fn without_id(request: &str) -> String {
    let is_id = |part: &&str| part.len() == 36 && part.bytes().all(|byte| byte == b'-' || byte.is_ascii_hexdigit());
    request.split('/').map(|part| if is_id(&part) { "ID" } else { part }).collect::<Vec<_>>().join("/")
}
