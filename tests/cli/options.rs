//! `docs/configuration.md` has every option of every command.

use std::collections::BTreeSet;

use crate::support::Place;

const PAGE: &str = include_str!("../../docs/configuration.md");

/// The names behind `--` that stand at the beginning of a line's options.
fn options(help: &str) -> BTreeSet<String> {
    let lines = help.lines().map(str::trim_start).filter(|line| line.starts_with('-'));
    let words = lines.flat_map(|line| line.split([' ', '=', '[']).take(2));
    let names = words.filter_map(|word| word.trim_end_matches(',').strip_prefix("--"));
    names.filter(|name| name.starts_with(|sign: char| sign.is_ascii_lowercase())).map(str::to_owned).collect()
}

/// The commands that a help lists.
fn commands(help: &str) -> Vec<String> {
    let listed = help.split_once("\nCommands:\n").map_or("", |(_, rest)| rest.split("\n\n").next().unwrap_or_default());
    let names = listed.lines().filter(|line| line.starts_with("  ") && !line.starts_with("   "));
    names.filter_map(|line| line.split_whitespace().next()).filter(|name| *name != "help").map(str::to_owned).collect()
}

/// All options of a command and of those below it, with the command that has them.
fn all(place: &Place, command: &[String]) -> Vec<(String, String)> {
    let ran = place.run(command.iter().map(String::as_str).chain(["--help"]));
    ran.succeeded();
    let own = options(&ran.out).into_iter().map(|name| (command.join(" "), name));
    let below = commands(&ran.out).into_iter().flat_map(|name| all(place, &[command, &[name]].concat()));
    own.chain(below).collect()
}

#[test]
fn every_option_of_every_command_is_in_the_page_of_the_configuration() {
    let all = all(&Place::new(), &[]);
    assert!(all.len() > 200, "{all:?}");
    for known in [("mount", "ttl"), ("cache warm", "source"), ("uploads wait", "timeout"), ("serve", "ranges")] {
        let is_known = |(command, name): &(String, String)| (command.as_str(), name.as_str()) == known;
        assert!(all.iter().any(is_known), "{known:?} is not seen in {all:?}");
    }
    let is_there = |name: &str| {
        let ends = ["`", " ", ","].map(|end| format!("`--{name}{end}"));
        ends.iter().any(|piece| PAGE.contains(piece.as_str()))
    };
    let missing: Vec<_> = all.iter().filter(|(_, name)| !is_there(name)).collect();
    assert!(missing.is_empty(), "{missing:?}");
}

#[test]
fn every_option_of_a_mount_has_its_default_and_a_reason_for_it() {
    let (_, table) = PAGE.split_once("| option | default | why this default |\n").unwrap();
    let rows: Vec<_> = table.lines().skip(1).take_while(|line| line.starts_with('|')).collect();
    assert!(rows.len() > 18, "{rows:?}");
    for row in rows {
        let cells: Vec<_> = row.trim_matches('|').split('|').map(str::trim).collect();
        assert!(cells.len() == 3 && cells.iter().all(|cell| !cell.is_empty()), "{row}");
    }
}
