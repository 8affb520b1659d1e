//! `glancefs man`: the manual, made of what the commands say of themselves. Packages install it.

mod markdown;

use std::io;
use std::path::{Path, PathBuf};

use clap::{Arg, Command};
use clap_mangen::Man;
use clap_mangen::roff::{Roff, bold, italic, roman};

use super::output::{self, Code, Failure};

/// Print a page of the manual, or write all of it
///
/// To read one: glancefs man mount | man --local-file -; what the mount does is on the page semantics
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// The command whose page it is, or semantics [default: the page of glancefs itself]
    #[arg(value_name = "COMMAND", conflicts_with = "folder")]
    page: Vec<String>,
    /// Write all pages into this folder, as they are named below share/man
    #[arg(long = "dir", value_name = "DIR")]
    folder: Option<PathBuf>,
}

/// One page: its name, its section of the manual, and its text.
struct Page {
    name: String,
    section: &'static str,
    text: Vec<u8>,
}

/// Prints or writes pages of `command`.
pub fn run(arguments: &Arguments, command: &Command) -> Result<(), Failure> {
    let pages = pages(command).map_err(Failure::with(Code::System))?;
    if let Some(folder) = &arguments.folder {
        return pages.iter().try_for_each(|page| page.write(folder));
    }
    let wanted = if arguments.page.is_empty() { "glancefs".to_owned() } else { arguments.page.join("-") };
    let is_wanted = |page: &&Page| page.name == wanted || page.name.strip_prefix("glancefs-") == Some(&*wanted);
    let page = pages.iter().find(is_wanted).ok_or_else(|| {
        let names: Vec<_> = pages.iter().map(|page| page.name.as_str()).collect();
        Failure::new(Code::Usage, format!("there is no page '{wanted}', but {}", names.join(", ")))
    })?;
    output::all(&page.text)
}

impl Page {
    fn write(&self, folder: &Path) -> Result<(), Failure> {
        let folder = folder.join(format!("man{}", self.section));
        let path = folder.join(format!("{}.{}", self.name, self.section));
        let written = std::fs::create_dir_all(&folder).and_then(|()| std::fs::write(&path, &self.text));
        written.map_err(|error| Failure::new(Code::System, format!("{} cannot be written: {error}", path.display())))
    }
}

/// All pages: one for the program, one for each command, one for mount(8), and what the mount does.
fn pages(command: &Command) -> io::Result<Vec<Page>> {
    let mut built = command.clone().disable_help_subcommand(true);
    built.build();
    let mut pages = Vec::new();
    add(&mut pages, &built, "glancefs".to_owned())?;
    if let Some(mount) = built.find_subcommand("mount") {
        let text = helper_page(mount)?;
        pages.push(Page { name: "mount.glancefs".to_owned(), section: "8", text });
        // The same helper, under the names that mount(8) and umount(8) look for besides.
        for name in ["mount.fuse.glancefs", "umount.glancefs", "umount.fuse.glancefs"] {
            let text = b".so man8/mount.glancefs.8\n".to_vec();
            pages.push(Page { name: name.to_owned(), section: "8", text });
        }
    }
    pages.push(Page { name: "glancefs-semantics".to_owned(), section: "7", text: semantics_page()? });
    Ok(pages)
}

/// The page of a command, and those of the commands below it.
fn add(pages: &mut Vec<Page>, command: &Command, name: String) -> io::Result<()> {
    for one in command.get_subcommands().filter(|one| !one.is_hide_set()) {
        add(pages, one, format!("{name}-{}", one.get_name()))?;
    }
    pages.push(page_of(command.clone(), name)?);
    Ok(())
}

fn page_of(command: Command, name: String) -> io::Result<Page> {
    let mut text = Vec::new();
    let title = name.to_uppercase();
    Man::new(command).title(title).manual("glancefs").render(&mut text)?;
    let common: &[&str] = if name == "glancefs" { &["Exit status", "Environment", "Files"] } else { &["Exit status"] };
    for heading in common {
        text.extend(markdown::section(CONFIGURATION, heading).unwrap_or_default().into_bytes());
    }
    let others = [("glancefs", "1"), ("mount.glancefs", "8"), ("glancefs-semantics", "7")];
    see_also(&mut text, others.into_iter().filter(|(other, _)| *other != name))?;
    Ok(Page { name, section: "1", text })
}

/// The page that says what the mount does: docs/semantics.md.
fn semantics_page() -> io::Result<Vec<u8>> {
    let mut page = Roff::new();
    page.control("TH", ["GLANCEFS-SEMANTICS", "7", "", "glancefs", "glancefs"]);
    page.control("SH", ["NAME"]);
    page.text([roman("glancefs-semantics - what a mount of the images of an OpenStack cloud does")]);
    let mut text = Vec::new();
    page.to_writer(&mut text)?;
    text.extend(markdown::sections(SEMANTICS).into_bytes());
    let others = [("glancefs", "1"), ("glancefs-mount", "1"), ("glancefs-explain", "1"), ("glancefs-uploads", "1")];
    see_also(&mut text, others.into_iter().chain([("mount.glancefs", "8")]))?;
    Ok(text)
}

/// Other pages: each name and its section.
fn see_also<'a>(text: &mut Vec<u8>, others: impl Iterator<Item = (&'a str, &'a str)>) -> io::Result<()> {
    let mut page = Roff::new();
    page.control("SH", ["SEE ALSO"]);
    let names: Vec<_> = others.map(|(name, section)| format!("{name}({section})")).collect();
    page.text([roman(names.join(", "))]);
    page.to_writer(text)
}

const SEMANTICS: &str = include_str!("../../docs/semantics.md");

const CONFIGURATION: &str = include_str!("../../docs/configuration.md");

/// The page of the mount helper. Its options are those of `glancefs mount`, written as in fstab.
fn helper_page(mount: &Command) -> io::Result<Vec<u8>> {
    let mut page = Roff::new();
    page.control("TH", ["MOUNT.GLANCEFS", "8", "", "glancefs", "glancefs"]);
    page.control("SH", ["NAME"]);
    page.text([roman("mount.glancefs - mount the images of an OpenStack cloud as a folder")]);
    page.control("SH", ["SYNOPSIS"]);
    page.text([bold("mount -t glancefs "), italic("SOURCE MOUNTPOINT"), roman(" [-o "), italic("OPTIONS"), roman("]")]);
    page.control("SH", ["DESCRIPTION"]);
    for paragraph in DESCRIPTION {
        page.control("PP", []);
        page.text([roman(*paragraph)]);
    }
    page.control("SH", ["OPTIONS"]);
    page.text([roman(OPTIONS)]);
    for option in mount.get_arguments().filter(|option| !option.is_hide_set()) {
        if let Some(name) = option.get_long() {
            page.control("TP", []);
            page.text([bold(name.replace('-', "_")), italic(value_of(option))]);
            page.text([roman(option.get_help().map(ToString::to_string).unwrap_or_default())]);
        }
    }
    page.control("SH", ["EXIT STATUS"]);
    for (code, meaning) in EXITS {
        page.control("TP", []);
        page.text([bold(*code)]);
        page.text([roman(*meaning)]);
    }
    page.control("SH", ["EXAMPLES"]);
    for line in EXAMPLES {
        page.control("PP", []);
        page.control("EX", []);
        page.text([roman(*line)]);
        page.control("EE", []);
    }
    let mut text = Vec::new();
    page.to_writer(&mut text)?;
    let ours = [("glancefs", "1"), ("glancefs-mount", "1"), ("glancefs-umount", "1"), ("glancefs-semantics", "7")];
    see_also(&mut text, ours.into_iter().chain([("mount", "8"), ("fstab", "5"), ("systemd.mount", "5")]))?;
    Ok(text)
}

fn value_of(option: &Arg) -> String {
    if !option.get_action().takes_values() {
        return String::new();
    }
    let names = option.get_value_names().unwrap_or_default().iter();
    format!("={}", names.map(clap::builder::Str::as_str).collect::<Vec<_>>().join(" "))
}

const DESCRIPTION: &[&str] = &[
    "This is what mount(8) runs for the type glancefs, and for fuse.glancefs. It returns when the mount answers; the \
     program goes on in the background until umount(8).",
    "umount.glancefs is what umount(8) runs: it unmounts, and waits until the program has sent what was written, for \
     drain_timeout at most; what is left it says.",
    "SOURCE is a cloud of clouds.yaml (NAME or NAME/REGION), the URL of an Image service without Keystone, or local:DIR \
     for the embedded Image service on a folder.",
    "mount(8) gives its helpers neither HOME nor PATH when systemd runs it. Then clouds.yaml is looked for in \
     /etc/openstack, uploads that are not done are kept in /var/lib/glancefs, and the log is in /var/log/glancefs.",
];

const OPTIONS: &str = "Each option of glancefs-mount(1) can be given, with underscores or hyphens; a comma in a value is \
                       written as '\\,'. What mount(8) and systemd add for themselves is passed over: rw, user, auto, \
                       nofail, _netdev, dev, suid, x-* and their like. ro is read_only.";

const EXITS: &[(&str, &str)] = &[
    ("0", "The mount answers."),
    ("1", "Wrong usage, or not permitted."),
    ("2", "The system failed."),
    ("8", "Interrupted."),
    ("32", "The mount failed; the sentence says why."),
];

const EXAMPLES: &[&str] = &[
    "mount -t glancefs mycloud /srv/glance -o ro,allow_other",
    "mycloud /srv/glance glancefs _netdev,nofail,x-systemd.automount,allow_other,ro 0 0",
];

#[cfg(test)]
mod tests {
    use super::*;

    fn texts() -> Vec<(String, String)> {
        let pages = pages(&crate::cli::command()).unwrap();
        pages.into_iter().map(|page| (page.name, String::from_utf8(page.text).unwrap())).collect()
    }

    #[test]
    fn each_command_has_a_page_that_names_each_of_its_options() {
        fn has_page(texts: &[(String, String)], command: &Command, name: &str) -> usize {
            let (_, text) = texts.iter().find(|(page, _)| page == name).unwrap();
            let options = command.get_arguments().filter(|option| !option.is_hide_set()).filter_map(Arg::get_long);
            for option in options {
                assert!(text.contains(&option.replace('-', "\\-")), "{name} does not name --{option}");
            }
            assert!(text.contains("EXIT STATUS"), "{name}");
            let below =
                command.get_subcommands().map(|one| has_page(texts, one, &format!("{name}-{}", one.get_name())));
            1 + below.sum::<usize>()
        }
        let (command, texts) = (crate::cli::command(), texts());
        assert!(has_page(&texts, &command, "glancefs") > 20);
        let (_, text) = texts.iter().find(|(page, _)| page == "glancefs").unwrap();
        assert!(text.contains("ENVIRONMENT") && text.contains("FILES") && text.contains("GLANCEFS_LOG"), "{text}");
    }

    #[test]
    fn the_page_of_what_the_mount_does_has_every_word_of_the_document() {
        let texts = texts();
        let (_, page) = texts.iter().find(|(page, _)| page == "glancefs-semantics").unwrap();
        let marks = ["\\fB", "\\fI", "\\fR", "\\(rs", "\\(ti", "\\(aq", "\\(dq", "\\(ga", "\\(ha"];
        let page = marks.iter().fold(page.to_lowercase(), |page, mark| page.replace(&mark.to_lowercase(), " "));
        let is_in_a_word = |letter: char| letter.is_ascii_alphanumeric();
        let have: std::collections::HashSet<_> = page.split(|letter| !is_in_a_word(letter)).collect();
        // Where in a document a link leads is not told, and is in brackets of its own.
        let told = SEMANTICS.split("](").enumerate().map(|(index, text)| match index {
            0 => text,
            _ => text.split_once(')').unwrap().1,
        });
        let title = SEMANTICS.lines().next().unwrap();
        for word in told.flat_map(|text| text.split(|letter| !is_in_a_word(letter))) {
            assert!(have.contains(word.to_lowercase().as_str()) || title.contains(word), "'{word}' is missing");
        }
    }

    #[test]
    fn each_page_names_pages_beside_it_that_there_are() {
        let texts = texts();
        for (name, text) in texts.iter().filter(|(_, text)| !text.starts_with(".so")) {
            let (_, others) = text.split_once("SEE ALSO").unwrap();
            let others = others.replace(['\\', '"'], "");
            for other in others.split(", ").filter(|other| other.contains("glancefs")) {
                let (other, _) = other.trim().split_once('(').unwrap();
                assert!(texts.iter().any(|(page, _)| page == other), "{name} names {other}");
                assert_ne!(name, other);
            }
        }
    }

    #[test]
    fn the_page_of_the_helper_names_each_option_as_in_fstab() {
        let (command, texts) = (crate::cli::command(), texts());
        let (_, text) = texts.iter().find(|(page, _)| page == "mount.glancefs").unwrap();
        let mount = command.find_subcommand("mount").unwrap();
        for option in mount.get_arguments().filter(|option| !option.is_hide_set()).filter_map(Arg::get_long) {
            assert!(text.contains(&format!("\\fB{}\\fR", option.replace('-', "_"))), "no {option}");
        }
    }
}
