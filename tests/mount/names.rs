//! Names of images, and what becomes of those that cannot be directory entries.

use std::fs;

use serde_json::json;

use crate::target::Target;
use crate::tools::shell;

crate::promises![Both:
    what_an_entry_cannot_hold_is_percent_encoded,
    the_names_dot_and_dot_dot_are_encoded,
    a_name_of_255_characters_is_an_entry,
    a_name_of_more_than_255_bytes_is_cut_and_ends_in_its_id,
    an_image_without_a_name_is_by_id_only,
    a_shared_name_exists_only_with_the_beginning_of_an_id,
    a_name_with_the_beginning_of_its_id_works_also_while_it_is_unique,
];

fn what_an_entry_cannot_hold_is_percent_encoded(target: &Target) {
    let demo = target.person("demo");
    let table = [
        ("a/b", "a%2Fb"),
        ("100%", "100%25"),
        ("100%25", "100%2525"),
        ("tab\tline\nend\u{7f}", "tab%09line%0Aend%7F"),
        ("next\u{85}line", "next%C2%85line"),
        ("../../etc/passwd", "..%2F..%2Fetc%2Fpasswd"),
        (" blanks and 'quotes\" ", " blanks and 'quotes\" "),
        ("-rf *", "-rf *"),
        (".hidden", ".hidden"),
        ("日本語 é", "日本語 é"),
    ];
    let ids = table.map(|(name, _)| target.filled(&demo, &json!({"name": target.name(name)}), name.as_bytes()));
    let mount = target.mount("demo");
    let listed = shell(&mount.path("by-name"), "ls -a --quoting-style=literal");
    for ((name, entry), id) in table.into_iter().zip(ids) {
        let entry = target.name(entry);
        assert!(listed.lines().any(|line| line == entry), "{entry} is not in {listed}");
        let folder = mount.path("by-name").join(&entry);
        assert_eq!(fs::read_to_string(folder.join("data")).unwrap(), name);
        assert!(fs::read_to_string(folder.join("metadata.json")).unwrap().contains(&id));
    }
}

fn the_names_dot_and_dot_dot_are_encoded(target: &Target) {
    let demo = target.person("demo");
    let ids = [".", ".."].map(|name| target.filled(&demo, &json!({"name": name}), name.as_bytes()));
    let mount = target.mount("demo");
    let listed = shell(&mount.path("by-name"), "ls");
    for (id, (entry, content)) in ids.iter().zip([("%2E", "."), ("%2E%2E", "..")]) {
        // Others may have an image of such a name too, so that the bare entry is not certain to exist.
        let with_id = format!("{entry}~{}", head(id));
        assert!(listed.lines().any(|line| line == entry || line == with_id), "{entry} is not in {listed}");
        let data = mount.path("by-name").join(with_id).join("data");
        assert_eq!(fs::read_to_string(data).unwrap(), content);
    }
    assert_eq!(shell(&mount.path("by-name/."), "ls"), listed);
    assert_eq!(shell(&mount.path("by-name/.."), "ls"), "by-id\nby-name\nfiles\nquery\n");
}

fn a_name_of_255_characters_is_an_entry(target: &Target) {
    let name = target.name(&"n".repeat(255 - 9));
    assert_eq!(name.len(), 255);
    target.filled(&target.person("demo"), &json!({"name": name}), b"long");
    let mount = target.mount("demo");
    assert_eq!(fs::read_to_string(mount.path("by-name").join(&name).join("data")).unwrap(), "long");
    assert!(shell(&mount.path("by-name"), "ls").lines().any(|line| line == name));
}

fn a_name_of_more_than_255_bytes_is_cut_and_ends_in_its_id(target: &Target) {
    let demo = target.person("demo");
    // 255 characters are the most that the service takes; these have three bytes each, or become three.
    let names =
        [target.name("").replace('-', "") + &"本".repeat(247), "/".repeat(247) + &target.name("").replace('-', "")];
    let ids = names.map(|name| target.filled(&demo, &json!({"name": name}), name.as_bytes()));
    let mount = target.mount("demo");
    let listed = shell(&mount.path("by-name"), "ls");
    for id in ids {
        let entry = listed.lines().find(|line| line.ends_with(&format!("~{}", head(&id)))).unwrap();
        assert!(entry.len() <= 255 && entry.len() > 250, "{entry}");
        let folder = mount.path("by-name").join(entry);
        let metadata = fs::read_to_string(folder.join("metadata.json")).unwrap();
        assert!(metadata.contains(&id), "{metadata}");
        assert!(fs::read(folder.join("data")).unwrap().len() >= 255);
    }
}

fn an_image_without_a_name_is_by_id_only(target: &Target) {
    let demo = target.person("demo");
    let ids = [json!({}), json!({"name": ""})].map(|attributes| target.filled(&demo, &attributes, b"nameless"));
    let mount = target.mount("demo");
    let by_id = shell(&mount.path("by-id"), "ls");
    let named = shell(&mount.root(), "ls by-name");
    for id in ids {
        assert!(by_id.lines().any(|line| line == id));
        assert_eq!(fs::read_to_string(mount.data(&id)).unwrap(), "nameless");
        assert!(!named.contains(head(&id)) && !named.lines().any(|line| line == "%" || line.is_empty()), "{named}");
    }
}

fn a_shared_name_exists_only_with_the_beginning_of_an_id(target: &Target) {
    let demo = target.person("demo");
    let name = target.name("shared");
    let ids =
        ["first", "second", "third"].map(|data| (target.filled(&demo, &json!({"name": name}), data.as_bytes()), data));
    let mount = target.mount("demo");
    let listed = shell(&mount.path("by-name"), "ls");
    let mut expected: Vec<_> = ids.iter().map(|(id, _)| format!("{name}~{}", head(id))).collect();
    expected.sort();
    let found: Vec<_> = listed.lines().filter(|line| line.starts_with(&name)).collect();
    assert_eq!(found, expected);
    for (id, data) in ids {
        let entry = mount.path("by-name").join(format!("{name}~{}", head(&id)));
        assert_eq!(fs::read_to_string(entry.join("data")).unwrap(), data);
    }
    let bare = fs::metadata(mount.path("by-name").join(&name)).unwrap_err();
    assert_eq!(bare.raw_os_error(), Some(libc::ENOENT));
    let unknown = fs::metadata(mount.path("by-name").join(format!("{name}~00000000"))).unwrap_err();
    assert_eq!(unknown.raw_os_error(), Some(libc::ENOENT));
}

fn a_name_with_the_beginning_of_its_id_works_also_while_it_is_unique(target: &Target) {
    let name = target.name("unique");
    let id = target.filled(&target.person("demo"), &json!({"name": name}), b"one");
    let mount = target.mount("demo");
    for entry in [name.clone(), format!("{name}~{}", head(&id))] {
        assert_eq!(fs::read_to_string(mount.path("by-name").join(entry).join("data")).unwrap(), "one");
    }
    assert!(!shell(&mount.path("by-name"), "ls").contains(&format!("{name}~")));
}

/// The first part of an id, 8 characters.
fn head(id: &str) -> &str {
    id.split('-').next().unwrap()
}
