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
    for page in ["man1/glancefs.1", "man1/glancefs-mount.1", "man1/glancefs-uploads.1", "man8/mount.glancefs.8"] {
        let text = fs::read_to_string(folder.join(page)).unwrap();
        assert!(text.starts_with(".ie") || text.starts_with(".TH"), "{page}: {text}");
    }
    for page in ["mount", "glancefs-mount"] {
        let ran = place.run(["man", page]);
        ran.succeeded();
        assert_eq!(ran.out, fs::read_to_string(folder.join("man1/glancefs-mount.1")).unwrap());
    }
    place.run(["man", "nonsense"]).refused(1, &["no page 'nonsense'", "mount.glancefs"]);
    place.run(["man", "--dir", "/proc/nowhere"]).refused(2, &["/proc/nowhere"]);
}
