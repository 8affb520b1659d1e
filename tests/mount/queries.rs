//! `query/`: folders that are questions, as the service answers them.

use std::fs;
use std::path::PathBuf;

use serde_json::{Value, json};

use crate::target::Target;
use crate::tools::{printed, shell};
use crate::uploading::id_of;

crate::promises![Both:
    an_answer_is_links_to_the_images_in_the_order_that_was_asked_for,
    each_filter_of_the_service_is_a_question,
    what_is_no_question_does_not_exist_and_says_why,
    what_is_changed_through_the_mount_shows_in_the_answer_at_once,
];

/// Three images that share a tag: `a` (raw, shared, 1 byte), `b` (qcow2, private, queued) and `c` (raw, a snapshot).
fn three(target: &Target) -> (String, [String; 3]) {
    let (demo, tag) = (target.person("demo"), target.name("tag"));
    let named = |word: &str, more: serde_json::Value| {
        let mut attributes = json!({"name": target.name(word), "tags": [tag]});
        attributes.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        attributes
    };
    let a = target.filled(&demo, &named("a", json!({"os_distro": "debian & co"})), b"A");
    let b = target.image(&demo, &named("b", json!({"disk_format": "qcow2", "visibility": "private", "min_ram": 7})));
    let c = target.filled(&demo, &named("c", json!({"image_type": "snapshot", "instance_uuid": "s-1"})), b"CCC");
    (tag, [a, b, c])
}

fn an_answer_is_links_to_the_images_in_the_order_that_was_asked_for(target: &Target) {
    let (tag, [a, _, c]) = three(target);
    let mount = target.mount("demo");
    for (direction, order) in [("asc", ["a", "b", "c"]), ("desc", ["c", "b", "a"])] {
        let expression = format!("tag={tag}&sort=name:{direction}");
        let listed = printed("ls", ["-U".into(), mount.path("query").join(&expression)]);
        assert_eq!(listed.lines().collect::<Vec<_>>(), order.map(|word| target.name(word)));
        let folder = mount.path("query").join(&expression);
        let link = folder.join(target.name("c"));
        assert_eq!(fs::read_link(&link).unwrap(), PathBuf::from(format!("../../by-id/{c}")));
        assert_eq!(fs::read_to_string(link.join("data")).unwrap(), "CCC");
        assert_eq!(fs::canonicalize(folder.join(target.name("a"))).unwrap(), mount.path("by-id").join(&a));
    }
    assert_eq!(shell(&mount.root(), "ls query"), "");
    mount.end();
}

fn each_filter_of_the_service_is_a_question(target: &Target) {
    let (tag, ids) = three(target);
    let mount = target.mount("demo");
    let table = [
        ("status=active", "ac"),
        ("status=in:queued,active", "abc"),
        ("disk_format=qcow2", "b"),
        ("visibility=private", "b"),
        ("size_min=2", "c"),
        ("size_max=1&status=active", "a"),
        ("min_ram=7", "b"),
        ("protected=false", "abc"),
        ("os_hidden=true", ""),
        ("os_distro=debian %26 co", "a"),
        ("created_at=gt:2001-01-01T00:00:00Z", "abc"),
        ("updated_at=lt:2001-01-01", ""),
        ("changes-since=2001-01-01T00:00:00Z", "abc"),
        ("type=SNAPSHOT", "c"),
        ("type=BASE", "ab"),
        ("server=http:%2F%2Fcompute%2Fv2.1%2Fservers%2Fs-1", "c"),
        ("limit=2&sort=name:asc", "ab"),
    ];
    for (question, expected) in table {
        let folder = mount.path("query").join(format!("tag={tag}&{question}"));
        let listed = printed("ls", [&folder]);
        let expected: Vec<_> = expected.chars().map(|word| target.name(&word.to_string())).collect();
        assert_eq!(listed.lines().collect::<Vec<_>>(), expected, "{question}");
    }
    let behind = mount.path("query").join(format!("tag={tag}&sort=name:asc&marker={}", ids[0]));
    assert_eq!(printed("ls", [&behind]).lines().collect::<Vec<_>>(), ["b", "c"].map(|word| target.name(word)));
    let named = mount.path("query").join(format!("name={}", target.name("b")));
    assert_eq!(printed("ls", [&named]).trim_end(), target.name("b"));
    mount.end();
}

fn what_is_no_question_does_not_exist_and_says_why(target: &Target) {
    let (tag, _) = three(target);
    let mount = target.mount("demo");
    for (question, sentence) in [
        ("status", "'status' is no query: write key=value"),
        ("status=bogus", "status=bogus: it must be a status, such as active"),
        ("sort=owner", "sort=owner: images are sorted by name"),
        (&format!("statsu=x&tag={tag}"), "no image here has a property 'statsu', and no filter is called so"),
        ("created_at=gt:2026-13-77", "created_at"),
    ] {
        let missing = fs::metadata(mount.path("query").join(question)).unwrap_err();
        assert_eq!(missing.raw_os_error(), Some(libc::ENOENT), "{question}");
        let errors = fs::read_to_string(mount.path(".glancefs/errors")).unwrap();
        let last: Value = serde_json::from_str(errors.lines().last().unwrap()).unwrap();
        assert!(last["sentence"].as_str().unwrap().contains(sentence), "{question}: {last}");
        assert_eq!((&last["path"], &last["errno"]), (&json!(format!("query/{question}")), &json!("ENOENT")));
    }
    let made = fs::create_dir(mount.path("query/status=active&x=y")).unwrap_err();
    assert!(matches!(made.raw_os_error(), Some(libc::EPERM | libc::EACCES)), "{made}");
    mount.end();
}

fn what_is_changed_through_the_mount_shows_in_the_answer_at_once(target: &Target) {
    let (demo, tag) = (target.person("demo"), target.name("mark"));
    let id = target.filled(&demo, &json!({"name": target.name("one"), "tags": ["t"]}), b"A");
    let mount = target.mount_with("demo", &["--ttl=5m"]);
    let (root, mine) = (mount.root(), target.name("one"));
    shell(&root, &format!("ls by-name; echo {tag} > by-id/{id}/properties/mark"));
    let listed = |question: &str| shell(&root, &format!("ls 'query/{question}&mark={tag}'"));
    let is_there = format!("{mine}\n");
    for (question, on, off) in [
        ("tag=x", "touch tags/x", "rm -f tags/x"),
        ("p=1", "echo 1 > properties/p", "echo 2 > properties/p"),
        ("status=deactivated", "echo deactivated > status", "echo active > status"),
        ("visibility=private", "sed -i s/shared/private/ metadata.json", "sed -i s/private/shared/ metadata.json"),
    ] {
        // A property is a question while some image has it.
        shell(&root, &format!("cd by-id/{id}; {off} || echo 0 > properties/p"));
        for _ in 0..2 {
            assert_eq!(listed(question), "", "{question}");
            shell(&root, &format!("cd by-id/{id}; {on}"));
            assert_eq!(listed(question), is_there, "{question} behind {on}");
            assert_eq!(shell(&root, &format!("cat 'query/{question}&mark={tag}/{mine}/tags/t'")), "", "{question}");
            shell(&root, &format!("cd by-id/{id}; {off}"));
            assert_eq!(listed(question), "", "{question} behind {off}");
        }
    }
    let other = target.name("other");
    let before = listed("status=queued");
    shell(&root, &format!("mkdir by-name/{other}; echo {tag} > by-name/{other}/properties/mark"));
    target.tidy(&demo, &id_of(&mount.path("by-name").join(&other)));
    assert_eq!((before, listed("status=queued")), (String::new(), format!("{other}\n")));
    shell(&root, &format!("mv by-name/{other} by-name/{other}2"));
    assert_eq!(listed("status=queued"), format!("{other}2\n"));
    shell(&root, &format!("echo bytes > by-name/{other}2/data"));
    assert_eq!(listed("status=queued"), "");
    mount.end();
}
