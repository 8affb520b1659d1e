//! What a mount writes down while it works, at the highest level: no password, no token, no secret of an application credential.

use std::fs;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use glancefs::server::{Accounts, Server, Settings};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};

use crate::login::attempt;
use crate::mounted::Mount;
use crate::target::Target;
use crate::tools::{shell, tool_in};

crate::promises![Embedded:
    no_secret_is_in_anything_that_a_mount_writes_down,
    each_request_is_in_the_log_of_a_mount_with_debug,
];

const PASSWORD: &str = "hush-5f0b0f3c9f";
const CREDENTIAL: &str = "hush-8c1d7a64e2";

const ACCOUNTS: &str = "
projects: [{name: p}]
users:
  - name: ada
    password: hush-5f0b0f3c9f
    projects: {p: [member]}
    application_credentials: [{id: ac, name: ac, secret: hush-8c1d7a64e2, project: p}]
";

/// All that went over the connections to Keystone.
type Heard = Arc<Mutex<Vec<u8>>>;

/// Where Keystone is to be asked, so that what is said there is heard.
fn between(target: &Target, keystone: &str, heard: &Heard) -> String {
    let origin = keystone.trim_start_matches("http://").trim_end_matches("/v3").to_owned();
    let listener = target.wait(TcpListener::bind("127.0.0.1:0")).unwrap();
    let url = format!("http://{}/v3", listener.local_addr().unwrap());
    let heard = Arc::clone(heard);
    target.runtime().spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let server = TcpStream::connect(&origin).await.unwrap();
            let ((from, to), (back, home)) = (client.into_split(), server.into_split());
            tokio::spawn(pass(from, home, Arc::clone(&heard)));
            tokio::spawn(pass(back, to, Arc::clone(&heard)));
        }
    });
    url
}

/// Passes everything on until one side ends.
async fn pass(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, heard: Heard) {
    let mut piece = vec![0; 64 << 10];
    while let Ok(count @ 1..) = from.read(&mut piece).await {
        heard.lock().unwrap().extend(&piece[..count]);
        if to.write_all(&piece[..count]).await.is_err() {
            return;
        }
    }
}

/// The tokens that Keystone has given.
fn tokens(heard: &str) -> Vec<String> {
    let lines = heard.lines().filter_map(|line| line.split_once(": "));
    lines.filter(|(name, _)| name.eq_ignore_ascii_case("x-subject-token")).map(|(_, token)| token.to_owned()).collect()
}

/// All files below a folder, one behind the other.
fn below(folder: &Path) -> Vec<u8> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { below(&path) } else { fs::read(path).unwrap_or_default() }).collect()
}

/// Reads, writes and failures. What is told of them beside the log.
fn work(mount: &Mount) -> String {
    let lines = "mkdir by-name/one by-name/two; head -c 300000 /dev/urandom > by-name/one/data; cat by-name/one/data; \
                 echo v > by-name/one/properties/p; touch by-name/one/tags/t; echo gone > by-name/one/status; \
                 echo '{\"disk_format\": \"qcow2\"}' > by-name/two/metadata.json; echo x > by-name/two/data; \
                 cp /etc/hostname by-name/two/data; echo deactivated > by-name/two/status; ls query/x=y by-name/three; \
                 echo https://ada:hush@example.org/x.qcow2 > by-name/two/import; rmdir by-name/one";
    // Several of them are refused.
    tool_in(&mount.root(), "sh", &["-c", &format!("({lines}) > /dev/null 2>&1")]);
    shell(&mount.root(), "cd .glancefs; cat errors status.json metrics uploads")
}

/// What a mount with this login writes down and tells.
fn written(clouds: &Path) -> String {
    let (place, ran) = attempt(clouds, Some("c"), &[("GLANCEFS_LOG", "trace")]);
    ran.succeeded();
    let mount = Mount::in_place(place);
    let (told, state) = (work(&mount), mount.root().with_file_name("state"));
    let written = String::from_utf8_lossy(&below(&state)).into_owned();
    mount.end();
    told + &written
}

fn no_secret_is_in_anything_that_a_mount_writes_down(target: &Target) {
    let mut settings = Settings::new(target.file("others"));
    settings.accounts = Some(Accounts::from_yaml(ACCOUNTS).unwrap());
    // Shorter than what the program wants ahead, so that it logs in again and again.
    settings.behaviour.token_lifetime = Duration::from_secs(30);
    let server = target.wait(Server::start(settings)).unwrap();
    let heard = Heard::default();
    let url = between(target, &server.keystone_url().unwrap(), &heard);
    let by_password = json!({"auth_url": url, "username": "ada", "password": PASSWORD, "project_name": "p",
        "user_domain_id": "default", "project_domain_id": "default"});
    let by_credential = json!({"auth_url": url, "application_credential_id": "ac",
        "application_credential_secret": CREDENTIAL});
    let kinds = [("password", by_password, PASSWORD), ("v3applicationcredential", by_credential, CREDENTIAL)];
    for (kind, auth, secret) in kinds {
        let clouds = json!({"clouds": {"c": {"auth_type": kind, "auth": auth}}});
        let written = written(&target.file_with("c.yaml", clouds.to_string()));
        let heard = String::from_utf8_lossy(&heard.lock().unwrap()).into_owned();
        let tokens = tokens(&heard);
        assert!(heard.contains(secret) && tokens.len() > 1, "{kind}: {} tokens", tokens.len());
        assert!(written.contains("logged in") && written.contains("TRACE"), "{kind}: it is not the highest level");
        for secret in tokens.iter().map(String::as_str).chain([secret, "ada:hush"]) {
            let line = written.lines().find(|line| line.contains(secret));
            assert_eq!(line, None, "{kind}");
        }
    }
    target.wait(server.stop());
}

fn each_request_is_in_the_log_of_a_mount_with_debug(target: &Target) {
    let mount = target.mount_with("demo", &["--debug"]);
    let before = target.server(Server::traffic).requests;
    work(&mount);
    let asked = target.server(Server::traffic).requests - before;
    let log = mount.log();
    let lines: Vec<_> = log.lines().filter(|line| line.contains("asked the service")).collect();
    assert!(lines.len() as u64 >= asked && asked > 10, "{asked} requests, and\n{log}");
    for line in &lines {
        let has = |word: &str| line.contains(word);
        assert!(has("method=") && has("path=") && has("status=") && has("time=") && has("request="), "{line}");
    }
    let refused = lines.iter().filter(|line| line.contains("status=4"));
    assert!(refused.clone().count() > 0 && refused.clone().all(|line| line.contains("request=req-")), "{log}");
    assert!(!log.contains("log.file"), "{log}");
    mount.end();
}
