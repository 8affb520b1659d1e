//! Finding the clouds: which files count, how they are laid over each other, which cloud and region is meant.
//!
//! The rules are those of Python's openstacksdk, so that a person's files mean here what they mean everywhere else. Three
//! things are refused that it passes over, because passing over them means to guess: a file that cannot be parsed, a key
//! that stands twice in one mapping, and a choice among several clouds that nobody made.

use std::io;
use std::path::{Path, PathBuf};

use super::environment::Surroundings;
use super::error::ConfigError;
use super::value::{Map, Value, merge_cloud, merge_deep, underscored};
use super::{vendors, yaml};

/// The name of the cloud that the environment describes, unless `OS_CLOUD_NAME` gives another.
const ENVIRONMENT: &str = "envvars";

/// All clouds that are configured.
#[derive(Debug)]
pub struct Clouds {
    /// What the files say, and the environment's cloud.
    own: Map,
    public: Map,
    environment_name: String,
    /// The cloud that is meant when none is named.
    default: Option<String>,
    looked_at: Vec<PathBuf>,
}

/// One cloud in one region, as keys and values: what [`super::cloud::Cloud`] is made of.
#[derive(Debug)]
pub struct Entry {
    /// The cloud's name.
    pub name: String,
    /// Its settings, the mapping `auth` among them.
    pub settings: Map,
    /// Its region.
    pub region: Option<String>,
}

impl Clouds {
    /// Reads the files and the environment.
    pub fn load(around: &Surroundings) -> Result<Self, ConfigError> {
        let mut looked_at = Vec::new();
        let (file, mut root) = first_file(around, "clouds", "OS_CLIENT_CONFIG_FILE", &mut looked_at)?;
        let (_, secure) = first_file(around, "secure", "OS_CLIENT_SECURE_FILE", &mut Vec::new())?;
        merge_deep(&mut root, secure);
        let (_, mut public) = first_file(around, "clouds-public", "", &mut Vec::new())?;
        let mut clouds = section(&mut root, "clouds", file.as_deref())?;
        let environment_name = around.variable("OS_CLOUD_NAME").unwrap_or(ENVIRONMENT).to_owned();
        if clouds.contains_key(&environment_name) {
            let file = file.unwrap_or_default().display().to_string();
            return Err(ConfigError::EnvironmentNameTaken { file, name: environment_name });
        }
        let mut default = around.variable("OS_CLOUD").map(str::to_owned);
        if let Some(cloud) = around.cloud() {
            clouds.insert(environment_name.clone(), Value::Map(cloud));
            default = default.or_else(|| Some(environment_name.clone()));
        }
        let public = section(&mut public, "public-clouds", None)?;
        Ok(Self { own: clouds, public, environment_name, default, looked_at })
    }

    /// The names of the clouds.
    pub fn names(&self) -> Vec<String> {
        self.own.keys().cloned().collect()
    }

    /// Is nothing configured at all?
    pub fn is_empty(&self) -> bool {
        self.own.is_empty()
    }

    /// The cloud of that name, or the one that is meant when none is named; in that region, or in its first one.
    pub fn select(&self, name: Option<&str>, region: Option<&str>) -> Result<Entry, ConfigError> {
        let name = self.chosen(name)?;
        let own = self.own_settings(&name)?;
        let profile = self.profile(&name, &own)?;
        // What the command line says lies above the environment, which has no list of valid regions.
        let free = name == self.environment_name && region.is_some();
        let (region, values) = match region.filter(|_| free) {
            Some(region) => (Some(region.to_owned()), Map::new()),
            None => region_of(&name, &own, &profile, region)?,
        };
        let mut settings = underscored(profile);
        merge_cloud(&mut settings, own);
        merge_cloud(&mut settings, values);
        settings.remove("regions");
        Ok(Entry { name, settings, region })
    }

    fn chosen(&self, name: Option<&str>) -> Result<String, ConfigError> {
        if let Some(name) = name.or(self.default.as_deref()) {
            return Ok(name.to_owned());
        }
        let mut names = self.own.keys();
        match (names.next(), names.next()) {
            (Some(only), None) => Ok(only.clone()),
            (None, _) => Err(ConfigError::NothingConfigured { looked_at: self.looked_at.clone() }),
            _ => Err(ConfigError::ChooseCloud { known: self.names() }),
        }
    }

    fn own_settings(&self, name: &str) -> Result<Map, ConfigError> {
        match self.own.get(name) {
            Some(Value::Map(map)) => Ok(underscored(map.clone())),
            Some(Value::Null) => Ok(Map::new()),
            Some(other) => Err(shape(&format!("cloud {name}"), "a mapping", other)),
            None => Err(ConfigError::UnknownCloud {
                name: name.to_owned(),
                known: self.names(),
                looked_at: self.looked_at.clone(),
            }),
        }
    }

    /// The settings of the vendor that the cloud refers to, empty where it refers to none.
    fn profile(&self, cloud: &str, own: &Map) -> Result<Map, ConfigError> {
        let named = own.get("profile").or_else(|| own.get("cloud")).and_then(Value::as_text);
        let Some(profile) = named.filter(|profile| *profile != self.environment_name) else {
            return Ok(Map::new());
        };
        if let Some(Value::Map(map)) = self.public.get(profile) {
            return Ok(map.clone());
        }
        match vendors::profile(cloud, profile) {
            Ok(map) => Ok(map),
            // Whoever gives the address needs the vendor's profile for nothing that is asked here.
            Err(_) if auth_url(own).is_some() => Ok(Map::new()),
            Err(error) => Err(error),
        }
    }
}

fn auth_url(settings: &Map) -> Option<&str> {
    let inside = settings.get("auth").and_then(Value::as_map).and_then(|auth| auth.get("auth_url"));
    inside.or_else(|| settings.get("auth_url")).and_then(Value::as_text)
}

/// The first file of that name that can be read, and its mapping. A file that may not be read counts as absent.
fn first_file(
    around: &Surroundings,
    stem: &str,
    variable: &str,
    looked_at: &mut Vec<PathBuf>,
) -> Result<(Option<PathBuf>, Map), ConfigError> {
    let named = around.variable(variable).map(PathBuf::from);
    let in_folders = around
        .folders()
        .into_iter()
        .flat_map(|folder| ["yaml", "yml", "json"].map(|suffix| folder.join(format!("{stem}.{suffix}"))));
    for path in named.into_iter().chain(in_folders) {
        looked_at.push(path.clone());
        if let Ok(text) = (around.read)(&path) {
            let map = parse(&path, &text)?;
            return Ok((Some(path), map));
        }
    }
    Ok((None, Map::new()))
}

fn parse(path: &Path, text: &str) -> Result<Map, ConfigError> {
    let json = path.extension().is_some_and(|suffix| suffix == "json");
    let parsed = if json { yaml::from_json(text) } else { yaml::from_yaml(text) };
    match parsed.map_err(|error| ConfigError::Syntax { file: path.to_owned(), error })? {
        Value::Map(map) => Ok(map),
        Value::Null => Ok(Map::new()),
        other => Err(shape(&path.display().to_string(), "a mapping", &other)),
    }
}

/// Takes a section out of a file. A missing one counts as empty.
fn section(root: &mut Map, key: &str, file: Option<&Path>) -> Result<Map, ConfigError> {
    match root.remove(key) {
        Some(Value::Map(map)) => Ok(map),
        Some(Value::Null) | None => Ok(Map::new()),
        Some(other) => {
            let file = file.map(|file| format!(" of {}", file.display())).unwrap_or_default();
            Err(shape(&format!("{key}{file}"), "a mapping", &other))
        }
    }
}

fn shape(place: &str, expected: &'static str, found: &Value) -> ConfigError {
    ConfigError::Shape { place: place.to_owned(), expected, found: found.kind() }
}

/// A region and the settings that hold in it alone.
type Region = (String, Map);

/// The region that is meant, and what is set for it alone.
fn region_of(
    cloud: &str,
    own: &Map,
    profile: &Map,
    wanted: Option<&str>,
) -> Result<(Option<String>, Map), ConfigError> {
    let mut known = regions(cloud, own)?;
    if known.is_empty() && !own.contains_key("regions") && !own.contains_key("region_name") {
        known = regions(cloud, &underscored(profile.clone()))?;
    }
    let Some(wanted) = wanted else {
        let first = known.into_iter().next();
        let (name, values) = first.unwrap_or_default();
        return Ok((Some(name).filter(|name| !name.is_empty()), values));
    };
    if known.is_empty() {
        return Ok((Some(wanted.to_owned()), Map::new()));
    }
    let names = known.iter().map(|(name, _)| name.clone()).collect();
    let found = known.into_iter().find(|(name, _)| name == wanted);
    let unknown = ConfigError::UnknownRegion { cloud: cloud.to_owned(), region: wanted.to_owned(), known: names };
    found.map(|(name, values)| (Some(name), values)).ok_or(unknown)
}

/// The regions that a cloud or a profile names, in `regions` or, as a list or with commas, in `region_name`.
fn regions(cloud: &str, settings: &Map) -> Result<Vec<Region>, ConfigError> {
    let (key, listed) = match (settings.get("regions"), settings.get("region_name")) {
        (Some(listed), _) => ("regions", listed),
        (None, Some(listed)) => ("region_name", listed),
        (None, None) => return Ok(Vec::new()),
    };
    match listed {
        Value::Null => Ok(Vec::new()),
        Value::Text { text, .. } if text.is_empty() => Ok(Vec::new()),
        Value::List(list) => list.iter().map(|item| region(cloud, item)).collect(),
        Value::Text { text, .. } => Ok(text.split(',').map(|name| (name.to_owned(), Map::new())).collect()),
        Value::Map(_) => Err(shape(&format!("{key} of cloud {cloud}"), "a list", listed)),
    }
}

fn region(cloud: &str, item: &Value) -> Result<Region, ConfigError> {
    let wrong = || shape(&format!("a region of cloud {cloud}"), "a name, or a mapping of name and values", item);
    match item {
        Value::Text { text, .. } => Ok((text.clone(), Map::new())),
        Value::Map(map) => {
            let name = map.get("name").and_then(Value::as_text).ok_or_else(wrong)?;
            match map.get("values") {
                Some(Value::Map(values)) => Ok((name.to_owned(), underscored(values.clone()))),
                Some(Value::Null) | None => Ok((name.to_owned(), Map::new())),
                Some(_) => Err(wrong()),
            }
        }
        _ => Err(wrong()),
    }
}

/// Reads a file that an option names, without the newline at its end.
pub fn read_secret(around: &Surroundings, option: &str, file: &Path) -> Result<String, ConfigError> {
    let refused = |error: &io::Error| ConfigError::SecretFile {
        option: option.to_owned(),
        file: file.to_owned(),
        reason: error.to_string(),
    };
    let text = (around.read)(file).map_err(|error| refused(&error))?;
    Ok(text.strip_suffix('\n').map_or(&*text, |line| line.strip_suffix('\r').unwrap_or(line)).to_owned())
}
