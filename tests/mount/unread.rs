//! An image of which the service tells something that cannot be read, whether it is listed, looked at or changed.

use std::fs;
use std::sync::{Arc, Mutex};

use serde_json::json;

use crate::mounted::Mount;
use crate::proxy::{Act, Request, Step};
use crate::target::Target;
use crate::tools::shell;
use crate::upload_faults::proxied;

crate::promises![Both: an_image_of_which_something_cannot_be_read_is_there_without_it_and_the_log_says_so_once];

/// Half of a character.
const ODD: &str = r#""os_odd": "sur\ud800x""#;

/// Whatever is older is asked for again.
const NOW: [&str; 1] = ["--ttl=0s"];

/// What the service tells of one image in place of what it would.
struct Told {
    id: String,
    /// As JSON, but for the last bracket.
    image: String,
    is_listed: bool,
}

impl Told {
    fn image(&self) -> String {
        format!("{}, {ODD}}}", self.image)
    }

    fn act(&mut self, request: &Request) -> Act {
        let is_one = request.path.ends_with(&self.id);
        match request.method.as_str() {
            "GET" if is_one => answer(&self.image()),
            "PATCH" if is_one => {
                self.image.push_str(r#", "os_new": "value""#);
                answer(&self.image())
            }
            "GET" if request.path.contains("/v2/images?") => {
                let images = if self.is_listed { self.image() } else { String::new() };
                answer(&format!(r#"{{"images": [{images}]}}"#))
            }
            _ => Act::Pass,
        }
    }
}

fn answer(document: &str) -> Act {
    let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\n";
    Act::Answer(format!("{head}Content-Length: {}\r\n\r\n{document}", document.len()))
}

fn an_image_of_which_something_cannot_be_read_is_there_without_it_and_the_log_says_so_once(target: &Target) {
    let (person, name) = (target.person("demo"), target.name("odd"));
    let id = target.filled(&person, &json!({"name": name, "os_distro": "x"}), b"hello");
    let image = target.wait(person.show(&id)).to_string();
    let image = image.strip_suffix('}').unwrap().to_owned();
    let told = Arc::new(Mutex::new(Told { id: id.clone(), image, is_listed: false }));
    let judge = Arc::clone(&told);
    let (_proxy, clouds) = proxied(target, move |request, step| match step {
        Step::Begun => judge.lock().unwrap().act(request),
        _ => Act::Pass,
    });
    let mount = Mount::of(&clouds, "demo", &NOW);
    let folder = mount.path("by-id").join(&id);
    let looks = || {
        assert_eq!(fs::read_to_string(folder.join("data")).unwrap(), "hello");
        let document = fs::read_to_string(folder.join("metadata.json")).unwrap();
        assert!(document.contains("os_distro") && !document.contains("os_odd"), "{document}");
        assert_eq!(shell(&folder, "cat properties/os_distro"), "x\n");
        assert!(!folder.join("properties/os_odd").exists());
    };
    // Shown alone, as an image that no listing has.
    looks();
    looks();
    told.lock().unwrap().is_listed = true;
    assert_eq!(shell(&mount.path("by-name"), "ls"), format!("{name}\n"));
    looks();
    shell(&folder, "jq '.os_new = \"value\"' metadata.json > new; mv new metadata.json");
    assert_eq!(shell(&folder, "cat properties/os_new"), "value\n");
    looks();
    let log = mount.log();
    let said = format!("image {id} is shown without its os_odd, which cannot be read: ");
    assert_eq!(log.matches(&said).count(), 1, "{log}");
    mount.end();
}
