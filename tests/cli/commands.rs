//! What the pages tell people to type is there: each command and each script, with the options that it is given.
//!
//! What a command does is for other tests, which type the blocks of `console` and of the API guides.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::{Place, Ran};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The pages that a user reads.
fn pages() -> Vec<PathBuf> {
    let docs = fs::read_dir(root().join("docs")).unwrap().map(|entry| entry.unwrap().path());
    let top = ["README.md", "CONTRIBUTING.md", "CHANGELOG.md"].map(|name| root().join(name));
    let pages: Vec<_> = docs.filter(|path| path.extension().is_some_and(|kind| kind == "md")).chain(top).collect();
    assert!(pages.len() > 8, "{pages:?}");
    pages
}

/// The lines of a page's blocks, and what stands as code between them, without what is said of them behind `#`.
fn typed(page: &str) -> Vec<String> {
    let mut typed = Vec::new();
    for (number, piece) in page.split("\n```").enumerate() {
        if number % 2 == 1 {
            typed.extend(piece.lines().skip(1).map(str::to_owned));
        } else {
            let flowing = piece.replace('\n', " ");
            typed.extend(flowing.split('`').skip(1).step_by(2).map(str::to_owned));
        }
    }
    let line = |text: &String| text.trim_start_matches("$ ").split("  #").next().unwrap_or_default().trim().to_owned();
    typed.iter().map(line).collect()
}

/// The words of a command up to where the shell goes on with another, if it is one of `program`.
fn words(line: &str, program: &str) -> Option<Vec<String>> {
    let rest = line.strip_prefix(program)?;
    if !rest.is_empty() && !rest.starts_with([' ', '/']) {
        return None;
    }
    let words = rest.split_whitespace().map(|word| word.trim_matches(['[', ']']));
    Some(words.take_while(|word| !word.contains(['|', '>', ';', '&', '<'])).map(str::to_owned).collect())
}

fn options(words: &[String]) -> impl Iterator<Item = &str> {
    let named = words.iter().filter(|word| word.starts_with("--") && word.len() > 2);
    named.map(|word| word.split('=').next().unwrap_or(word))
}

#[track_caller]
fn has_all(help: &str, words: &[String], line: &str) {
    for option in options(words) {
        let is_it = |word: &str| word == option || word.split(['=', '[', ',']).next() == Some(option);
        let known = help.split_whitespace().any(|word| is_it(word.trim_matches(['[', ']', '(', ')', ','])));
        assert!(known, "'{line}': no {option} in\n{help}");
    }
}

#[test]
fn each_command_that_a_page_names_is_there_with_its_options() {
    let place = Place::new();
    let mut count = 0;
    for page in pages() {
        for line in typed(&fs::read_to_string(&page).unwrap()) {
            let Some(words) = words(&line, "glancefs") else { continue };
            let is_name = |word: &&String| word.chars().all(|sign| sign.is_ascii_lowercase());
            let names: Vec<_> = words.iter().take_while(is_name).map(String::as_str).collect();
            let depth = if matches!(names.first(), Some(&"uploads" | &"cache")) { 2 } else { 1 };
            let ran = place.run(names.iter().take(depth).copied().chain(["--help"]));
            assert_eq!(ran.code, Some(0), "{}: '{line}': {}", page.display(), ran.err);
            has_all(&ran.out, &words, &line);
            count += 1;
        }
    }
    assert!(count > 100, "{count} commands were seen");
}

#[test]
fn each_script_that_a_page_names_is_there_with_its_options() {
    let mut count = 0;
    for page in pages() {
        for line in typed(&fs::read_to_string(&page).unwrap()) {
            let name = line.split([' ', '`']).next().unwrap_or_default();
            let Some(arguments) = name.starts_with("scripts/").then(|| words(&line, name)).flatten() else { continue };
            let ran = Ran::of(Command::new(root().join(name)).arg("--help").output().unwrap());
            assert_eq!(ran.code, Some(0), "{}: '{line}': {}", page.display(), ran.err);
            let own: Vec<_> = arguments.iter().take_while(|word| *word != "--").cloned().collect();
            has_all(&ran.out, &own, &line);
            let forms: Vec<_> = ran.out.lines().filter(|form| form.contains(&format!("{name} "))).collect();
            let is_form = |word: &String| forms.iter().any(|form| form.contains(word.as_str()));
            if forms.len() > 1 {
                assert!(arguments.first().is_none_or(is_form), "{}: '{line}' is none of {forms:?}", page.display());
            }
            count += 1;
        }
    }
    assert!(count > 20, "{count} scripts were seen");
}
