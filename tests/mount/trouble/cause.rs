//! What brings each symptom about, where the lines that the page shows do not do it themselves.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use glancefs::server::Settings;
use serde_json::json;

use super::BYTES;
use crate::login::Tls;
use crate::pages::home::Home;
use crate::proxy::{Act, Proxy, Request, Step};
use crate::target::Target;
use crate::tools::tool;

/// What is to be done before the mount is made, and once it is there.
pub(super) struct Cause {
    pub(super) title: &'static str,
    pub(super) before: fn(&mut Home<'_>) -> Guard,
    pub(super) after: fn(&mut Home<'_>, &mut Guard),
}

/// What lasts as long as the symptom.
pub(super) enum Guard {
    Nothing,
    /// Something that listens with a certificate that nobody knows.
    Listening {
        _server: Tls,
    },
    /// What stands between the mount and its service, and what it makes of requests for data.
    Between {
        _proxy: Proxy,
    },
    /// A service that is stopped.
    Stopped(Box<Settings>),
    /// A small disk.
    Disk(PathBuf),
}

impl Guard {
    /// Has the cause of the symptom gone.
    pub(super) fn end(self, target: &Target) {
        match self {
            Self::Stopped(settings) => target.start(*settings),
            Self::Disk(point) => drop(tool("umount", ["--lazy".as_ref(), point.as_os_str()])),
            _ => (),
        }
    }
}

const fn cause(title: &'static str) -> Cause {
    Cause { title, before: |_| Guard::Nothing, after: |_, _| () }
}

/// Nothing that the lines do not do themselves.
pub(super) const NONE: Cause = cause("");

/// The causes, by the titles of the symptoms.
pub(super) const CAUSES: [Cause; 21] = [
    before("The password is refused", |home| {
        home.describe(|cloud| cloud["auth"]["password"] = json!("another"));
        Guard::Nothing
    }),
    before("Nothing answers", |home| {
        home.describe(|cloud| cloud["auth"]["auth_url"] = json!("http://127.0.0.1:1/v3"));
        Guard::Nothing
    }),
    before("The certificate is not to be trusted", |home| {
        let (server, address) = Tls::start(home.target);
        home.describe(|cloud| cloud["auth"]["auth_url"] = json!(format!("https://{address}/v3")));
        Guard::Listening { _server: server }
    }),
    before("The region has no Image service", |home| {
        home.describe(|cloud| cloud["region_name"] = json!("Atlantis"));
        Guard::Nothing
    }),
    before("The token has come to its end", |home| {
        home.target.behave(|behaviour| behaviour.token_lifetime = Duration::ZERO);
        let (url, token) = (home.target.auth_url(), home.target.person("demo").token);
        let variables = [("OS_AUTH_TYPE", "token"), ("OS_AUTH_URL", &url), ("OS_TOKEN", &token)];
        let lines = variables.map(|(name, value)| format!("export {name}='{value}'\n")).concat();
        std::fs::write(home.path("openrc"), lines).unwrap();
        Guard::Nothing
    }),
    before("There is no /dev/fuse", |home| {
        // A /dev with nothing in it but what programs need.
        let lines = "mkdir ~/dev; for each in null zero urandom; do cp -a /dev/$each ~/dev/; done; \
                     mount --bind ~/dev /dev && exec \"$@\"";
        home.wrapper = ["unshare", "--mount", "sh", "-c", lines, "sh"].map(str::to_owned).to_vec();
        Guard::Nothing
    }),
    after("Transport endpoint is not connected (ENOTCONN)", |home, _| {
        let program = home.daemon();
        program.signal(libc::SIGKILL);
        program.ended();
    }),
    before("Others cannot look into the mount", |home| {
        home.does("chmod 711 ~ ~/..");
        Guard::Nothing
    }),
    before("No such file or directory (ENOENT): two images have the name", |home| {
        for _ in 0..2 {
            image(home.target, "demo", "twice");
        }
        Guard::Nothing
    }),
    before("Operation not permitted (EPERM): somebody else's image", |home| {
        let (demo, alt) = (home.target.person("demo"), home.target.person("alt"));
        let id = image(home.target, "alt", "theirs");
        home.target.wait(alt.post(&format!("/v2/images/{id}/members"), &json!({"member": demo.project}))).is(200);
        let accepted = json!({"status": "accepted"});
        let accept = demo.request("PUT", &format!("/v2/images/{id}/members/{}", demo.project)).json(&accepted);
        home.target.wait(accept.send()).is(200);
        Guard::Nothing
    }),
    before("Permission denied (EACCES): the login was revoked", |home| {
        between(home, || Act::status("401 Unauthorized", ""))
    }),
    before("Permission denied (EACCES): a policy", |home| between(home, || Act::status("403 Forbidden", ""))),
    before("Operation canceled (ECANCELED)", |home| {
        between(home, || Act::status("503 Service Unavailable", "Retry-After: 60\r\n"))
    }),
    before("Input/output error (EIO): the service fails", |home| {
        between(home, || Act::status("500 Internal Server Error", REQUEST))
    }),
    before("Disk quota exceeded (EDQUOT)", |home| {
        large(home);
        home.describe(|cloud| {
            cloud["auth"]["username"] = json!("small");
            cloud["auth"]["project_name"] = json!("small");
        });
        Guard::Nothing
    }),
    before("File too large (EFBIG)", |home| {
        large(home);
        home.target.behave(|behaviour| behaviour.size_cap = 1 << 20);
        Guard::Nothing
    }),
    before("No space left on device (ENOSPC)", |home| {
        large(home);
        home.does("mkdir ~/spool && mount -t tmpfs -o size=4m tmpfs ~/spool");
        Guard::Disk(home.path("spool"))
    }),
    after("Input/output error (EIO): damaged bytes", |home, _| {
        home.target.behave(|behaviour| behaviour.corrupt = true);
    }),
    after("No route to host (EHOSTUNREACH)", |home, guard| {
        home.does("ls ~/images/by-name > /dev/null");
        *guard = Guard::Stopped(Box::new(home.target.stop()));
    }),
    before(super::DEADLINE, |home| between(home, || Act::Hang)),
    after("What is shown is old", |home, guard| {
        home.does("cat ~/images/by-name/debian-12/metadata.json > /dev/null");
        *guard = Guard::Stopped(Box::new(home.target.stop()));
        // What was listed is older than a TTL.
        home.does("until getfattr -n user.glancefs.stale ~/images/by-name/debian-12/status > /dev/null 2>&1; do sleep 0.2; done");
    }),
];

/// The name that the service gives a request.
const REQUEST: &str = "X-Openstack-Request-Id: req-9f1c1c4e-6f0e-4c57-8f0b-3c1f5a3f4d21\r\n";

/// Something between `mycloud` and its Image service that makes this of each request for data.
fn between(home: &mut Home<'_>, act: fn() -> Act) -> Guard {
    let glance = home.target.person("demo").glance;
    let judge = move |request: &Request, step| {
        let is_met = request.path.ends_with("/file") && step == Step::Begun;
        if is_met { act() } else { Act::Pass }
    };
    let proxy = Proxy::start(home.target.runtime(), &glance, Arc::new(judge));
    home.describe(|cloud| cloud["image_endpoint_override"] = json!(proxy.url()));
    Guard::Between { _proxy: proxy }
}

const fn before(title: &'static str, before: fn(&mut Home<'_>) -> Guard) -> Cause {
    Cause { before, ..cause(title) }
}

const fn after(title: &'static str, after: fn(&mut Home<'_>, &mut Guard)) -> Cause {
    Cause { after, ..cause(title) }
}

fn image(target: &Target, person: &str, word: &str) -> String {
    let attributes = json!({"name": target.name(word), "visibility": "shared"});
    target.filled(&target.person(person), &attributes, BYTES)
}

/// A disk that is larger than what is taken.
fn large(home: &mut Home<'_>) {
    home.does("head -c 8M /dev/urandom > ~/large.raw");
}
