//! What an edit asks of the service, and images that the service fetches by itself.

use glancefs::server::WebAccess;
use serde_json::{Value, json};

use crate::support::Ran;
use crate::target::Target;
use crate::tools::{attribute, shell, tool};
use crate::uploading::{becomes_active, made, shown};

crate::promises![Embedded:
    an_edit_asks_for_no_more_than_it_needs,
    a_url_that_is_written_to_import_becomes_the_image,
    an_import_that_failed_says_so_and_can_be_tried_again,
];

fn an_edit_asks_for_no_more_than_it_needs(target: &Target) {
    let id = target.filled(&target.person("demo"), &json!({"name": target.name("cost")}), b"bytes");
    let mount = target.mount_with("demo", &["--ttl=5m"]);
    let folder = mount.path("by-id").join(&id);
    // The listing, and the schema of images, are asked for once.
    shell(&folder, "ls -lR . > /dev/null; echo first > properties/first");
    let requests = || target.server(|server| server.traffic().requests);
    for (line, wanted) in [
        ("echo x > properties/p", 1),
        ("echo y > properties/p", 1),
        ("touch properties/empty", 1),
        ("rm properties/p", 1),
        ("touch tags/t", 1),
        ("touch tags/t", 0),
        ("rm tags/t", 1),
        ("echo deactivated > status", 1),
        ("echo active > status", 1),
        ("sed -i 's/\"min_ram\": 0/\"min_ram\": 64/' metadata.json", 2),
        ("cat metadata.json > $TMPDIR/same; cat $TMPDIR/same > metadata.json", 1),
        ("cat metadata.json status checksums properties/* > /dev/null; ls -l tags", 0),
    ] {
        let before = requests();
        shell(&folder, &line.replace("$TMPDIR", &target.file("").display().to_string()));
        assert_eq!(requests() - before, wanted, "{line}");
    }
    mount.end();
}

fn written(folder: &std::path::Path, line: &str) -> Ran {
    tool("sh", ["-c".as_ref(), format!("echo '{line}' > \"$0\"/import").as_ref(), folder.as_os_str()])
}

fn a_url_that_is_written_to_import_becomes_the_image(target: &Target) {
    target.behave(|behaviour| behaviour.web_download = WebAccess::Anywhere);
    let mount = target.mount("demo");
    let folder = made(target, &mount, "imported");
    assert_eq!(shell(&folder, "cat import"), "");
    // The service has a document for everybody, which is as good a disk as any.
    let url = target.server(|server| format!("{}/versions", server.url()));
    let unclear = written(&folder, &url);
    assert!(unclear.code != Some(0), "its end names no format");
    assert!(attribute(&folder.join("import"), "user.glancefs.error").unwrap().contains("disk_format"));
    shell(&folder, "jq '.disk_format = \"raw\"' metadata.json > tmp && mv tmp metadata.json");
    assert_eq!(written(&folder, &url).code, Some(0));
    becomes_active(&folder);
    let data = shell(&folder, "cat data && cksum -c checksums 2>&1 >/dev/null");
    assert!(serde_json::from_str::<Value>(&data).unwrap()["versions"].is_array(), "{data}");
    assert_ne!(written(&folder, &url).code, Some(0), "there is no such file any more");
    mount.end();
}

fn an_import_that_failed_says_so_and_can_be_tried_again(target: &Target) {
    let mount = target.mount_with("demo", &["--ttl=0s"]);
    let folder = made(target, &mount, "failing");
    assert_ne!(written(&folder, "http://127.0.0.1:1/disk.raw").code, Some(0), "the service does not fetch from there");
    let sentence = attribute(&folder.join("import"), "user.glancefs.error").unwrap();
    assert!(sentence.contains("does not pass filtering"), "{sentence}");
    target.behave(|behaviour| behaviour.web_download = WebAccess::Anywhere);
    for _ in 0..2 {
        assert_eq!(written(&folder, "http://user:secret@127.0.0.1:1/disk.raw").code, Some(0), "it may be tried again");
        let told = loop {
            let told = shell(&folder, "cat import");
            if told.starts_with("failure") {
                break told;
            }
        };
        assert!(told.contains("another import may be tried") && !told.contains("secret"), "{told}");
    }
    assert_eq!(shown(target, &folder)["status"], "queued");
    assert_ne!(written(&folder, "no url at all").code, Some(0));
    let errors = shell(&mount.path(".glancefs"), "cat errors");
    assert!(!errors.contains("secret"), "{errors}");
    mount.end();
}
