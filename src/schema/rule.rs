//! What one attribute may be.

use serde_json::{Map, Value};

use super::misfit::{Misfit, alternatives, shown};
use crate::image::ImageId;

/// The types of JSON Schema.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Null,
    Text,
    Flag,
    Integer,
    Number,
    List,
    Object,
}

impl Kind {
    fn of(word: &str) -> Option<Self> {
        match word {
            "null" => Some(Self::Null),
            "string" => Some(Self::Text),
            "boolean" => Some(Self::Flag),
            "integer" => Some(Self::Integer),
            "number" => Some(Self::Number),
            "array" => Some(Self::List),
            "object" => Some(Self::Object),
            _ => None,
        }
    }

    fn has(self, value: &Value) -> bool {
        match self {
            Self::Null => value.is_null(),
            Self::Text => value.is_string(),
            Self::Flag => value.is_boolean(),
            Self::Integer => value.is_i64() || value.is_u64(),
            Self::Number => value.is_number(),
            Self::List => value.is_array(),
            Self::Object => value.is_object(),
        }
    }

    /// What people are told.
    fn words(self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Text => "a text in quotes",
            Self::Flag => "true or false, without quotes",
            Self::Integer => "a whole number, without quotes",
            Self::Number => "a number, without quotes",
            Self::List => "a list",
            Self::Object => "an object",
        }
    }
}

/// What one attribute, or each element of a list, may be. What is `None` or empty allows everything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Rule {
    /// Only the service writes it.
    pub(super) read_only: bool,
    /// An operator lists it with the attributes, and it is a property all the same (`is_base` is false).
    pub(super) is_property: bool,
    kinds: Vec<Kind>,
    words: Vec<Value>,
    /// Characters, as Python counts them: code points.
    shortest: Option<u64>,
    longest: Option<u64>,
    least: Option<i64>,
    most: Option<i64>,
    is_uuid: bool,
    items: Option<Box<Rule>>,
}

impl Rule {
    /// The rule of `key` that a schema states.
    pub(super) fn of(key: &str, json: &Value) -> Self {
        let Value::Object(json) = json else { return Self::default() };
        let whole = |keyword: &str| json.get(keyword).and_then(Value::as_u64);
        let bound = |keyword: &str| json.get(keyword).and_then(Value::as_i64);
        let flag = |keyword: &str| json.get(keyword).and_then(Value::as_bool);
        let rule = Self {
            read_only: flag("readOnly") == Some(true),
            is_property: flag("is_base") == Some(false),
            kinds: kinds(json),
            words: json.get("enum").and_then(Value::as_array).cloned().unwrap_or_default(),
            shortest: whole("minLength"),
            longest: whole("maxLength"),
            least: bound("minimum"),
            most: bound("maximum"),
            // The only pattern in the schema of Glance, under several keys.
            is_uuid: json.get("pattern").and_then(Value::as_str).is_some_and(|text| text.starts_with(UUID)),
            items: json.get("items").map(|items| Box::new(Self::of("", items))),
        };
        rule.bounded(key)
    }

    /// What Glance refuses although its schema does not say so: its database has 31 bits for these.
    fn bounded(mut self, key: &str) -> Self {
        if matches!(key, "min_disk" | "min_ram") {
            self.least = self.least.or(Some(0));
            self.most = self.most.or(Some(i64::from(i32::MAX)));
        }
        self
    }

    /// Whether `value` may be what `key` has.
    pub(super) fn check(&self, key: &str, value: &Value) -> Result<(), Misfit> {
        if let Some(accepted) = self.complaint(value) {
            return Err(Misfit::of(key, value, &accepted));
        }
        let Some((items, elements)) = self.items.as_ref().zip(value.as_array()) else { return Ok(()) };
        elements.iter().try_for_each(|element| match items.complaint(element) {
            None => Ok(()),
            Some(accepted) => Err(Misfit::inside(key, element, &accepted)),
        })
    }

    /// What would be accepted instead; `None` where the value is.
    fn complaint(&self, value: &Value) -> Option<String> {
        if !self.words.is_empty() {
            let listed = alternatives(self.words.iter().map(shown));
            return (!self.words.contains(value)).then(|| format!("it is {listed}"));
        }
        if !self.kinds.is_empty() && !self.kinds.iter().any(|kind| kind.has(value)) {
            return Some(format!("it is {}", alternatives(self.kinds.iter().map(|kind| kind.words().to_owned()))));
        }
        value.as_str().and_then(|text| self.complaint_of_text(text)).or_else(|| self.complaint_of_number(value))
    }

    fn complaint_of_text(&self, text: &str) -> Option<String> {
        let count = u64::try_from(text.chars().count()).unwrap_or(u64::MAX);
        if let Some(longest) = self.longest.filter(|longest| count > *longest) {
            return Some(format!("it has at most {longest} characters, and this has {count}"));
        }
        if let Some(shortest) = self.shortest.filter(|shortest| count < *shortest) {
            return Some(format!("it has at least {shortest} characters, and this has {count}"));
        }
        (self.is_uuid && text.parse::<ImageId>().is_err()).then(|| "it is the id of an image (a UUID)".to_owned())
    }

    fn complaint_of_number(&self, value: &Value) -> Option<String> {
        let number = value.as_i64().map(i128::from).or_else(|| value.as_u64().map(i128::from))?;
        let too_small = self.least.is_some_and(|least| number < i128::from(least));
        let too_large = self.most.is_some_and(|most| number > i128::from(most));
        (too_small || too_large).then(|| match (self.least, self.most) {
            (Some(least), Some(most)) => format!("it is a whole number from {least} to {most}"),
            (Some(least), None) => format!("it is at least {least}"),
            (None, most) => format!("it is at most {}", most.unwrap_or_default()),
        })
    }
}

/// How the pattern of a UUID begins.
const UUID: &str = "^([0-9a-fA-F]){8}-";

/// The types that a rule names: one or a list of them. A type that is not known allows everything.
fn kinds(json: &Map<String, Value>) -> Vec<Kind> {
    let words = match json.get("type") {
        Some(Value::Array(words)) => words.iter().collect(),
        Some(word) => vec![word],
        None => Vec::new(),
    };
    words.into_iter().map(|word| word.as_str().and_then(Kind::of)).collect::<Option<_>>().unwrap_or_default()
}

/// What can be written of an image in Glance 33, as its schema says.
pub(super) fn builtin() -> [(&'static str, Rule); 10] {
    let text = |longest| Rule { kinds: vec![Kind::Null, Kind::Text], longest: Some(longest), ..Rule::default() };
    let flag = || Rule { kinds: vec![Kind::Flag], ..Rule::default() };
    let number = |key| Rule { kinds: vec![Kind::Integer], ..Rule::default() }.bounded(key);
    let words = |list: &[&str]| Rule { words: list.iter().map(|word| Value::from(*word)).collect(), ..Rule::default() };
    let words_or_null = |list: &[&str]| {
        let mut rule = words(list);
        rule.words.insert(0, Value::Null);
        rule
    };
    let tag = Rule { kinds: vec![Kind::Text], longest: Some(255), ..Rule::default() };
    let disk = ["ami", "ari", "aki", "vhd", "vhdx", "vmdk", "raw", "qcow2", "vdi", "iso", "ploop"];
    let container = ["ami", "ari", "aki", "bare", "ovf", "ova", "docker", "compressed"];
    [
        ("name", text(255)),
        ("visibility", words(&["public", "community", "shared", "private"])),
        ("owner", text(255)),
        ("protected", flag()),
        ("os_hidden", flag()),
        ("disk_format", words_or_null(&disk)),
        ("container_format", words_or_null(&container)),
        ("min_disk", number("min_disk")),
        ("min_ram", number("min_ram")),
        ("tags", Rule { kinds: vec![Kind::List], items: Some(Box::new(tag)), ..Rule::default() }),
    ]
}
