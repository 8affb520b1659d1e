//! What an edit asks of the service.

use serde_json::json;

use crate::editing::{PROPERTY_EDITORS, edit_of};
use crate::target::Target;
use crate::tools::shell;

crate::promises![Embedded:
    an_edit_asks_for_no_more_than_it_needs,
    an_editor_changes_a_property_by_one_request,
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
        // Somebody may have removed it meanwhile.
        ("touch tags/t", 1),
        ("rm tags/t", 1),
        ("! echo text 2> $TMPDIR/no > tags/t", 0),
        ("! echo bogus 2> $TMPDIR/no > members/m", 0),
        ("touch members/m", 1),
        // No service takes what is beyond the Basic Multilingual Plane.
        ("! echo \u{1f600} 2> $TMPDIR/no > properties/p", 0),
        ("! touch properties/\u{1f600} tags/\u{1f600} 2> $TMPDIR/no", 0),
        ("echo deactivated > status", 1),
        ("echo active > status", 1),
        // What else the service changed with that is asked for once, for who wants to know.
        ("cat metadata.json metadata.json > $TMPDIR/same", 1),
        ("sed -i 's/\"min_ram\": 0/\"min_ram\": 64/' metadata.json", 2),
        ("cat metadata.json > $TMPDIR/same; cat $TMPDIR/same > metadata.json", 1),
        ("cat metadata.json status checksums properties/* > /dev/null; ls -l tags", 0),
        // A question is asked again by who looks at its answer, and not by who goes through it.
        ("for n in 1 2 3; do touch ../../query/id=$ID/$(ls ../../query/id=$ID)/tags/t$n; done", 6),
        ("name=$(ls ../../query/id=$ID); for n in 1 2 3; do rm ../../query/id=$ID/$name/tags/t$n; done", 4),
        ("ls ../../query/id=$ID ../../query/id=$ID", 1),
    ] {
        let before = requests();
        shell(&folder, &line.replace("$ID", &id).replace("$TMPDIR", &target.file("").display().to_string()));
        assert_eq!(requests() - before, wanted, "{line}");
    }
    mount.end();
}

fn an_editor_changes_a_property_by_one_request(target: &Target) {
    let attributes = json!({"name": target.name("property-cost"), "os": "0"});
    let id = target.filled(&target.person("demo"), &attributes, b"bytes");
    let mount = target.mount_with("demo", &["--ttl=5m"]);
    let folder = mount.path("by-id").join(&id).join("properties");
    shell(&folder, "ls -lR .. > /dev/null; echo first > first; rm first");
    let requests = || target.server(|server| server.traffic().requests);
    for (n, (editor, line, left)) in PROPERTY_EDITORS.into_iter().enumerate() {
        // It removes what has two names once it has moved it away.
        let wanted = if editor == "rsync --backup" { 2 } else { 1 };
        let before = requests();
        shell(&folder, &edit_of(line, n));
        assert_eq!(requests() - before, wanted, "{editor}");
        assert_eq!(shell(&folder, "cat os; ls -A; rm -f os~"), format!("{}\n{left}", n + 1), "{editor}");
        assert_eq!(requests() - before, wanted, "{editor}, and what it left");
    }
    mount.end();
}
