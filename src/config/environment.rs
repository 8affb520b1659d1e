//! What surrounds the program, as a value: environment variables and files. Tests make their own.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use super::value::{Map, Value};

/// Reads the text of a file.
pub type ReadFile = Box<dyn Fn(&Path) -> io::Result<String> + Send + Sync>;

/// The environment variables and the files that settings come from.
pub struct Surroundings {
    /// Environment variables.
    pub variables: BTreeMap<String, String>,
    /// The current folder.
    pub current_dir: PathBuf,
    /// How files are read.
    pub read: ReadFile,
}

/// Variables that choose among clouds, or say where files are: they alone describe no cloud.
const SELECTORS: [&str; 5] =
    ["OS_CLOUD", "OS_REGION_NAME", "OS_CLIENT_CONFIG_FILE", "OS_CLIENT_SECURE_FILE", "OS_CLOUD_NAME"];
/// Prefixes that belong to other tools of the OpenStack project.
const FOREIGN: [&str; 3] = ["OS_TEST", "OS_STD", "OS_LOG"];
/// Variables whose lower-case names are keys of clouds.yaml with another meaning: `OS_CLOUD` chooses a cloud while the
/// key `cloud` is an old name of `profile`, and `OS_PROFILE` is the key of a profiler.
const OTHER_MEANING: [&str; 2] = ["OS_CLOUD", "OS_PROFILE"];

impl Surroundings {
    /// Those of this process.
    pub fn of_process() -> Self {
        let text = |name: std::ffi::OsString, value: std::ffi::OsString| {
            Some((name.into_string().ok()?, value.into_string().ok()?))
        };
        Self {
            variables: std::env::vars_os().filter_map(|(name, value)| text(name, value)).collect(),
            current_dir: std::env::current_dir().unwrap_or_else(|_| PathBuf::from(".")),
            read: Box::new(|path| std::fs::read_to_string(path)),
        }
    }

    /// A variable that is set and not empty.
    pub fn variable(&self, name: &str) -> Option<&str> {
        self.variables.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }

    /// The cloud that the `OS_*` variables describe, or `None` where there are none but selectors.
    pub fn cloud(&self) -> Option<Map> {
        let ours = |name: &str| name.starts_with("OS_") && !FOREIGN.iter().any(|prefix| name.starts_with(prefix));
        let names: Vec<_> = self.variables.iter().filter(|(name, _)| ours(name)).collect();
        if names.iter().all(|(name, _)| SELECTORS.contains(&name.as_str())) {
            return None;
        }
        let key = |name: &str| name.strip_prefix("OS_").unwrap_or(name).to_ascii_lowercase();
        let described = names.into_iter().filter(|(name, _)| !OTHER_MEANING.contains(&name.as_str()));
        Some(described.map(|(name, value)| (key(name), Value::text(value.clone()))).collect())
    }

    /// The home folder; inside of a snap the real one.
    pub fn home(&self) -> Option<PathBuf> {
        self.variable("SNAP_REAL_HOME").or_else(|| self.variable("HOME")).map(PathBuf::from)
    }

    /// A path of the settings made absolute, since a daemon leaves the current folder; a leading `~/` is the home folder.
    pub fn absolute(&self, path: &str) -> PathBuf {
        match (path.strip_prefix("~/"), self.variable("HOME")) {
            (Some(rest), Some(home)) => Path::new(home).join(rest),
            _ => self.current_dir.join(path),
        }
    }

    /// The folders in which `clouds.yaml` and its like are looked for, the first one first.
    pub fn folders(&self) -> Vec<PathBuf> {
        let mut folders = vec![self.current_dir.clone()];
        let home = self.home();
        folders.extend(self.variable("XDG_CONFIG_HOME").map(|path| Path::new(path).join("openstack")));
        folders.extend(home.map(|home| home.join(".config/openstack")));
        let site = self.variable("XDG_CONFIG_DIRS").unwrap_or("/etc/xdg");
        folders.extend(site.split(':').filter(|dir| !dir.is_empty()).map(|dir| Path::new(dir).join("openstack")));
        folders.push(PathBuf::from("/etc/openstack"));
        let mut seen = std::collections::BTreeSet::new();
        folders.retain(|folder| seen.insert(folder.clone()));
        folders
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(variables: &[(&str, &str)]) -> Surroundings {
        Surroundings {
            variables: variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
            current_dir: PathBuf::from("/here"),
            read: Box::new(|_| Err(io::ErrorKind::NotFound.into())),
        }
    }

    #[test]
    fn selectors_alone_describe_no_cloud() {
        assert!(with(&[("OS_CLOUD", "a"), ("OS_REGION_NAME", "r"), ("OS_TEST_PATH", "x")]).cloud().is_none());
        let cloud = with(&[("OS_REGION_NAME", "r"), ("OS_USERNAME", "u"), ("OS_PROFILE", "hmac")]).cloud().unwrap();
        assert_eq!(cloud.keys().collect::<Vec<_>>(), ["region_name", "username"]);
    }

    #[test]
    fn folders_are_searched_from_the_nearest_to_the_farthest() {
        let folders = with(&[("HOME", "/home/u"), ("XDG_CONFIG_HOME", "/cfg")]).folders();
        let expected = ["/here", "/cfg/openstack", "/home/u/.config/openstack", "/etc/xdg/openstack", "/etc/openstack"];
        assert_eq!(folders, expected.map(PathBuf::from));
    }

    #[test]
    fn paths_become_absolute_and_a_tilde_is_the_home_folder() {
        assert_eq!(with(&[("HOME", "/home/u")]).absolute("~/ca.pem"), Path::new("/home/u/ca.pem"));
        assert_eq!(with(&[]).absolute("/ca.pem"), Path::new("/ca.pem"));
        assert_eq!(with(&[]).absolute("ca.pem"), Path::new("/here/ca.pem"));
    }
}
