//! What a schema says, the service's and our own.

use serde_json::json;

use super::*;

/// What a service shows: an operator's formats and properties among Glance's attributes.
fn shown() -> Schema {
    let schema = json!({
        "name": "image",
        "properties": {
            "id": {"type": "string", "pattern": "^([0-9a-fA-F]){8}-([0-9a-fA-F]){4}-…"},
            "name": {"type": ["null", "string"], "maxLength": 255},
            "status": {"type": "string", "readOnly": true, "enum": ["queued", "active"]},
            "protected": {"type": "boolean"},
            "disk_format": {"type": ["null", "string"], "enum": [null, "raw", "zst"]},
            "min_ram": {"type": "integer", "maximum": 4096},
            "min_disk": {"type": "integer"},
            "tags": {"type": "array", "items": {"type": "string", "maxLength": 255}},
            "kernel_id": {"type": ["null", "string"], "is_base": false, "pattern": "^([0-9a-fA-F]){8}-([0-9a-fA-F]){4}-…"},
            "hw_mode": {"type": "string", "is_base": false, "enum": ["a", "b"], "readOnly": false},
            "code": {"type": "string", "is_base": false, "minLength": 2},
            "sealed": {"type": "string", "is_base": false, "readOnly": true},
            "ratio": {"type": "number"},
            "odd": {"type": "tuple", "weird": 5},
        },
        "additionalProperties": {"type": "string"},
    });
    Schema::of(&schema).unwrap()
}

fn sentence(schema: &Schema, key: &str, value: &Value) -> String {
    schema.check(key, value).map_or_else(|misfit| misfit.to_string(), |()| "fits".to_owned())
}

#[test]
fn a_value_that_fits_is_taken() {
    let table = [
        ("name", json!(null)),
        ("name", json!("é".repeat(255))),
        ("protected", json!(true)),
        ("disk_format", json!("zst")),
        ("disk_format", json!(null)),
        ("min_ram", json!(4096)),
        ("tags", json!([])),
        ("tags", json!(["a", "", "b/c"])),
        ("p", json!("")),
        ("p", json!("x".repeat(70_000))),
        ("kernel_id", json!("AAAAAAAA-bbbb-CCCC-dddd-eeeeeeeeeeee")),
        ("code", json!("12")),
        ("ratio", json!(1.5)),
        ("odd", json!({"any": 1})),
    ];
    for (key, value) in table {
        assert_eq!(sentence(&shown(), key, &value), "fits", "{key} {value}");
    }
}

#[test]
fn a_value_that_does_not_fit_is_told_with_its_key_and_what_is_accepted() {
    let uuid = "it is the id of an image (a UUID)";
    let table = [
        ("disk_format", json!("qcow3"), "'disk_format' cannot be \"qcow3\": it is null, \"raw\" or \"zst\""),
        ("disk_format", json!(5), "'disk_format' cannot be 5: it is null, \"raw\" or \"zst\""),
        ("protected", json!("true"), "'protected' cannot be \"true\": it is true or false, without quotes"),
        ("name", json!(5), "'name' cannot be 5: it is null or a text in quotes"),
        ("min_disk", json!("4"), "'min_disk' cannot be \"4\": it is a whole number, without quotes"),
        ("min_disk", json!(4.0), "'min_disk' cannot be 4.0: it is a whole number, without quotes"),
        ("min_disk", json!(true), "'min_disk' cannot be true: it is a whole number, without quotes"),
        ("min_disk", json!(-1), "'min_disk' cannot be -1: it is a whole number from 0 to 2147483647"),
        (
            "min_disk",
            json!(1_u64 << 63),
            "'min_disk' cannot be 9223372036854775808: it is a whole number from 0 to 2147483647",
        ),
        ("min_ram", json!(4097), "'min_ram' cannot be 4097: it is a whole number from 0 to 4096"),
        ("tags", json!("a"), "'tags' cannot be \"a\": it is a list"),
        ("tags", json!(["a", 5]), "'tags' cannot hold 5: it is a text in quotes"),
        ("p", json!(4), "'p' cannot be 4: properties are texts, so write \"4\", in quotes"),
        ("p", json!(false), "'p' cannot be false: properties are texts, so write \"false\", in quotes"),
        ("p", json!(null), "'p' cannot be null: a property is removed by leaving its line out"),
        ("p", json!({"a": [1]}), "'p' cannot be {\"a\":[1]}: properties are texts in quotes"),
        ("kernel_id", json!(null), "'kernel_id' cannot be null: a property is removed by leaving its line out"),
        ("kernel_id", json!("x"), &format!("'kernel_id' cannot be \"x\": {uuid}")),
        ("hw_mode", json!("c"), "'hw_mode' cannot be \"c\": it is \"a\" or \"b\""),
        ("code", json!("1"), "'code' cannot be \"1\": it has at least 2 characters, and this has 1"),
        ("os_hidden", json!(true), "'os_hidden' cannot be true: this service does not have the attribute"),
    ];
    for (key, value, words) in table {
        assert_eq!(sentence(&shown(), key, &value), words);
    }
}

#[test]
fn what_is_long_is_counted_in_characters_and_shown_cut() {
    let told = sentence(&shown(), "name", &json!("é".repeat(256)));
    let cut = "é".repeat(59);
    assert_eq!(told, format!("'name' cannot be \"{cut}…: it has at most 255 characters, and this has 256"));
    let told = sentence(&shown(), "tags", &json!(["x".repeat(300)]));
    assert!(told.starts_with("'tags' cannot hold \"xxx") && told.ends_with("at most 255 characters, and this has 300"));
    let told = sentence(&shown(), &"k".repeat(256), &json!("v"));
    assert!(told.ends_with("the name of a property has at most 255 characters") && told.len() < 200, "{told}");
}

#[test]
fn nothing_is_shown_raw_that_would_disturb_a_terminal() {
    let told = sentence(&shown(), "a\u{1b}[2J\n\u{9b}", &json!(["\u{1b}[2J\u{7f}\u{85}\u{202e}\u{feff}"]));
    assert!(!told.chars().any(|letter| letter.is_control() || matches!(letter, '\u{202e}' | '\u{feff}')), "{told:?}");
    assert!(told.contains("'a\\u001b[2J\\u000a\\u009b'") && told.contains("\\u202e"), "{told}");
}

#[test]
fn what_the_service_writes_nobody_else_can() {
    for schema in [shown(), Schema::builtin(), Schema::of(&json!({"properties": {}})).unwrap()] {
        for key in READ_ONLY.into_iter().chain(["os_glance_failed_import", "os_glance_"]) {
            assert!(schema.is_read_only(key), "{key}");
        }
        for key in ["name", "tags", "owner", "os_hidden", "os_distro", "hw_mode"] {
            assert!(!schema.is_read_only(key), "{key}");
        }
    }
    assert!(shown().is_read_only("sealed") && !Schema::builtin().is_read_only("sealed"));
}

#[test]
fn a_property_that_an_operator_lists_is_no_attribute() {
    let schema = shown();
    for key in ["name", "os_hidden", "stores", "ratio"] {
        assert!(schema.is_attribute(key), "{key}");
    }
    for key in ["kernel_id", "hw_mode", "p", "os_distro"] {
        assert!(!schema.is_attribute(key), "{key}");
    }
    assert!(!Schema::builtin().is_attribute("ratio"));
}

#[test]
fn a_service_may_take_no_properties_of_ones_own() {
    let closed = Schema::of(
        &json!({"properties": {"os_distro": {"type": "string", "is_base": false}}, "additionalProperties": false}),
    );
    let closed = closed.unwrap();
    assert_eq!(sentence(&closed, "os_distro", &json!("debian")), "fits");
    assert_eq!(
        sentence(&closed, "p", &json!("v")),
        "'p' cannot be \"v\": this service takes no properties but those that it lists in its schema"
    );
}

#[test]
fn what_is_no_schema_is_none() {
    for odd in [json!(null), json!([]), json!({}), json!({"properties": []}), json!({"additionalProperties": {}})] {
        assert_eq!(Schema::of(&odd), None, "{odd}");
    }
}

#[test]
fn our_own_schema_says_what_glances_says() {
    let own = Schema::builtin();
    for key in ATTRIBUTES.into_iter().chain(["direct_url", "locations", "self", "file", "schema"]) {
        assert!(own.is_attribute(key), "{key}");
    }
    assert!(!own.is_attribute("deleted"));
    let table = [
        ("name", json!(5)),
        ("name", json!("x".repeat(256))),
        ("visibility", json!("secret")),
        ("visibility", json!(null)),
        ("owner", json!(["x"])),
        ("protected", json!(1)),
        ("os_hidden", json!(null)),
        ("disk_format", json!("qcow3")),
        ("container_format", json!("tar")),
        ("min_disk", json!(-1)),
        ("min_ram", json!(1.5)),
        ("tags", json!([null])),
        ("tags", json!(["x".repeat(256)])),
        ("p", json!(5)),
    ];
    for (key, value) in table {
        assert!(own.check(key, &value).is_err(), "{key} {value}");
    }
    for (key, value) in [("disk_format", json!("qcow2")), ("container_format", json!("bare")), ("owner", json!(null))] {
        assert_eq!(sentence(&own, key, &value), "fits");
    }
}
