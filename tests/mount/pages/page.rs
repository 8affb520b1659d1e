//! How a page whose lines are run is read, and what it may not leave out.
//!
//! A section is a sequence of blocks. One of ```` ```sh ```` is typed in the mount that was named last before it, as
//! `glancefs mount OPTIONS CLOUD ~/images`; each of its steps has a call behind `#`, the lines that are typed in its place, and
//! behind `#>` all that they print. One of ```` ```console ```` is typed at home, with that mount, if any, at `~/images`: what is
//! typed stands behind `$`, and all that it prints below. A mount that is named before the first `###` of a `##` holds for each,
//! unless `glancefs umount ~/images` is named there.

use std::collections::BTreeSet;

use crate::target::Target;

crate::promises![Embedded:
    a_page_that_leaves_something_out_is_no_page,
    a_page_says_what_is_typed_where_and_what_it_prints,
    what_is_typed_at_home_stands_behind_a_dollar_and_what_it_prints_below,
];

/// Where the lines of a page are typed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Typed {
    /// In a mount, in blocks of `sh`; there are no others.
    Mounted,
    /// At home, in blocks of `console`; others are not run.
    AtHome,
}

/// What is run one after another.
#[derive(Debug, Default)]
pub(crate) struct Guide<'a> {
    pub(crate) title: &'a str,
    pub(crate) blocks: Vec<Block<'a>>,
    /// The first cells of the tables: the calls that have no line.
    pub(crate) rows: Vec<&'a str>,
}

/// A piece of the page that is typed in one mount.
#[derive(Debug)]
pub(crate) struct Block<'a> {
    /// The mount that the page names, without which nothing is mounted.
    pub(crate) mount: Option<Named<'a>>,
    /// Another mount beside it.
    pub(crate) other: Option<Named<'a>>,
    pub(crate) steps: Vec<Step<'a>>,
}

/// A mount as the page names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Named<'a> {
    pub(crate) cloud: &'a str,
    pub(crate) options: Vec<&'a str>,
}

/// A call, what is typed in its place, and all that this prints.
#[derive(Debug, Default)]
pub(crate) struct Step<'a> {
    pub(crate) call: &'a str,
    pub(crate) lines: Vec<&'a str>,
    pub(crate) prints: Vec<&'a str>,
}

impl Guide<'_> {
    /// The calls that the guide names, those that have lines first.
    pub(crate) fn calls(&self) -> impl Iterator<Item = &str> {
        let steps = self.blocks.iter().flat_map(|block| &block.steps);
        steps.map(|step| step.call).chain(self.rows.iter().copied())
    }
}

/// What stands open while the page is read from its beginning to its end.
struct Reader<'a> {
    typed: Typed,
    guides: Vec<Guide<'a>>,
    mount: Option<Named<'a>>,
    /// The mount of all that stands below the last `##`, and whether a `###` follows that.
    common: Option<Named<'a>>,
    is_below: bool,
    other: Option<Named<'a>>,
    block: Option<Block<'a>>,
    /// Whether this is a block that is not run.
    is_passed: bool,
    /// What stands as code outside the blocks.
    spans: Vec<&'a str>,
}

/// The sections of a page, or what the page leaves out.
pub(crate) fn read(page: &str, typed: Typed) -> Result<Vec<Guide<'_>>, String> {
    let mut reader = Reader::of(typed);
    for line in page.lines() {
        match &mut reader.block {
            Some(_) if line == "```" => reader.close()?,
            Some(block) if typed == Typed::AtHome => at_home(block, line)?,
            Some(block) => inside(block, line)?,
            None if reader.is_passed => reader.is_passed = line != "```",
            None => reader.outside(line)?,
        }
    }
    match reader.block {
        Some(_) => Err("a block has no end".to_owned()),
        None => reader.all_is_typed().map(|()| reader.guides),
    }
}

impl<'a> Reader<'a> {
    fn of(typed: Typed) -> Self {
        let (guides, spans) = (Vec::new(), Vec::new());
        let (mount, common, other, block) = (None, None, None, None);
        Self { typed, guides, mount, common, is_below: false, other, block, is_passed: false, spans }
    }

    fn outside(&mut self, line: &'a str) -> Result<(), String> {
        match (self.typed, line) {
            (Typed::Mounted, "```sh") if self.mount.is_none() => {
                return Err("no mount is named before a block".to_owned());
            }
            (Typed::Mounted, "```sh") | (Typed::AtHome, "```console") => {
                self.block = Some(Block { mount: self.mount.clone(), other: self.other.take(), steps: Vec::new() });
            }
            (Typed::Mounted, line) if line.starts_with("```") => {
                return Err(format!("{line}: a block that is not run"));
            }
            (Typed::AtHome, line) if line.starts_with("```") => self.is_passed = true,
            _ => self.text(line),
        }
        Ok(())
    }

    /// A heading, or prose.
    fn text(&mut self, line: &'a str) {
        let at_home = |prefix| line.strip_prefix(prefix).filter(|_| self.typed == Typed::AtHome);
        if let Some(title) = line.strip_prefix("## ").or(at_home("# ")) {
            self.guides.push(Guide { title, ..Guide::default() });
            (self.mount, self.common, self.other, self.is_below) = (None, None, None, false);
        } else if let Some(title) = at_home("### ") {
            self.guides.push(Guide { title, ..Guide::default() });
            (self.mount, self.other, self.is_below) = (self.common.clone(), None, true);
        } else {
            self.prose(line);
        }
    }

    /// Text between the blocks: the mounts that it names, the calls in its tables, and what stands in it as code.
    fn prose(&mut self, line: &'a str) {
        let spans: Vec<_> = line.split('`').skip(1).step_by(2).collect();
        if spans.contains(&"glancefs umount ~/images") {
            self.mount = None;
        }
        for words in spans.iter().filter_map(|span| span.strip_prefix("glancefs mount ")) {
            let mut words: Vec<_> = words.split(' ').collect();
            match (words.pop(), words.pop()) {
                (Some("~/images"), Some(cloud)) => self.names(Named { cloud, options: words }),
                (Some("~/other"), Some(cloud)) => self.other = Some(Named { cloud, options: words }),
                _ => (),
            }
        }
        if let (Some(guide), Some(row)) = (self.guides.last_mut(), line.strip_prefix("| ")) {
            guide.rows.extend(row.split(" | ").next());
        }
        self.spans.extend(spans.iter().filter(|span| !span.starts_with("glancefs mount ")));
    }

    /// The mount of the blocks that follow. Only what is in a `##` itself is for all of its `###`.
    fn names(&mut self, mount: Named<'a>) {
        if !self.is_below {
            self.common = Some(mount.clone());
        }
        self.mount = Some(mount);
    }

    fn close(&mut self) -> Result<(), String> {
        let Some(block) = self.block.take() else { return Ok(()) };
        let Some(last) = block.steps.last() else { return Err("a block has no call".to_owned()) };
        if self.typed == Typed::Mounted {
            begun(&block.steps, last.call)?;
        }
        self.guides.last_mut().ok_or("a block in no guide")?.blocks.push(block);
        Ok(())
    }

    /// Whether each command that the text shows between the blocks is a line of one.
    fn all_is_typed(&self) -> Result<(), String> {
        let steps = self.guides.iter().flat_map(|guide| &guide.blocks).flat_map(|block| &block.steps);
        let typed: BTreeSet<_> = steps.flat_map(|step| step.lines.iter().copied()).collect();
        let programs: BTreeSet<_> = typed.iter().filter_map(|line| line.split(' ').next()).collect();
        let is_command = |span: &&str| span.split_once(' ').is_some_and(|(program, _)| programs.contains(program));
        // At home a command may be named without what it is given.
        let is_typed = |span: &str| match self.typed {
            Typed::Mounted => typed.contains(span),
            Typed::AtHome => typed.iter().any(|line| line.contains(span)),
        };
        let untyped = self.spans.iter().filter(|span| is_command(span)).find(|span| !is_typed(span));
        untyped.map_or(Ok(()), |span| Err(format!("{span}: no block runs this command of the text")))
    }
}

/// Takes in a line of a block that is typed at home.
fn at_home<'a>(block: &mut Block<'a>, line: &'a str) -> Result<(), String> {
    if let Some(typed) = line.strip_prefix("$ ") {
        block.steps.push(Step { lines: vec![typed], ..Step::default() });
        return Ok(());
    }
    let step = block.steps.last_mut().ok_or(format!("{line}: behind nothing that is typed"))?;
    if step.prints.is_empty() && step.lines.last().is_some_and(|line| line.ends_with('\\')) {
        step.lines.push(line);
    } else {
        step.prints.push(line);
    }
    Ok(())
}

/// Takes in a line of a block that is typed in a mount.
fn inside<'a>(block: &mut Block<'a>, line: &'a str) -> Result<(), String> {
    if let Some(call) = line.strip_prefix("# ") {
        if let Some(last) = block.steps.last() {
            begun(&block.steps, last.call)?;
        }
        block.steps.push(Step { call, ..Step::default() });
        return Ok(());
    }
    let step = block.steps.last_mut().ok_or(format!("{line}: for no call"))?;
    match line.strip_prefix("#>") {
        Some(_) if step.lines.is_empty() => return Err(format!("{}: nothing is typed", step.call)),
        Some(printed) => step.prints.push(printed.strip_prefix(' ').unwrap_or(printed)),
        None if step.prints.is_empty() => step.lines.push(line),
        // What prints something else is another step of the same call.
        None => {
            let call = step.call;
            block.steps.push(Step { call, lines: vec![line], ..Step::default() });
        }
    }
    Ok(())
}

/// Whether something is typed in place of this call, the last one, and the page shows what comes of it.
fn begun(steps: &[Step<'_>], call: &str) -> Result<(), String> {
    let mut last = steps.iter().rev().take_while(|step| std::ptr::eq(step.call, call)).peekable();
    if last.peek().is_none_or(|step| step.lines.is_empty()) {
        return Err(format!("{call}: nothing is typed"));
    }
    let is_shown = |step: &Step<'_>| step.prints.iter().any(|line| line.trim() != "…");
    last.next()
        .filter(|step| is_shown(step))
        .map_or(Err(format!("{call}: nothing is shown of what comes of it")), |_| Ok(()))
}

/// A page with one block of these lines.
fn page(block: &str) -> String {
    format!("# Title\n\n## Guide\n\nIn `glancefs mount --ttl=0 mycloud ~/images`:\n\n```sh\n{block}\n```\n")
}

fn a_page_that_leaves_something_out_is_no_page(_: &Target) {
    let refused = |page: &str| read(page, Typed::Mounted).err().unwrap_or_else(|| panic!("accepted:\n{page}"));
    for (block, fault) in [
        ("ls", "ls: for no call"),
        ("# a()\n# b()\nls\n#> x", "a(): nothing is typed"),
        ("# a()\nls\n#> x\n# b()", "b(): nothing is typed"),
        ("# a()\n#> x", "a(): nothing is typed"),
        ("# a()\ntouch x", "a(): nothing is shown of what comes of it"),
        ("# a()\ntouch x\n# b()\nls\n#> x", "a(): nothing is shown of what comes of it"),
        ("# a()\nls\n#> x\ntouch y", "a(): nothing is shown of what comes of it"),
        ("# a()\nls\n#> …", "a(): nothing is shown of what comes of it"),
        ("", ": for no call"),
    ] {
        assert_eq!(refused(&page(block)), fault, "{block}");
    }
    let good = page("# a()\nls x\n#> y");
    assert_eq!(refused(&good.replace("mount --ttl", "umount --ttl")), "no mount is named before a block");
    assert_eq!(refused(&good.replace("```sh", "```")), "```: a block that is not run");
    assert_eq!(refused(good.strip_suffix("```\n").unwrap()), "a block has no end");
    assert_eq!(refused(&good.replace("## Guide\n", "")), "a block in no guide");
    let fault = "ls z: no block runs this command of the text";
    assert_eq!(refused(&(good.clone() + "\n| `b` | not so | `ls z` |\n")), fault);
    assert_eq!(refused(&(good + "\nOr `ls z`.\n")), fault);
}

fn a_page_says_what_is_typed_where_and_what_it_prints(_: &Target) {
    let text = page("# a()\nls x\n#> y\n#>\n#>  z\nls\n#> x\n# b()\ntrue\nls\n#> x")
        + "\nBeside `glancefs mount theircloud ~/other`:\n\n```sh\n# c()\nls\n#> x\n```\n\n| `d()`, `e` | no | `ls x` |\n";
    let guides = read(&text, Typed::Mounted).unwrap();
    let [guide] = &guides[..] else { panic!("{guides:?}") };
    let said: Vec<_> =
        guide.blocks[0].steps.iter().map(|step| (step.call, &step.lines[..], &step.prints[..])).collect();
    assert_eq!(
        said,
        [("a()", &["ls x"][..], &["y", "", " z"][..]), ("a()", &["ls"], &["x"]), ("b()", &["true", "ls"], &["x"]),]
    );
    let mount = Named { cloud: "mycloud", options: vec!["--ttl=0"] };
    let mount = Some(mount);
    assert_eq!((&guide.blocks[0].mount, &guide.blocks[0].other), (&mount, &None));
    assert_eq!(guide.blocks[1].mount, mount);
    assert_eq!(guide.blocks[1].other, Some(Named { cloud: "theircloud", options: Vec::new() }));
    assert_eq!(guide.calls().collect::<Vec<_>>(), ["a()", "a()", "b()", "c()", "`d()`, `e`"]);
}

fn what_is_typed_at_home_stands_behind_a_dollar_and_what_it_prints_below(_: &Target) {
    let text = "# Title\n\n```text\n$ no\n```\n## Group\n\nWith `glancefs mount mycloud ~/images`:\n\n### One\n\n\
                `glancefs mount -r theircloud ~/images`\n\n```console\n$ ls \\\n  x\ny\n$ true\n```\n### Two\n```console\n$ ls\n```\n\
                After `glancefs umount ~/images`:\n```console\n$ glancefs umount ~/images\n```\n";
    let guides = read(text, Typed::AtHome).unwrap();
    let found: Vec<_> = guides.iter().map(|guide| (guide.title, guide.blocks.len())).collect();
    assert_eq!(found, [("Title", 0), ("Group", 0), ("One", 1), ("Two", 2)]);
    let [ls, none] = &guides[2].blocks[0].steps[..] else { panic!("{guides:?}") };
    assert_eq!((&ls.lines[..], &ls.prints[..]), (&["ls \\", "  x"][..], &["y"][..]));
    assert_eq!((&none.lines[..], none.prints.len()), (&["true"][..], 0));
    let cloud = |guide: &Guide<'_>| guide.blocks[0].mount.as_ref().map(|named| named.cloud.to_owned());
    assert_eq!((cloud(&guides[2]).as_deref(), cloud(&guides[3]).as_deref()), (Some("theircloud"), Some("mycloud")));
    assert_eq!(guides[3].blocks[1].mount, None);
    for (block, fault) in [("y\n$ x", "y: behind nothing that is typed"), ("", ": behind nothing that is typed")] {
        assert_eq!(read(&format!("# T\n```console\n{block}\n```\n"), Typed::AtHome).unwrap_err(), fault);
    }
}
