//! What packages install beside the program: completions and the manual.

use std::fs;
use std::io::Write;
use std::process::{Command, Stdio};

use crate::support::{Place, Ran};

#[test]
fn bash_understands_its_completions_and_the_other_shells_have_theirs() {
    let place = Place::new();
    for shell in ["bash", "zsh", "fish"] {
        let ran = place.run(["completions", shell]);
        ran.succeeded();
        assert!(ran.out.contains("--read-only") || ran.out.contains("read-only"), "{shell}: {}", ran.out);
    }
    let script = place.run(["completions", "bash"]).out;
    let mut bash = Command::new("bash").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let asked =
        "COMP_WORDS=(glancefs umount --la) COMP_CWORD=2; _glancefs glancefs --la umount; echo \"${COMPREPLY[@]}\"\n";
    bash.stdin.take().unwrap().write_all(format!("{script}\n{asked}").as_bytes()).unwrap();
    assert_eq!(Ran::of(bash.wait_with_output().unwrap()).out, "--lazy\n");
    place.run(["completions", "nonsense"]).refused(1, &["nonsense", "bash", "zsh", "fish"]);
}

#[test]
fn each_command_has_a_page_of_the_manual() {
    let place = Place::new();
    let folder = place.path("man");
    place.run(["man", "--dir", folder.to_str().unwrap()]).succeeded();
    for page in [
        "man1/glancefs.1",
        "man1/glancefs-mount.1",
        "man1/glancefs-uploads.1",
        "man1/glancefs-cache-warm.1",
        "man8/mount.glancefs.8",
    ] {
        let text = fs::read_to_string(folder.join(page)).unwrap();
        assert!(text.starts_with(".ie") || text.starts_with(".TH"), "{page}: {text}");
    }
    let semantics = fs::read_to_string(folder.join("man7/glancefs-semantics.7")).unwrap();
    assert_eq!(place.run(["man", "semantics"]).out, semantics);
    for page in ["mount", "glancefs-mount"] {
        let ran = place.run(["man", page]);
        ran.succeeded();
        assert_eq!(ran.out, fs::read_to_string(folder.join("man1/glancefs-mount.1")).unwrap());
    }
    assert!(place.run(["man", "uploads", "wait"]).out.contains("timeout"));
    place.run(["man", "nonsense"]).refused(1, &["no page 'nonsense'", "mount.glancefs"]);
    place.run(["man", "--dir", "/proc/nowhere"]).refused(2, &["/proc/nowhere"]);
}

#[test]
fn every_page_is_shown_without_a_warning_and_reads_as_its_document() {
    let place = Place::new();
    let folder = place.path("man");
    place.run(["man", "--dir", folder.to_str().unwrap()]).succeeded();
    let mut shown = Vec::new();
    for section in fs::read_dir(&folder).unwrap() {
        for page in fs::read_dir(section.unwrap().path()).unwrap() {
            let path = page.unwrap().path();
            let mut groff = Command::new("groff");
            groff.args(["-man", "-Tutf8", "-ww", "-P-cbou"]).arg(&path).current_dir(&folder);
            let ran = Ran::of(groff.output().unwrap());
            assert_eq!((ran.code, ran.err.as_str()), (Some(0), ""), "{}", path.display());
            shown.push((path, ran.out));
        }
    }
    let text = |name: &str| &shown.iter().find(|(path, _)| path.ends_with(name)).unwrap().1;
    assert_eq!(text("mount.fuse.glancefs.8"), text("mount.glancefs.8"));
    let words: Vec<_> = text("glancefs-semantics.7").split_whitespace().collect();
    let words = words.join(" ");
    for sentence in [
        "by-name/<name>/ the same images by name",
        "name~<first 8 of its id>",
        "• An image without a name is under by-id only.",
        "sealed status of the image: queued after a kill: goes on",
        "the mount is read-only EROFS",
    ] {
        assert!(words.contains(sentence), "no '{sentence}' in {words}");
    }
}
