//! The settings of one cloud with openstacksdk's fixes applied: one place for each key.

use url::Url;

use super::super::clouds::Entry;
use super::super::environment::Surroundings;
use super::super::error::ConfigError;
use super::super::value::{Map, Value, underscored};

/// Keys of `auth` that win where they stand beside it: they were put there by an override. Of several old spellings the
/// last one wins.
const OUTER_WINS: [(&str, &[&str]); 10] = [
    ("domain_id", &["domain_id"]),
    ("domain_name", &["domain_name"]),
    ("user_domain_id", &["user_domain_id"]),
    ("user_domain_name", &["user_domain_name"]),
    ("project_domain_id", &["project_domain_id"]),
    ("project_domain_name", &["project_domain_name"]),
    ("token", &["auth_token", "token"]),
    ("passcode", &["passcode"]),
    ("project_id", &["tenant_id", "project_id"]),
    ("project_name", &["tenant_name", "project_name"]),
];

/// Keys that name what a token is for; one that the command line gives replaces all that the files give.
const SCOPES: [&str; 6] = ["project_id", "project_name", "domain_id", "domain_name", "system_scope", "trust_id"];
/// Pairs of which the command line's replaces the other one of the files.
const EITHER: [(&str, &str); 4] = [
    ("username", "user_id"),
    ("user_domain_id", "user_domain_name"),
    ("project_domain_id", "project_domain_name"),
    ("application_credential_id", "application_credential_name"),
];
/// Secrets that the environment may add to a cloud of a file that has none.
const SECRETS: [(&str, &str); 4] = [
    ("password", "OS_PASSWORD"),
    ("token", "OS_TOKEN"),
    ("passcode", "OS_PASSCODE"),
    ("application_credential_secret", "OS_APPLICATION_CREDENTIAL_SECRET"),
];

/// The settings of one cloud.
pub(super) struct Settings {
    /// The cloud's name.
    pub(super) cloud: String,
    /// The region that was chosen.
    pub(super) region: Option<String>,
    auth: Map,
    rest: Map,
    /// The domain of users and projects that no setting names.
    pub(super) default_domain: Option<String>,
}

impl Settings {
    pub(super) fn new(entry: Entry, around: &Surroundings) -> Result<Self, ConfigError> {
        let mut rest = underscored(entry.settings);
        let auth = match rest.remove("auth") {
            Some(Value::Map(auth)) => auth,
            Some(Value::Null) | None => Map::new(),
            Some(other) => {
                let place = format!("auth of cloud {}", entry.name);
                return Err(ConfigError::Shape { place, expected: "a mapping", found: other.kind() });
            }
        };
        let default_domain = around.variable("OS_DEFAULT_DOMAIN").map(str::to_owned);
        let mut settings = Self { cloud: entry.name, region: entry.region, auth, rest, default_domain };
        settings.gather();
        settings.new_interface_names();
        settings.spread_domain();
        settings.add_secrets(around);
        Ok(settings)
    }

    /// Brings old spellings and keys beside `auth` to their one place.
    fn gather(&mut self) {
        for (target, spellings) in OUTER_WINS {
            let mut found = None;
            for spelling in spellings {
                found = self.auth.remove(*spelling).filter(is_given).or(found);
                found = self.rest.remove(*spelling).filter(is_given).or(found);
            }
            if let Some(value) = found {
                self.auth.insert(target.to_owned(), value);
            }
        }
    }

    /// `endpoint_type` is the old name of `interface`.
    fn new_interface_names(&mut self) {
        let old: Vec<_> = self.rest.keys().filter(|key| key.ends_with("endpoint_type")).cloned().collect();
        for key in old {
            if let Some(value) = self.rest.remove(&key) {
                self.rest.insert(key.replace("endpoint_type", "interface"), value);
            }
        }
    }

    /// Beside a project, `domain_id` and `domain_name` mean the domain of both user and project.
    fn spread_domain(&mut self) {
        if self.auth("project_id").is_none() && self.auth("project_name").is_none() {
            return;
        }
        for (domain, keys) in [
            ("domain_id", ["user_domain_id", "project_domain_id"]),
            ("domain_name", ["user_domain_name", "project_domain_name"]),
        ] {
            let Some(value) = self.auth.remove(domain) else { continue };
            for key in keys {
                self.auth.entry(key.to_owned()).or_insert_with(|| value.clone());
            }
        }
    }

    fn add_secrets(&mut self, around: &Surroundings) {
        for (key, variable) in SECRETS {
            if let (None, Some(secret)) = (self.auth(key), around.variable(variable)) {
                self.auth.insert(key.to_owned(), Value::text(secret));
            }
        }
    }

    /// Lays what the command line says over it.
    pub(super) fn lay_over(&mut self, auth: Map, rest: Map) {
        if SCOPES.iter().any(|key| auth.contains_key(*key)) {
            for key in SCOPES {
                self.auth.remove(key);
                self.rest.remove(key);
            }
        }
        for (one, other) in EITHER {
            for (given, replaced) in [(one, other), (other, one)] {
                if auth.contains_key(given) {
                    self.auth.remove(replaced);
                    self.rest.remove(replaced);
                }
            }
        }
        if rest.contains_key("interface") {
            self.rest.remove("image_interface");
            self.rest.remove("compute_interface");
        }
        self.auth.extend(auth);
        self.rest.extend(rest);
    }

    /// A key of `auth`, which may also stand beside it.
    pub(super) fn auth(&self, key: &str) -> Option<&str> {
        self.auth.get(key).and_then(Value::as_text).or_else(|| self.value(key))
    }

    /// A key beside `auth`.
    pub(super) fn value(&self, key: &str) -> Option<&str> {
        self.raw(key).and_then(Value::as_text)
    }

    /// A key beside `auth`, whatever it is.
    pub(super) fn raw(&self, key: &str) -> Option<&Value> {
        self.rest.get(key)
    }

    /// A key that is a list, or a text with commas; in `auth` or beside it.
    pub(super) fn values(&self, key: &str) -> Vec<&str> {
        match self.auth.get(key).or_else(|| self.raw(key)) {
            Some(Value::List(list)) => list.iter().filter_map(Value::as_text).collect(),
            Some(value) => {
                let parts = value.as_text().into_iter().flat_map(|text| text.split(','));
                parts.map(str::trim).filter(|part| !part.is_empty()).collect()
            }
            None => Vec::new(),
        }
    }

    /// A URL in which `{region_name}` and other keys in braces are replaced by their values.
    pub(super) fn url(&self, key: &str, text: &str) -> Result<Url, ConfigError> {
        let text = self.filled(key, text)?;
        let advice = "it has to be an address with http:// or https:// and a host";
        // What is not of the expected form may hold a password anywhere; it is described and not quoted.
        let url = Url::parse(&text).ok().filter(|url| matches!(url.scheme(), "http" | "https"));
        let url = url.ok_or_else(|| self.invalid(key, "something else", advice))?;
        if !url.username().is_empty() || url.password().is_some() {
            return Err(self.invalid(key, "an address with a user in it", "put user and password under auth"));
        }
        Ok(url)
    }

    fn filled(&self, key: &str, text: &str) -> Result<String, ConfigError> {
        let mut out = String::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('{') {
            let Some((name, behind)) = after.split_once('}') else { break };
            let value = if name == "region_name" { self.region.as_deref() } else { self.value(name) };
            let value = value.ok_or_else(|| {
                self.invalid(
                    key,
                    text,
                    &format!("there is no value for {{{name}}} in it; choose a region, or write it out"),
                )
            })?;
            out.push_str(before);
            out.push_str(value);
            rest = behind;
        }
        out.push_str(rest);
        Ok(out)
    }

    pub(super) fn missing(&self, key: &'static str, advice: &str) -> ConfigError {
        ConfigError::Missing { cloud: self.cloud.clone(), key, advice: advice.to_owned() }
    }

    pub(super) fn invalid(&self, key: &str, value: &str, advice: &str) -> ConfigError {
        ConfigError::Invalid {
            cloud: self.cloud.clone(),
            key: key.to_owned(),
            value: value.to_owned(),
            advice: advice.to_owned(),
        }
    }
}

fn is_given(value: &Value) -> bool {
    value.as_text().is_some()
}
