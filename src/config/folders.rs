//! Where programs keep what is theirs: the folders of systemd (`CacheDirectory=` and its like) and of the XDG base
//! directory specification.

use std::path::PathBuf;

/// What a folder is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// What can be had again.
    Cache,
    /// What must not be lost.
    State,
    /// Logs, which the specification counts as state.
    Log,
}

/// The usual folder: what systemd names, what XDG names, the usual place in the home, for root without a home the system's.
/// `None` where nothing tells. `variable` answers paths out of the environment, and `root` is whether root asks.
pub fn usual(purpose: Purpose, variable: &dyn Fn(&str) -> Option<PathBuf>, root: bool) -> Option<PathBuf> {
    let (systemd, xdg, home, system) = match purpose {
        Purpose::Cache => ("CACHE_DIRECTORY", "XDG_CACHE_HOME", ".cache", "/var/cache"),
        Purpose::State => ("STATE_DIRECTORY", "XDG_STATE_HOME", ".local/state", "/var/lib"),
        Purpose::Log => ("STATE_DIRECTORY", "XDG_STATE_HOME", ".local/state", "/var/log"),
    };
    // A relative path in these variables is invalid and to be passed over, says the XDG specification.
    let absolute = |name: &str| variable(name).filter(|folder| folder.is_absolute());
    let above = || {
        let found = absolute(xdg).or_else(|| absolute("HOME").map(|of| of.join(home)));
        found.or_else(|| root.then(|| PathBuf::from(system)))
    };
    absolute(systemd).or_else(|| above().map(|folder| folder.join("glancefs")))
}

/// A path out of this process's environment. An empty one is none.
pub fn variable(name: &str) -> Option<PathBuf> {
    std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(purpose: Purpose, variables: &[(&str, &str)], root: bool) -> Option<PathBuf> {
        let find = |name: &str| variables.iter().find(|(key, _)| *key == name).map(|(_, value)| PathBuf::from(value));
        usual(purpose, &find, root)
    }

    #[test]
    fn systemd_comes_before_xdg_and_that_before_the_home() {
        let all = [("STATE_DIRECTORY", "/s"), ("XDG_STATE_HOME", "/x"), ("HOME", "/h")];
        let state = |variables, root| found(Purpose::State, variables, root);
        assert_eq!(state(&all, false), Some(PathBuf::from("/s")));
        assert_eq!(state(&all[1..], false), Some(PathBuf::from("/x/glancefs")));
        assert_eq!(state(&all[2..], true), Some(PathBuf::from("/h/.local/state/glancefs")));
        let relative = [("XDG_STATE_HOME", "relative"), all[2]];
        assert_eq!(state(&relative, false), state(&all[2..], false));
        assert_eq!(state(&[], true), Some(PathBuf::from("/var/lib/glancefs")));
        assert_eq!(state(&[], false), None);
    }

    #[test]
    fn what_must_not_be_lost_is_never_in_the_cache() {
        let all = [("CACHE_DIRECTORY", "/c"), ("XDG_CACHE_HOME", "/x"), ("HOME", "/h")];
        assert_eq!(found(Purpose::Cache, &all, false), Some(PathBuf::from("/c")));
        assert_eq!(found(Purpose::State, &all, false), Some(PathBuf::from("/h/.local/state/glancefs")));
        assert_eq!(found(Purpose::Log, &[], true), Some(PathBuf::from("/var/log/glancefs")));
    }
}
