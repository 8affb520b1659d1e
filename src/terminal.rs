//! What the terminal behind a stream can show.

use std::ffi::OsStr;
use std::io::IsTerminal;

/// What can be shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Terminal {
    /// It can go back, and write over what was there.
    pub moves: bool,
    /// It shows colours, and the person wants them.
    pub colours: bool,
}

impl Terminal {
    /// That behind `stream`, as the environment describes it.
    pub fn of(stream: &impl IsTerminal) -> Self {
        let variable = |name| std::env::var_os(name);
        Self::described(stream.is_terminal(), variable("TERM").as_deref(), variable("NO_COLOR").as_deref())
    }

    /// `NO_COLOR` counts where it is not empty (<https://no-color.org>).
    fn described(is_terminal: bool, term: Option<&OsStr>, no_color: Option<&OsStr>) -> Self {
        let moves = is_terminal && term.is_some_and(|term| !term.is_empty() && term != "dumb");
        Self { moves, colours: moves && no_color.is_none_or(OsStr::is_empty) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pipes_and_dumb_terminals_show_text_alone_and_no_color_is_heard() {
        let of = |is_terminal, term: Option<&'static str>, no_color: Option<&'static str>| {
            let described = Terminal::described(is_terminal, term.map(OsStr::new), no_color.map(OsStr::new));
            (described.moves, described.colours)
        };
        assert_eq!(of(true, Some("xterm"), None), (true, true));
        assert_eq!(of(true, Some("xterm"), Some("")), (true, true));
        assert_eq!(of(true, Some("xterm"), Some("1")), (true, false));
        for (is_terminal, term) in [(false, Some("xterm")), (true, Some("dumb")), (true, Some("")), (true, None)] {
            assert_eq!(of(is_terminal, term, None), (false, false), "{is_terminal} {term:?}");
        }
    }
}
