//! Somebody at home, who types what a page says.
//!
//! His clouds are `mycloud`, and `theircloud` of another project. The page calls him ada, and his home `/home/ada`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use super::page::{Block, Guide, Named, Step};
use super::printed::is_as_said;
use super::shapes::shaped;
use crate::process::Watched;
use crate::support::{Ran, mounts, processes_on};
use crate::target::Target;

/// Between what two steps print.
const SIGN: char = '\u{1e}';

/// The home of who types.
pub(crate) struct Home<'a> {
    pub(crate) target: &'a Target,
    folder: PathBuf,
    /// Names of images and files on the page, each of which has in this run a name of its own.
    words: &'a [&'a str],
    /// What runs the shell, where that needs other surroundings.
    pub(crate) wrapper: Vec<String>,
    mounted: Option<Named<'a>>,
    /// The id of the project of `theircloud`.
    project: String,
}

impl<'a> Home<'a> {
    pub(crate) fn new(target: &'a Target, name: &str, words: &'a [&'a str]) -> Self {
        let folder = target.file(name);
        for below in ["images", "other", ".config/openstack"] {
            fs::create_dir_all(folder.join(below)).unwrap();
        }
        let folder = folder.canonicalize().unwrap();
        let project = target.person("alt").project;
        let home = Self { target, folder, words, wrapper: Vec::new(), mounted: None, project };
        home.describe(|_| ());
        home
    }

    /// Writes the clouds.yaml, with a change of what it says of `mycloud`.
    pub(crate) fn describe(&self, change: impl FnOnce(&mut Value)) {
        let described = self.target.clouds_with("demo", change);
        let described: Value = serde_json::from_str(&fs::read_to_string(described).unwrap()).unwrap();
        let clouds = serde_json::json!({"clouds": {"mycloud": described["clouds"]["demo"],
            "theircloud": described["clouds"]["alt"]}});
        fs::write(self.path(".config/openstack/clouds.yaml"), clouds.to_string()).unwrap();
    }

    pub(crate) fn path(&self, below: &str) -> PathBuf {
        self.folder.join(below)
    }

    /// A piece of the page with the names of this run in it.
    pub(crate) fn meant(&self, piece: &str) -> String {
        let named = self.words.iter().fold(piece.to_owned(), |text, word| text.replace(word, &self.target.name(word)));
        named.replace("/home/ada", self.folder.to_str().unwrap())
    }

    /// What was printed, as the page would say it.
    fn said(&self, printed: &str) -> String {
        let places = printed.replace(self.folder.to_str().unwrap(), "/home/ada");
        let names = self.words.iter().fold(places, |text, word| text.replace(&self.target.name(word), word));
        let names = names.replace(" root root ", " ada ada ");
        // A shell at a terminal does not say which line of its input it is at.
        let lines = names.lines().map(|line| match line.split_once(": line ") {
            Some((shell @ ("bash" | "sh"), rest)) => {
                format!("{shell}: {}", rest.split_once(": ").map_or("", |(_, words)| words))
            }
            _ => line.to_owned(),
        });
        lines.collect::<Vec<_>>().join("\n")
    }

    /// Runs lines of shell, and answers what they print.
    pub(crate) fn typed(&self, lines: &str) -> Ran {
        let limit = ["timeout", "--kill-after=5", "150"].map(str::to_owned);
        let mut words = limit.into_iter().chain(self.wrapper.iter().cloned()).chain(["bash".to_owned()]);
        let mut command = Command::new(words.next().unwrap());
        command.args(words).arg("-c").arg(format!("exec 2>&1\n{}", self.meant(lines)));
        command.env_clear().current_dir(&self.folder).env("HOME", &self.folder).env("PATH", crate::guides::path());
        command.env("LC_ALL", "C").env("TZ", "UTC").env("USER", "ada").env("TERM", "dumb");
        // Root's mounts have folders of the system besides.
        command.env("XDG_STATE_HOME", self.folder.join(".local/state")).env("PROJECT", &self.project);
        Ran::of(command.output().unwrap())
    }

    /// The same for what has to succeed without a word.
    #[track_caller]
    pub(crate) fn does(&self, lines: &str) {
        let ran = self.typed(lines);
        assert_eq!((ran.code, ran.out.as_str()), (Some(0), ""), "{lines}");
    }

    /// Mounts what the page names, unless it is mounted already.
    pub(crate) fn mount(&mut self, named: Option<&Named<'a>>) {
        if self.mounted.as_ref() == named {
            return;
        }
        if self.mounted.is_some() {
            self.unmount();
        }
        if let Some(named) = named {
            self.does(&format!("glancefs mount {} {} ~/images", named.options.join(" "), named.cloud));
        }
        self.mounted = named.cloned();
    }

    /// The program that serves the mount of the page.
    pub(crate) fn daemon(&self) -> Watched {
        let found = processes_on(&self.path("images"));
        assert_eq!(found.len(), 1, "{found:?}");
        Watched::new(found[0])
    }

    /// Ends all that is mounted here.
    pub(crate) fn unmount(&mut self) {
        self.mounted = None;
        let programs: Vec<_> = processes_on(&self.folder).into_iter().map(Watched::new).collect();
        while let Some(point) = self.mounts().pop() {
            self.does(&format!("umount --lazy {point}"));
        }
        programs.iter().for_each(Watched::ended);
    }

    fn mounts(&self) -> Vec<String> {
        let all = mounts();
        let points = all.lines().filter_map(|line| line.split(' ').nth(1));
        points.filter(|point| Path::new(point).starts_with(&self.folder)).map(str::to_owned).collect()
    }

    /// Types all of a section, and compares what is printed.
    pub(crate) fn types(&mut self, section: &Guide<'a>) {
        for block in &section.blocks {
            self.mount(block.mount.as_ref());
            self.types_block(section.title, block);
        }
    }

    fn types_block(&self, title: &str, block: &Block<'_>) {
        let typed = |step: &Step<'_>| format!("{}\nprintf '{SIGN}'\n", step.lines.join("\n"));
        let ran = self.typed(&block.steps.iter().map(typed).collect::<String>());
        let mut printed = ran.out.split(SIGN);
        for step in &block.steps {
            let printed = shaped(&self.said(printed.next().unwrap_or_default()));
            let said: Vec<_> = step.prints.iter().map(|line| shaped(line)).collect();
            let said: Vec<_> = said.iter().map(String::as_str).collect();
            let printed: Vec<_> = printed.lines().collect();
            assert!(
                is_as_said(&said, &printed),
                "{title}: {}\nprints\n{}\nand the page says\n{}\n\n{}",
                step.lines.join("\n"),
                printed.join("\n"),
                said.join("\n"),
                fs::read_to_string(self.path("images/.glancefs/errors")).unwrap_or_default()
            );
        }
    }

    /// Ends everything, and has what the page made deleted.
    pub(crate) fn end(mut self) {
        self.unmount();
        let person = self.target.person("demo");
        for word in self.words {
            for image in self.target.wait(person.list(&format!("name={}", self.target.name(word)))) {
                self.target.tidy(&person, image["id"].as_str().unwrap());
            }
        }
    }
}

impl Drop for Home<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            for pid in processes_on(&self.folder) {
                Watched::new(pid).signal(libc::SIGKILL);
            }
            for point in self.mounts() {
                let _ = Command::new("umount").arg("--lazy").arg(point).output();
            }
        }
    }
}
