//! Each rule of the comparison.

use super::*;
use crate::fs::document::metadata;
use crate::fs::testing::{id, image};

/// An image with something of everything.
fn disk() -> Image {
    let mut image = image(1, "disk");
    image.tags = vec!["a".into(), "b".into()];
    image.properties = [("p", "1"), ("q", "2")].map(|(key, value)| (key.into(), value.into())).into_iter().collect();
    image.other.insert("direct_url".into(), json!("file:///x"));
    image.other.insert("os_glance_importing_to_stores".into(), json!(""));
    image.other.insert("kernel_id".into(), Value::Null);
    image.stores = vec!["fast".into()];
    image
}

fn changed(image: &Image, change: impl FnOnce(&mut Image)) -> Image {
    let mut image = image.clone();
    change(&mut image);
    image
}

fn document(image: &Image) -> Map<String, Value> {
    serde_json::from_str(&metadata(image)).unwrap()
}

/// The document of an image with these lines instead of its own, or besides.
fn edited(image: &Image, lines: &[(&str, Value)]) -> Map<String, Value> {
    let mut document = document(image);
    for (key, value) in lines {
        document.insert((*key).to_owned(), value.clone());
    }
    document
}

fn without(mut document: Map<String, Value>, keys: &[&str]) -> Map<String, Value> {
    document.retain(|key, _| !keys.contains(&key.as_str()));
    document
}

/// What somebody has who read the image then.
fn read_as(base: Option<&Image>) -> Option<Map<String, Value>> {
    base.map(document)
}

/// The changes, as they are read.
fn told(document: &Map<String, Value>, base: Option<&Image>, current: &Image) -> Vec<String> {
    match changes(document, read_as(base).as_ref(), current, &Schema::builtin()) {
        Ok(changes) => changes.iter().map(line).collect(),
        Err(refused) => vec![refused.to_string()],
    }
}

fn line(change: &Change) -> String {
    match change {
        Change::Set { key, value } => format!("{key}={value}"),
        Change::Remove { key } => format!("-{key}"),
    }
}

fn refused(document: &Map<String, Value>, base: Option<&Image>, current: &Image) -> Refused {
    changes(document, read_as(base).as_ref(), current, &Schema::builtin()).unwrap_err()
}

const NOTHING: [&str; 0] = [];

fn read_only(key: &str) -> Refused {
    Refused::ReadOnly { key: key.to_owned() }
}

#[test]
fn attributes_stand_as_they_are_shown() {
    let image = disk();
    let shown: Vec<_> = attributes(&image).into_iter().map(|(key, _)| key).collect();
    assert_eq!(shown[..ATTRIBUTES.len()], ATTRIBUTES);
}

#[test]
fn a_document_that_nobody_edited_changes_nothing() {
    let read = disk();
    let now = changed(&read, |image| {
        image.name = Some("other".to_owned());
        image.size = Some(9);
        image.status = Status::Deactivated;
        image.tags = vec!["c".into()];
        image.properties = [("p".into(), "9".into()), ("r".into(), "3".into())].into_iter().collect();
        image.other.clear();
        image.stores.clear();
        image.updated_at = "2026-02-03T04:05:09Z".parse().unwrap();
    });
    assert_eq!(told(&document(&read), Some(&read), &read), NOTHING);
    assert_eq!(told(&document(&read), Some(&read), &now), NOTHING, "what others changed stays");
    assert_eq!(told(&document(&read), None, &read), NOTHING);
}

#[test]
fn what_the_writer_changed_is_set_and_nothing_else() {
    let read = disk();
    let now = changed(&read, |image| {
        image.protected = true;
        image.properties.insert("q".into(), "theirs".into());
    });
    let text = edited(
        &read,
        &[
            ("zz", json!("new")),
            ("p", json!("mine")),
            ("min_ram", json!(64)),
            ("name", json!("é")),
            ("a b/c~d", json!("")),
            ("disk_format", json!("qcow2")),
        ],
    );
    let expected = ["name=\"é\"", "disk_format=\"qcow2\"", "min_ram=64", "a b/c~d=\"\"", "p=\"mine\"", "zz=\"new\""];
    assert_eq!(told(&text, Some(&read), &now), expected);
    assert_eq!(told(&text, Some(&read), &read), expected);
    assert_eq!(told(&text, None, &read), expected);
}

#[test]
fn a_change_that_somebody_else_has_made_already_is_not_made_again() {
    let read = disk();
    let now = changed(&read, |image| {
        image.name = Some("new".to_owned());
        image.properties.insert("p".into(), "new".into());
        image.properties.remove("q");
        image.size = Some(9);
    });
    let text = edited(&read, &[("name", json!("new")), ("p", json!("new")), ("size", json!(9))]);
    assert_eq!(told(&without(text, &["q"]), Some(&read), &now), NOTHING);
}

#[test]
fn what_two_have_changed_is_refused_by_name() {
    let read = changed(&disk(), |image| drop(image.properties.insert("gone".into(), "1".into())));
    let now = changed(&read, |image| {
        image.properties.remove("gone");
        image.properties.insert("new".into(), "theirs".into());
        image.name = Some("theirs".to_owned());
        image.properties.insert("p".into(), "theirs".into());
        image.properties.insert("q".into(), "theirs".into());
    });
    let contested = |text: &Map<String, Value>, key: &str| {
        assert_eq!(refused(text, Some(&read), &now), Refused::Contested { key: key.to_owned() });
    };
    contested(&edited(&read, &[("name", json!("mine")), ("min_ram", json!(64))]), "name");
    contested(&edited(&read, &[("p", json!("mine"))]), "p");
    contested(&without(document(&read), &["q"]), "q");
    contested(&edited(&read, &[("new", json!("mine"))]), "new");
    contested(&edited(&read, &[("gone", json!("mine"))]), "gone");
    let same = edited(&read, &[("name", json!("theirs")), ("new", json!("theirs")), ("min_ram", json!(64))]);
    assert_eq!(told(&without(same, &["gone"]), Some(&read), &now), ["min_ram=64"], "both want the same");
    let saved = without(document(&read), &["name"]);
    let text = edited(&read, &[("name", json!("mine"))]);
    let left = changes(&text, Some(&saved), &now, &Schema::builtin()).unwrap();
    assert_eq!(left, [Change::set("name", "mine")], "what was saved before said nothing of it");
}

#[test]
fn a_change_is_doubtful_that_an_older_version_explains_as_well() {
    let read = disk();
    let older = document(&read);
    let newest = edited(&read, &[("elsewhere", json!("1")), ("p", json!("9")), ("tags", json!(["a", "new"]))]);
    let doubtful = |change: Change, text: &Map<String, Value>| takes_back(&change, text, &newest, &older);
    let gone = without(newest.clone(), &["elsewhere"]);
    assert!(doubtful(Change::remove("elsewhere"), &gone), "it was not there before");
    assert!(!doubtful(Change::remove("q"), &without(newest.clone(), &["q"])), "it was in both");
    assert!(doubtful(Change::set("p", "1"), &older));
    assert!(!doubtful(Change::set("p", "5"), &edited(&read, &[("p", json!("5"))])));
    for (given, is_doubtful) in [
        (json!(["a", "new", "mine"]), false),
        (json!(["new"]), false),
        (json!(["a", "mine"]), true),
        (json!(["a", "b", "new"]), true),
    ] {
        let text = edited(&read, &[("tags", given.clone())]);
        assert_eq!(doubtful(Change::set("tags", given.clone()), &text), is_doubtful, "{given}");
    }
}

#[test]
fn a_property_whose_line_is_taken_out_is_removed() {
    let read = disk();
    assert_eq!(told(&without(document(&read), &["p"]), Some(&read), &read), ["-p"]);
    let text = without(edited(&read, &[("a", json!("1")), ("z", json!("1"))]), &["p"]);
    assert_eq!(told(&text, Some(&read), &read), ["a=\"1\"", "-p", "z=\"1\""], "by name, whatever is done");
    let now = changed(&read, |image| drop(image.properties.insert("r".into(), "new".into())));
    assert_eq!(told(&without(document(&read), &["p"]), Some(&read), &now), ["-p"], "what others added stays");
}

#[test]
fn an_attribute_whose_line_is_taken_out_stays_as_it_is() {
    let read = disk();
    let own = ["id"];
    let text: Map<_, _> = document(&read).into_iter().filter(|(key, _)| own.contains(&key.as_str())).collect();
    assert_eq!(told(&text, Some(&read), &read), ["-p", "-q"]);
    let listed = json!({"properties": {"p": {"type": "string"}}});
    let schema = Schema::of(&listed).unwrap();
    let text = without(document(&read), &["p", "q", "kernel_id"]);
    let left = changes(&text, Some(&document(&read)), &read, &schema).unwrap();
    assert_eq!(left, [Change::remove("q")], "an attribute that only this service knows");
}

type Words = &'static [&'static str];

#[test]
fn tags_are_added_and_taken_out_one_by_one() {
    let tags = |list: &[&str]| list.iter().map(|tag| (*tag).into()).collect::<Vec<Text>>();
    let table: [(Words, Words, Words, Words); 8] = [
        // read, written, now: what is set
        (&["a", "b"], &["b", "a", "a"], &["a", "b"], &[]),
        (&["a", "b"], &["b", "a"], &["c"], &[]),
        (&["a", "b"], &["a", "b", "c"], &["b", "d"], &["tags=[\"b\",\"c\",\"d\"]"]),
        (&["a", "b"], &["a"], &["a", "b", "d"], &["tags=[\"a\",\"d\"]"]),
        (&["a", "b"], &["a"], &["a"], &[]),
        (&["a"], &[], &["a"], &["tags=[]"]),
        (&["a"], &["a", "b"], &["a", "b"], &[]),
        (&[], &["é", ""], &[], &["tags=[\"\",\"é\"]"]),
    ];
    for (read, written, now, expected) in table {
        let read = changed(&disk(), |image| image.tags = tags(read));
        let now = changed(&disk(), |image| image.tags = tags(now));
        assert_eq!(told(&edited(&read, &[("tags", json!(written))]), Some(&read), &now), expected, "{written:?}");
    }
}

#[test]
fn what_only_the_service_writes_is_refused_by_name() {
    let read = disk();
    let table = [
        ("status", json!("active "), "status"),
        ("size", json!(6), "size"),
        ("size", json!(5.0), "size"),
        ("checksum", Value::Null, "checksum"),
        ("created_at", json!("2026-01-02T03:04:06Z"), "created_at"),
        ("updated_at", json!("2026-01-02T03:04:06Z"), "updated_at"),
        ("stores", json!("slow"), "stores"),
        ("direct_url", json!("file:///y"), "direct_url"),
        ("kernel_id", json!("x"), "kernel_id"),
        ("locations", json!([]), "locations"),
        ("self", json!("/v2/images/x"), "self"),
        ("deleted", json!("yes"), "deleted"),
        ("os_glance_importing_to_stores", json!("fast"), "os_glance_importing_to_stores"),
        ("os_glance_new", json!("x"), "os_glance_new"),
    ];
    for (key, value, named) in table {
        let text = edited(&read, &[("name", json!("new")), (key, value)]);
        assert_eq!(refused(&text, Some(&read), &read), read_only(named));
    }
    assert_eq!(
        read_only("size").to_string(),
        "'size' cannot be changed, it is the service's own: leave it as it is, or leave it out"
    );
    let now = changed(&read, |image| image.other.clear());
    assert_eq!(refused(&edited(&read, &[("kernel_id", json!("x"))]), Some(&read), &now), read_only("kernel_id"));
    assert_eq!(refused(&edited(&now, &[("kernel_id", json!("x"))]), Some(&now), &read), read_only("kernel_id"));
    assert_eq!(told(&without(document(&read), &["kernel_id", "size", "stores"]), Some(&read), &read), NOTHING);
}

#[test]
fn a_value_that_the_service_would_refuse_is_refused_before_it_is_sent() {
    let read = disk();
    for (key, value) in [
        ("name", json!("x".repeat(256))),
        ("visibility", json!("secret")),
        ("min_disk", json!(0.0)),
        ("protected", Value::Null),
        ("tags", json!(["a", 1])),
        ("tags", Value::Null),
        ("p", json!(1)),
        ("p", Value::Null),
        ("new", json!([])),
    ] {
        for (base, now) in [(Some(&read), &read), (None, &read)] {
            let found = refused(&edited(&read, &[(key, value.clone())]), base, now);
            assert!(matches!(&found, Refused::Misfit(misfit) if misfit.key() == key), "{key}: {found}");
        }
        let foreign = without(edited(&read, &[(key, value.clone())]), &["id"]);
        assert!(matches!(refused(&foreign, None, &read), Refused::Misfit(_)), "{key}");
    }
    let absent = without(edited(&read, &[("none", Value::Null)]), &["id"]);
    assert_eq!(told(&absent, None, &read), NOTHING, "a backup shows so that there is none");
}

#[test]
fn an_own_document_of_an_unknown_reading_sets_what_differs_and_is_refused_where_something_is_missing() {
    let now = disk();
    let text = edited(&now, &[("p", json!("9")), ("tags", json!(["b", "c", "a"])), ("new", json!("1"))]);
    assert_eq!(told(&text, None, &now), ["tags=[\"a\",\"b\",\"c\"]", "new=\"1\"", "p=\"9\""]);
    assert_eq!(refused(&edited(&now, &[("size", json!(6))]), None, &now), read_only("size"));
    assert_eq!(told(&without(text.clone(), &["tags", "name"]), None, &now).len(), 2);
    assert_eq!(refused(&without(text.clone(), &["q"]), None, &now), Refused::Outdated, "who took it out is not known");
    assert_eq!(refused(&without(text, &["updated_at"]), None, &now), Refused::Outdated);
    assert_eq!(refused(&edited(&now, &[("tags", json!(["b"]))]), None, &now), Refused::Outdated);
}

#[test]
fn an_own_document_older_than_the_image_is_refused_where_its_reading_is_unknown() {
    let read = disk();
    let now = changed(&read, |image| {
        image.updated_at = "2026-02-03T04:05:09Z".parse().unwrap();
        image.size = Some(9);
    });
    let text = edited(&read, &[("p", json!("9")), ("min_ram", json!("x"))]);
    assert_eq!(refused(&text, None, &now), Refused::Outdated);
    assert!(Refused::Outdated.to_string().contains("read it again"));
    let other = image(2, "other");
    assert_eq!(refused(&document(&read), Some(&other), &now), Refused::Outdated, "another image is no base");
}

#[test]
fn a_document_of_another_image_or_none_sets_what_can_be_written_and_removes_nothing() {
    let now = changed(&image(2, "new"), |image| {
        image.status = Status::Queued;
        image.disk_format = None;
        image.container_format = None;
        image.size = None;
        image.tags = vec!["mine".into()];
        image.properties.insert("mine".into(), "1".into());
        image.other.insert("os_glance_failed_import".into(), json!(""));
    });
    let backup = changed(&disk(), |image| {
        image.owner = Some("theirs".into());
        image.hidden = true;
    });
    let all = [
        "os_hidden=true",
        "disk_format=\"raw\"",
        "container_format=\"bare\"",
        "tags=[\"a\",\"b\"]",
        "p=\"1\"",
        "q=\"2\"",
    ];
    let text = edited(&backup, &[("file", json!("/f")), ("os_glance_failed_import", json!("x"))]);
    assert_eq!(told(&text, None, &now), all);
    assert_eq!(told(&text, Some(&backup), &now), all, "what was read of the other image does not matter");
    let named = [&["name=\"disk\""], &all[..]].concat();
    assert_eq!(told(&without(text.clone(), &["id"]), Some(&now), &now), named, "nobody's document is meant as it is");
    for none in [None, Some(String::new())] {
        let nameless = changed(&now, |image| image.name = none);
        assert_eq!(told(&text, None, &nameless), named, "a name is taken where there is none");
    }
    let active = changed(&now, |image| image.status = Status::Active);
    let fewer: Vec<_> = all.into_iter().filter(|line| !line.contains("format")).collect();
    assert_eq!(told(&text, None, &active), fewer, "a format stays once there are bytes");
    let mut odd = text;
    odd.insert("id".to_owned(), json!(id(2).as_str().to_uppercase() + "x"));
    assert_eq!(told(&odd, None, &now), all);
}

#[test]
fn a_document_of_another_image_leaves_a_copy_its_own_time() {
    let (theirs, own) = ("2001-01-01T00:00:00Z", "2002-02-02T00:00:00Z");
    let timed = |image: &Image, time: &str| {
        changed(image, |image| drop(image.properties.insert(DATA_MTIME.into(), time.into())))
    };
    let backup = timed(&disk(), theirs);
    let other = changed(&disk(), |image| image.id = id(2));
    let taken = format!("data_mtime=\"{theirs}\"");
    let text = edited(&backup, &[]);
    assert!(told(&text, None, &other).iter().any(|line| **line == *taken), "where it has none");
    let copy = timed(&other, own);
    assert!(told(&text, None, &copy).iter().all(|line| !line.contains(DATA_MTIME)));
    let nobodys = told(&without(text, &["id"]), None, &copy);
    assert!(nobodys.iter().any(|line| **line == *taken), "nobody's document is meant as it is: {nobodys:?}");
}

#[test]
fn a_template_sets_only_what_it_has() {
    let now = disk();
    let Value::Object(template) = json!({"os_distro": "debian", "tags": ["b", "a", "a"], "p": "1"}) else { panic!() };
    assert_eq!(told(&template, None, &now), ["os_distro=\"debian\""]);
    assert_eq!(told(&Map::new(), None, &now), NOTHING);
}
