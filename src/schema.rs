//! What the attributes of an image may be, as the service describes it (`GET /v2/schemas/image`). Pure.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

/// The attributes that Glance describes, and whether it lets nobody write them.
const GLANCE: &[(&str, bool)] = &[
    ("checksum", true),
    ("container_format", false),
    ("created_at", true),
    ("direct_url", true),
    ("disk_format", false),
    ("file", true),
    ("id", false),
    ("locations", false),
    ("min_disk", false),
    ("min_ram", false),
    ("name", false),
    ("os_hash_algo", true),
    ("os_hash_value", true),
    ("os_hidden", false),
    ("owner", false),
    ("protected", false),
    ("schema", true),
    ("self", true),
    ("size", true),
    ("status", true),
    ("stores", true),
    ("tags", false),
    ("updated_at", true),
    ("virtual_size", true),
    ("visibility", false),
];

/// The attributes of an image, as a service describes them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Schema {
    /// By name: whether the attribute is read-only.
    attributes: BTreeMap<String, bool>,
}

impl Schema {
    /// What a JSON Schema of a service says; `None` where it describes no attributes.
    pub fn of(json: &Value) -> Option<Self> {
        let properties = json.get("properties")?.as_object()?;
        let is_core = |of: &Map<String, Value>| of.get("is_base").and_then(Value::as_bool).unwrap_or(true);
        let attributes = properties.iter().filter_map(|(key, of)| {
            let of = of.as_object()?;
            let read_only = of.get("readOnly").and_then(Value::as_bool).unwrap_or(false);
            is_core(of).then(|| (key.clone(), read_only))
        });
        Some(Self { attributes: attributes.collect() })
    }

    /// What Glance describes, for a service that describes nothing.
    pub fn builtin() -> Self {
        Self { attributes: GLANCE.iter().map(|(key, read_only)| ((*key).to_owned(), *read_only)).collect() }
    }

    /// Whether nobody writes this attribute.
    pub fn is_read_only(&self, key: &str) -> bool {
        self.attributes.get(key).copied().unwrap_or(false)
    }

    /// Whether this is an attribute that every image has, and no additional property.
    pub fn is_attribute(&self, key: &str) -> bool {
        self.attributes.contains_key(key)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn attributes_are_told_from_additional_properties_and_those_that_nobody_writes() {
        let described = json!({"properties": {
            "size": {"type": ["null", "integer"], "readOnly": true}, "name": {"type": "string"},
            "os_distro": {"type": "string", "is_base": false},
        }});
        for schema in [Schema::builtin(), Schema::of(&described).unwrap()] {
            assert!(schema.is_read_only("size") && !schema.is_read_only("name") && !schema.is_read_only("os_distro"));
            assert!(schema.is_attribute("name") && !schema.is_attribute("os_distro"));
        }
        assert_eq!(Schema::of(&json!({"schema": {}})), None);
    }
}
