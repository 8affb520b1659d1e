//! Markdown as pages of the manual: as much of it as our documents use.
//!
//! Tables become lists of terms, because tbl(1) is not run wherever a page is shown.

use std::fmt::Write as _;
use std::iter::Peekable;
use std::str::Lines;

/// No word is parted at the end of a line: many are names.
const HEAD: &str = ".nh\n.SH DESCRIPTION\n";

/// The sections of a page: `.SH` for each heading of the second level, what is before the first of them as DESCRIPTION.
/// The title of the document is left to who writes the page's head.
pub(super) fn sections(markdown: &str) -> String {
    String::from(HEAD) + &body(markdown)
}

/// The section of a document with this heading, as one of a page.
pub(super) fn section(markdown: &str, heading: &str) -> Option<String> {
    let (_, rest) = markdown.split_once(&format!("\n## {heading}\n"))?;
    let text = rest.split("\n## ").next().unwrap_or(rest);
    Some(body(&format!("## {heading}\n{text}")))
}

fn body(markdown: &str) -> String {
    let mut roff = String::new();
    let mut lines = markdown.lines().peekable();
    while let Some(line) = lines.next() {
        if line.starts_with("```") {
            code(&mut roff, lines.by_ref().take_while(|line| !line.starts_with("```")));
        } else if let Some(heading) = line.strip_prefix("### ") {
            request(&mut roff, ".SS", &inline(heading, 'B'));
        } else if let Some(heading) = line.strip_prefix("## ") {
            request(&mut roff, ".SH", &inline(&heading.to_uppercase(), 'B'));
        } else if line.starts_with('|') {
            let rows: Vec<_> =
                std::iter::once(line).chain(while_next(&mut lines, |next| next.starts_with('|'))).collect();
            table(&mut roff, &rows);
        } else if let Some(first) = line.strip_prefix("* ") {
            roff.push_str(".IP \\(bu 3\n");
            text(&mut roff, &joined(first, &mut lines, |next| next.starts_with("  ")), 'R');
        } else if !line.is_empty() && !line.starts_with("# ") {
            roff.push_str(".PP\n");
            text(&mut roff, &joined(line, &mut lines, |next| !next.is_empty() && !begins_block(next)), 'R');
        }
    }
    roff
}

fn begins_block(line: &str) -> bool {
    ["#", "|", "* ", "```"].iter().any(|mark| line.starts_with(mark))
}

fn while_next<'a>(lines: &mut Peekable<Lines<'a>>, goes_on: impl Fn(&str) -> bool) -> impl Iterator<Item = &'a str> {
    std::iter::from_fn(move || lines.next_if(|line| goes_on(line)))
}

fn joined(first: &str, lines: &mut Peekable<Lines<'_>>, goes_on: impl Fn(&str) -> bool) -> String {
    while_next(lines, goes_on).fold(first.to_owned(), |text, line| text + " " + line.trim_start())
}

fn request(roff: &mut String, name: &str, argument: &str) {
    let _ = writeln!(roff, "{name} \"{argument}\"");
}

/// A line of text, which no mark at its beginning makes a request.
fn text(roff: &mut String, markdown: &str, font: char) {
    let _ = writeln!(roff, "\\&{}", inline(markdown, font));
}

fn code<'a>(roff: &mut String, lines: impl Iterator<Item = &'a str>) {
    roff.push_str(".PP\n.RS 4\n.nf\n");
    for line in lines {
        let _ = writeln!(roff, "\\&{}", literal(line));
    }
    roff.push_str(".fi\n.RE\n");
}

/// Rows of two columns are terms and what they mean. Of more, each is called by its column's heading.
fn table(roff: &mut String, rows: &[&str]) {
    let mut rows = rows.iter().map(|row| cells(row));
    let headings = rows.next().unwrap_or_default();
    let is_of_terms = headings.len() == 2;
    if is_of_terms {
        row(roff, &headings, 'I');
    }
    // What is between is a line of hyphens.
    for cells in rows.skip(1) {
        if is_of_terms {
            row(roff, &cells, 'R');
            continue;
        }
        let named = headings.iter().zip(&cells).skip(1).map(|(heading, cell)| format!("{heading}: {cell}"));
        let named: Vec<_> = cells.iter().take(1).cloned().chain(named).collect();
        row(roff, &named, 'R');
    }
}

fn row(roff: &mut String, cells: &[String], font: char) {
    roff.push_str(".TP\n");
    for (index, cell) in cells.iter().enumerate() {
        if index > 1 {
            roff.push_str(".br\n");
        }
        text(roff, cell, font);
    }
}

/// The cells of a row: what is between the bars that are in no code.
fn cells(row: &str) -> Vec<String> {
    let mut cells = vec![String::new()];
    let mut is_code = false;
    for letter in row.trim().trim_matches('|').chars() {
        is_code ^= letter == '`';
        if letter == '|' && !is_code {
            cells.push(String::new());
        } else if let Some(cell) = cells.last_mut() {
            cell.push(letter);
        }
    }
    cells.iter().map(|cell| cell.trim().to_owned()).collect()
}

/// What is within a line: `code` and **stress** are bold, and a link to another document names it.
fn inline(markdown: &str, font: char) -> String {
    // Roman is what a line begins in.
    let begun = if font == 'R' { String::new() } else { format!("\\f{font}") };
    let (mut roff, mut rest, mut is_bold) = (begun.clone(), markdown, false);
    while let Some(at) = rest.find(['`', '*', '[']) {
        let (before, marked) = rest.split_at(at);
        roff.push_str(&escaped(before));
        let now = if is_bold { 'B' } else { font };
        if let Some((code, behind)) = marked.strip_prefix('`').and_then(|marked| marked.split_once('`')) {
            let _ = write!(roff, "\\fB{}\\f{now}", literal(code));
            rest = behind;
        } else if let Some(behind) = marked.strip_prefix("**") {
            is_bold = !is_bold;
            let _ = write!(roff, "\\f{}", if is_bold { 'B' } else { font });
            rest = behind;
        } else if let Some((words, target, behind)) = link(marked) {
            let _ = write!(roff, "\\fI{}\\f{now}{}", escaped(words), escaped(&place_of(target)));
            rest = behind;
        } else {
            let (mark, behind) = marked.split_at(1);
            roff.push_str(&escaped(mark));
            rest = behind;
        }
    }
    roff + &escaped(rest) + if begun.is_empty() { "" } else { "\\fR" }
}

fn link(marked: &str) -> Option<(&str, &str, &str)> {
    let (words, behind) = marked.strip_prefix('[')?.split_once("](")?;
    let (target, behind) = behind.split_once(')')?;
    Some((words, target, behind))
}

/// Where another document is; nothing for a place in the same one.
fn place_of(target: &str) -> String {
    match target.split('#').next().unwrap_or_default() {
        "" => String::new(),
        file => format!(" [docs/{file}]"),
    }
}

/// Text in which a hyphen is one.
fn escaped(text: &str) -> String {
    text.chars().fold(String::new(), |roff, letter| match letter {
        // What troff would show as another sign, or take for its own.
        '\\' => roff + "\\(rs",
        '\'' => roff + "\\(aq",
        '`' => roff + "\\(ga",
        '"' => roff + "\\(dq",
        '^' => roff + "\\(ha",
        '~' => roff + "\\(ti",
        // A terminal that knows ASCII alone would show nothing.
        '…' => roff + "...",
        _ if letter.is_ascii() => roff + letter.encode_utf8(&mut [0; 4]),
        _ => roff + &format!("\\[u{:04X}]", u32::from(letter)),
    })
}

/// Text that can be copied into a shell.
fn literal(text: &str) -> String {
    escaped(text).replace('-', "\\-")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body(markdown: &str) -> String {
        sections(markdown).strip_prefix(HEAD).unwrap().to_owned()
    }

    #[test]
    fn headings_are_sections_and_the_title_is_none() {
        assert_eq!(body("# T\n\n## A b\n\n### C `d`\n"), ".SH \"\\fBA B\\fR\"\n.SS \"\\fBC \\fBd\\fB\\fR\"\n");
    }

    #[test]
    fn a_paragraph_and_an_item_are_one_line_each_however_they_were_wrapped() {
        assert_eq!(
            body("one\ntwo\n* three\n  four\n* five\n"),
            ".PP\n\\&one two\n.IP \\(bu 3\n\\&three four\n.IP \\(bu 3\n\\&five\n"
        );
    }

    #[test]
    fn code_and_stress_are_bold_also_within_each_other() {
        assert_eq!(body("a `b-c` **d `e` f** g"), ".PP\n\\&a \\fBb\\-c\\fR \\fBd \\fBe\\fB f\\fR g\n");
    }

    #[test]
    fn a_link_names_another_document_and_no_place_in_the_same_one() {
        assert_eq!(body("[a](b.md#c), [\"d\"](#d)"), ".PP\n\\&\\fIa\\fR [docs/b.md], \\fI\\(dqd\\(dq\\fR\n");
    }

    #[test]
    fn no_text_is_taken_for_a_request_or_shown_as_another_sign() {
        assert_eq!(
            body("```\n.SH \\'~^`\"-…é\n```"),
            ".PP\n.RS 4\n.nf\n\\&.SH \\(rs\\(aq\\(ti\\(ha\\(ga\\(dq\\-...\\[u00E9]\n.fi\n.RE\n"
        );
        assert_eq!(body(".x a*b [c] 1-2"), ".PP\n\\&.x a*b [c] 1-2\n");
    }

    #[test]
    fn a_row_of_two_columns_is_a_term_and_of_more_names_each_column() {
        assert_eq!(
            body("| a | b |\n|---|---|\n| `c|` | d |\n"),
            ".TP\n\\&\\fIa\\fR\n\\&\\fIb\\fR\n.TP\n\\&\\fBc|\\fR\n\\&d\n"
        );
        assert_eq!(body("| a | b | c |\n|---|---|---|\n| d | e | f |"), ".TP\n\\&d\n\\&b: e\n.br\n\\&c: f\n");
    }
}
