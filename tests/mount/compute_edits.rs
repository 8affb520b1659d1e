//! What is written through the Compute API: properties, documents, removals, and what it refuses.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::compute::{mounted, private};
use crate::mounted::Mount;
use crate::target::Target;
use crate::tools::{attribute, printed, shell, tool_in};

crate::promises![Both:
    a_property_is_set_and_removed_as_a_file,
    a_document_is_edited_by_the_programs_that_people_use,
    a_saved_document_removes_what_its_writer_took_out_and_leaves_what_others_changed,
    what_cannot_be_written_to_a_document_is_refused_by_its_name,
    a_backup_of_another_image_sets_its_properties,
    what_nova_would_lose_is_refused_before_it_is_asked,
    a_shared_image_keeps_its_visibility_unless_it_may_change,
    an_image_is_deleted_by_rmdir_and_with_all_that_is_in_it,
    a_protected_image_stays,
    a_property_that_was_hidden_is_listed_again_when_the_image_was_not_removed,
    what_the_compute_api_cannot_do_says_what_can,
    another_projects_image_is_read_and_not_changed,
    what_is_known_of_an_image_shows_in_its_modes_and_is_explained,
    what_is_written_as_it_is_already_changes_nothing,
    a_property_is_renamed_where_there_are_as_many_as_there_may_be,
];

/// What the Image service shows of an image.
fn shown(target: &Target, id: &str) -> Value {
    target.wait(target.person("demo").show(id))
}

/// A mount, and the folder of an image in it.
fn folder(target: &Target, name: &str) -> (Mount, PathBuf) {
    let mount = mounted(target, "demo", &[]);
    let folder = mount.path("by-name").join(name);
    (mount, folder)
}

/// A line of shell that is refused with this errno, in a folder of a mount; the sentence that `path` tells, and the mount of its
/// last failure.
#[track_caller]
fn refused(mount: &Mount, folder: &Path, line: &str, errno: &str, path: &str) -> String {
    let ran = tool_in(folder, "sh", &["-euc", line]);
    assert!(ran.code != Some(0) && !ran.err.is_empty(), "{line}: {ran:?}");
    let errors = fs::read_to_string(mount.path(".glancefs/errors")).unwrap();
    let last: Value = serde_json::from_str(errors.lines().last().unwrap()).unwrap();
    assert_eq!(last["errno"], errno, "{line}: {last}");
    let told = attribute(&folder.join(path), "user.glancefs.error").unwrap();
    assert_eq!(last["sentence"], told.as_str(), "{line}");
    told
}

fn a_property_is_set_and_removed_as_a_file(target: &Target) {
    let (id, name) = private(target, "disk", &json!({}));
    let (mount, folder) = folder(target, &name);
    let lines = "echo fedora > properties/os_distro; printf 'a b' > properties/new; echo 1 > 'properties/with space'";
    shell(&folder, lines);
    let image = shown(target, &id);
    assert_eq!(
        (&image["os_distro"], &image["new"], &image["with space"]),
        (&json!("fedora"), &json!("a b"), &json!("1"))
    );
    assert_eq!(shell(&folder, "ls properties; cat properties/new"), "new\nos_distro\nwith space\na b\n");
    shell(&folder, "rm properties/new; mv 'properties/with space' properties/renamed");
    let image = shown(target, &id);
    let gone = (image.get("new"), image.get("with space"));
    assert_eq!((gone, &image["renamed"]), ((None, None), &json!("1")));
    shell(&folder, "sed -i s/fedora/debian/ properties/os_distro; echo value > t; cp t properties/copied; rm t");
    let image = shown(target, &id);
    assert_eq!((&image["os_distro"], &image["copied"]), (&json!("debian"), &json!("value")));
    mount.end();
}

fn a_document_is_edited_by_the_programs_that_people_use(target: &Target) {
    for (at, line) in [
        r#"vim -Nu NONE -i NONE -es -c 'set backupskip=' -c '%s/"debian"/"edited"/' -c 'wq!' metadata.json"#,
        r#"vim -Nu NONE -i NONE -es -c 'set backup backupskip= backupcopy=yes' -c '%s/"debian"/"edited"/' -c 'wq!' metadata.json"#,
        r#"vim -Nu NONE -i NONE -es -c 'set backup backupskip= backupcopy=no' -c '%s/"debian"/"edited"/' -c 'wq!' metadata.json"#,
        r#"sed -i 's/"debian"/"edited"/' metadata.json"#,
        r#"jq '.metadata.os_distro = "edited"' metadata.json > new && mv new metadata.json"#,
        r#"sed 's/"debian"/"edited"/' metadata.json > $TMP; cp $TMP metadata.json"#,
        r#"sed 's/"debian"/"edited"/' metadata.json > $TMP; rsync -I $TMP metadata.json"#,
        r#"sed 's/"debian"/"edited"/' metadata.json > $TMP; rsync -I --inplace $TMP metadata.json"#,
        r#"sed 's/"debian"/"edited"/' metadata.json | tee $TMP > /dev/null; cat $TMP > metadata.json"#,
    ]
    .into_iter()
    .enumerate()
    {
        let (id, name) = private(target, &format!("disk{at}"), &json!({"kept": "1"}));
        let (mount, folder) = folder(target, &name);
        shell(&folder, &format!("TMP={}; {line}", target.file("edited.json").display()));
        let image = shown(target, &id);
        assert_eq!((&image["os_distro"], &image["kept"]), (&json!("edited"), &json!("1")), "{line}");
        assert!(shell(&folder, "cat properties/os_distro").contains("edited"), "{line}");
        mount.end();
    }
}

fn a_saved_document_removes_what_its_writer_took_out_and_leaves_what_others_changed(target: &Target) {
    let (id, name) = private(target, "disk", &json!({"gone": "1"}));
    let (mount, folder) = folder(target, &name);
    let copy = target.file("document.json");
    shell(&folder, &format!("cp metadata.json {}", copy.display()));
    let theirs = json!({"metadata": {"theirs": "kept"}});
    let demo = target.person("demo");
    target.wait(demo.nova("POST", &format!("/images/{id}/metadata")).json(&theirs).send()).is(200);
    let line =
        format!("jq 'del(.metadata.gone) | .metadata.new = \"1\"' {} > new; mv new metadata.json", copy.display());
    shell(&folder, &line);
    let image = shown(target, &id);
    assert_eq!((image.get("gone"), &image["new"], &image["theirs"]), (None, &json!("1"), &json!("kept")));
    assert_eq!(image["os_distro"], "debian");
    mount.end();
}

fn what_cannot_be_written_to_a_document_is_refused_by_its_name(target: &Target) {
    let (id, name) = private(target, "disk", &json!({}));
    let (mount, folder) = folder(target, &name);
    let before = shown(target, &id);
    for (change, words) in [
        (".name = \"x\"", "'name' cannot be changed"),
        (".status = \"SAVING\"", "'status' cannot be changed"),
        (".minRam = 5", "'minRam' cannot be changed"),
        (".metadata = []", "it is an object of texts"),
        (".metadata.p = 1", "properties are texts"),
        (".metadata.status = \"x\"", "'status' is no property of an image"),
    ] {
        let line = format!("jq '{change}' metadata.json > new; mv new metadata.json");
        let sentence = refused(&mount, &folder, &line, "EINVAL", "metadata.json");
        assert!(sentence.contains(words), "{change}: {sentence}");
    }
    assert_eq!(shown(target, &id), before);
    mount.end();
}

fn a_backup_of_another_image_sets_its_properties(target: &Target) {
    let (_, one) = private(target, "one", &json!({"p": "1", "q": "2"}));
    let (id, other) = private(target, "other", &json!({"own": "3"}));
    let (mount, folder) = folder(target, &other);
    shell(&folder, &format!("cp ../{one}/metadata.json metadata.json"));
    let image = shown(target, &id);
    assert_eq!((&image["p"], &image["q"], &image["own"]), (&json!("1"), &json!("2"), &json!("3")));
    assert_eq!(image["name"], other.as_str());
    shell(&folder, r#"echo '{"metadata": {"template": "4"}}' > metadata.json"#);
    assert_eq!(shown(target, &id)["template"], "4");
    let sentence = refused(&mount, &folder, r#"echo '{"p": "5"}' > metadata.json"#, "EINVAL", "metadata.json");
    assert!(sentence.contains("under 'metadata'"), "{sentence}");
    mount.end();
}

fn what_nova_would_lose_is_refused_before_it_is_asked(target: &Target) {
    let (id, name) = private(target, "disk", &json!({}));
    let (mount, folder) = folder(target, &name);
    let before = shown(target, &id);
    for key in ["status", "size", "visibility", "owner", "os_hash_algo", "mappings"] {
        let sentence = refused(&mount, &folder, &format!("echo x > properties/{key}"), "EINVAL", "properties");
        assert!(sentence.contains(key) && sentence.contains("--service image"), "{key}: {sentence}");
    }
    let long = "x".repeat(256);
    let sentence = refused(&mount, &folder, &format!("echo {long} > properties/long"), "EINVAL", "properties");
    assert!(sentence.contains("255 at most"), "{sentence}");
    assert_eq!(shell(&folder, "ls properties"), "os_distro\n");
    assert_eq!(shown(target, &id), before);
    mount.end();
}

fn a_shared_image_keeps_its_visibility_unless_it_may_change(target: &Target) {
    let (id, name) = private(target, "disk", &json!({"visibility": "shared"}));
    let (mount, folder) = folder(target, &name);
    for (line, path) in [
        ("echo x > properties/os_distro", "properties/os_distro"),
        ("rm properties/os_distro", "properties/os_distro"),
        (r#"sed -i 's/"debian"/"x"/' metadata.json"#, "metadata.json"),
    ] {
        let sentence = refused(&mount, &folder, line, "EPERM", path);
        assert!(sentence.contains("--service image") && sentence.contains("shared"), "{line}: {sentence}");
    }
    let image = shown(target, &id);
    assert_eq!((&image["visibility"], &image["os_distro"]), (&json!("shared"), &json!("debian")));
    mount.end();
    let mount = mounted(target, "demo", &["--allow-visibility-change"]);
    shell(&mount.path("by-name").join(&name), "echo debian > properties/os_distro");
    assert_eq!(shown(target, &id)["visibility"], "shared", "what changes nothing makes nothing private");
    shell(&mount.path("by-name").join(&name), "echo x > properties/os_distro");
    let image = shown(target, &id);
    assert_eq!((&image["visibility"], &image["os_distro"]), (&json!("private"), &json!("x")));
    mount.end();
}

fn an_image_is_deleted_by_rmdir_and_with_all_that_is_in_it(target: &Target) {
    let removed = [("one", "rmdir"), ("two", "rm -r"), ("three", "rm -rf")];
    let images = removed.map(|(word, how)| (private(target, word, &json!({"visibility": "shared", "p": "1"})), how));
    let mount = mounted(target, "demo", &[]);
    for ((id, name), how) in images {
        shell(&mount.path("by-name"), &format!("{how} {name}"));
        assert!(!shell(&mount.path("by-name"), "ls").contains(&name));
        target.wait(target.person("demo").get(&format!("/v2/images/{id}"))).is(404);
    }
    mount.end();
}

fn a_protected_image_stays(target: &Target) {
    let (id, name) = private(target, "disk", &json!({"protected": true}));
    let (mount, folder) = folder(target, &name);
    let images = folder.parent().unwrap();
    refused(&mount, images, &format!("rmdir {name}"), "EPERM", &name);
    refused(&mount, images, &format!("rm -r {name}"), "EPERM", &name);
    assert_eq!(shown(target, &id)["os_distro"], "debian");
    mount.end();
    let patch = json!([{"op": "replace", "path": "/protected", "value": false}]);
    let kind = "application/openstack-images-v2.1-json-patch";
    let demo = target.person("demo");
    let request = demo.request("PATCH", &format!("/v2/images/{id}")).json(&patch).header("Content-Type", kind);
    target.wait(request.send()).is(200);
}

fn a_property_that_was_hidden_is_listed_again_when_the_image_was_not_removed(target: &Target) {
    let (id, name) = private(target, "disk", &json!({}));
    let (mount, folder) = folder(target, &name);
    assert_eq!(shell(&folder, "ls properties; rm -f metadata.json status properties/*; ls properties"), "os_distro\n");
    shell(
        &folder,
        "until ls properties | grep -q os_distro; do sleep 0.2; done; cat metadata.json properties/os_distro",
    );
    assert_eq!(shown(target, &id)["os_distro"], "debian");
    mount.end();
}

fn what_the_compute_api_cannot_do_says_what_can(target: &Target) {
    let (id, name) = private(target, "disk", &json!({}));
    let (mount, _) = folder(target, &name);
    let root = mount.root();
    let explain =
        |path: &str| printed(env!("CARGO_BIN_EXE_glancefs"), ["explain".as_ref(), mount.path(path).as_os_str()]);
    let before = shown(target, &id);
    for (line, refusal, path, sentence) in [
        ("mkdir by-name/new", "Operation not permitted", "by-name/new", "no image can be made through the Compute API"),
        ("mv by-name/DISK by-name/b", "Operation not permitted", "by-name/b", "no image can be renamed"),
        ("echo x > by-name/DISK/data", "Operation not permitted", "by-name/DISK/data", "the Compute API takes no data"),
        ("truncate -s 0 by-name/DISK/data", "Operation not permitted", "by-name/DISK/data", "takes no data"),
        (
            "echo deactivated > by-name/DISK/status",
            "Operation not permitted",
            "by-name/DISK/status",
            "no status can be set",
        ),
        ("echo 1 > by-name/DISK/progress", "Operation not permitted", "by-name/DISK/progress", "nobody can set it"),
        ("mkdir by-name/DISK/tags", "Operation not permitted", "by-name/DISK/tags", "the Compute API has no tags"),
        ("touch by-name/DISK/tags/t", "No such file", "by-name/DISK/tags", "the Compute API has no tags"),
        ("ls by-name/DISK/members", "No such file", "by-name/DISK/members", "tells of no members"),
        ("cat by-name/DISK/checksums", "No such file", "by-name/DISK/checksums", "tells no checksums"),
        (
            "echo http://x/y > by-name/DISK/import",
            "Operation not permitted",
            "by-name/DISK/import",
            "nothing can be imported",
        ),
        ("ls files", "No such file", "files", "each image is in by-name"),
    ] {
        let line = line.replace("DISK", &name);
        let ran = tool_in(&root, "sh", &["-euc", &line]);
        assert!(ran.code != Some(0) && ran.err.contains(refusal), "{line}: {ran:?}");
        let told = explain(&path.replace("DISK", &name));
        assert!(told.contains(sentence) && !told.contains("nothing failed"), "{line}: {told}");
        let errors = fs::read_to_string(mount.path(".glancefs/errors")).unwrap();
        assert!(errors.lines().last().unwrap().contains(sentence), "{line}: {errors}");
    }
    assert_eq!(shown(target, &id), before);
    mount.end();
}

fn another_projects_image_is_read_and_not_changed(target: &Target) {
    let admin = target.person("admin");
    let name = target.name("theirs");
    let id = target.filled(&admin, &json!({"name": name, "visibility": "public", "p": "1"}), b"theirs");
    let (mount, folder) = folder(target, &name);
    assert_eq!(shell(&folder, "cat data status properties/p"), "theirsACTIVE\n1\n");
    refused(&mount, &folder, "echo 2 > properties/p", "EPERM", "properties/p");
    let sentence = refused(&mount, &folder, "rm properties/p", "EPERM", "properties/p");
    assert!(sentence.contains("belongs to project") && !sentence.contains("--allow"), "{sentence}");
    refused(&mount, folder.parent().unwrap(), &format!("rmdir {name}"), "EPERM", &name);
    assert_eq!(target.wait(admin.show(&id))["p"], "1");
    mount.end();
}

fn explained(path: &Path) -> String {
    printed(env!("CARGO_BIN_EXE_glancefs"), ["explain".as_ref(), path.as_os_str()])
}

fn what_is_known_of_an_image_shows_in_its_modes_and_is_explained(target: &Target) {
    let admin = target.person("admin");
    let theirs = target.name("theirs");
    target.filled(&admin, &json!({"name": theirs, "visibility": "public", "os_distro": "1"}), b"theirs");
    let (_, shared) = private(target, "shared", &json!({"visibility": "shared"}));
    let (_, own) = private(target, "own", &json!({}));
    let mount = mounted(target, "demo", &[]);
    let modes = |name: &str| shell(&mount.path("by-name").join(name), "stat -c %a properties/os_distro metadata.json");
    for (name, words) in [(&theirs, "belongs to project"), (&shared, "makes such an image private")] {
        let told = explained(&mount.path("by-name").join(name).join("properties/os_distro"));
        assert!(told.contains(words), "{name}: {told}");
        assert_eq!(modes(name), "444\n444\n", "{name}");
    }
    let told = explained(&mount.path("by-name").join(&own).join("properties/os_distro"));
    assert!(told.contains("nothing failed") && !told.contains("shows when it is tried"), "{told}");
    assert_eq!(modes(&own), "644\n644\n");
    mount.end();
    // Who has read the data has met the Image service, which told it.
    let mount = mounted(target, "demo", &[]);
    let folder = mount.path("by-name").join(&theirs);
    assert_eq!(shell(&folder, "cat data; stat -c %a properties/os_distro"), "theirs444\n");
    mount.end();
}

fn what_is_written_as_it_is_already_changes_nothing(target: &Target) {
    let (id, name) = private(target, "disk", &json!({"visibility": "shared"}));
    let (mount, folder) = folder(target, &name);
    let before = shown(target, &id);
    shell(&folder, "echo debian > properties/os_distro");
    shell(&folder, "cp metadata.json new; mv new metadata.json; cat metadata.json > new; cp new metadata.json");
    assert_eq!(shown(target, &id), before);
    mount.end();
}

fn a_property_is_renamed_where_there_are_as_many_as_there_may_be(target: &Target) {
    let mut many = json!({});
    // The one that each image of this test has is one of them.
    (0..127).for_each(|number| many[format!("k{number}")] = "v".into());
    let (id, name) = private(target, "disk", &many);
    let (mount, folder) = folder(target, &name);
    shell(&folder, "mv properties/k0 properties/renamed");
    let image = shown(target, &id);
    assert_eq!((image.get("k0"), &image["renamed"]), (None, &json!("v")));
    mount.end();
}
