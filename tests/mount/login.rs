//! Mounts that cannot be: each ends with one sentence, and leaves neither a mount nor a program.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};

use crate::mounted::Mount;
use crate::support::{Place, Ran};
use crate::target::Target;
use crate::tools::tool;

crate::promises![Both:
    a_wrong_password_is_told_without_repeating_it,
    an_unknown_project_is_refused,
    a_region_without_an_image_service_is_named,
    a_token_that_was_revoked_is_refused,
    a_token_that_is_valid_mounts,
    a_cloud_without_an_image_service_is_told,
    a_certificate_of_an_unknown_authority_is_refused,
    something_that_is_no_keystone_is_told,
];

/// `glancefs mount SOURCE MOUNTPOINT` with a clouds.yaml and more variables.
pub(crate) fn attempt(clouds: &Path, source: Option<&str>, variables: &[(&str, &str)]) -> (Place, Ran) {
    let place = Place::new();
    let mut command = place.command();
    command.env("OS_CLIENT_CONFIG_FILE", clouds).envs(variables.iter().copied());
    command.arg("mount").args(source).arg(place.mount());
    let ran = Ran::of(command.output().unwrap());
    (place, ran)
}

/// Refused in one sentence with these words; nothing is left.
#[track_caller]
pub(crate) fn is_refused((place, ran): (Place, Ran), words: &[&str]) {
    println!("{}", ran.err);
    assert!(ran.code.is_some_and(|code| code != 0), "{ran:?}");
    ran.refused(ran.code.unwrap(), words);
    assert_eq!(ran.err.trim_end().lines().count(), 1, "{}", ran.err);
    assert!(ran.err.len() < 400, "{}", ran.err);
    assert_eq!(ran.out, "");
    place.assert_nothing_is_left();
}

fn a_wrong_password_is_told_without_repeating_it(target: &Target) {
    let clouds = target.clouds_with("demo", |cloud| cloud["auth"]["password"] = json!("hush-hush"));
    let (place, ran) = attempt(&clouds, Some("demo"), &[]);
    assert!(!ran.err.contains("hush"), "{}", ran.err);
    is_refused((place, ran), &["could not log in", "requires authentication"]);
}

fn an_unknown_project_is_refused(target: &Target) {
    let clouds = target.clouds_with("demo", |cloud| cloud["auth"]["project_name"] = json!("nowhere"));
    is_refused(attempt(&clouds, Some("demo"), &[]), &["could not log in", "nowhere", "requires authentication"]);
}

fn a_region_without_an_image_service_is_named(target: &Target) {
    let clouds = target.clouds_with("demo", |cloud| cloud["region_name"] = json!("Atlantis"));
    is_refused(attempt(&clouds, Some("demo"), &[]), &["Image service", "Atlantis", "RegionOne"]);
}

/// The variables of somebody who has nothing but a token.
pub(crate) fn token_only<'a>(auth_url: &'a str, token: &'a str) -> [(&'a str, &'a str); 3] {
    [("OS_AUTH_TYPE", "token"), ("OS_AUTH_URL", auth_url), ("OS_TOKEN", token)]
}

fn a_token_that_was_revoked_is_refused(target: &Target) {
    let demo = target.person("demo");
    let origin = target.auth_url().trim_end_matches('/').trim_end_matches("/v3").to_owned();
    let request = crate::wire::Request::new(&origin, "DELETE", "/v3/auth/tokens");
    let request = request.header("X-Auth-Token", &demo.token).header("X-Subject-Token", &demo.token);
    target.wait(request.send()).is(204);
    let none = target.file_with("none.yaml", "clouds: {}");
    let (place, ran) = attempt(&none, None, &token_only(&target.auth_url(), &demo.token));
    assert!(!ran.err.contains(&demo.token), "{}", ran.err);
    is_refused((place, ran), &["token"]);
}

fn a_token_that_is_valid_mounts(target: &Target) {
    let demo = target.person("demo");
    let id = target.filled(&demo, &json!({}), b"by token");
    let none = target.file_with("none.yaml", "clouds: {}");
    let auth_url = target.auth_url();
    let project = [("OS_PROJECT_ID", demo.project.as_str())];
    let variables = [token_only(&auth_url, &demo.token).as_slice(), &project].concat();
    let (place, ran) = attempt(&none, None, &variables);
    ran.succeeded();
    let mount = Mount::in_place(place);
    assert_eq!(std::fs::read(mount.data(&id)).unwrap(), b"by token");
    mount.end();
}

/// The variables of somebody whose Keystone is at this URL.
fn password_at(url: &str) -> Vec<(&str, &str)> {
    let person = [("OS_USERNAME", "u"), ("OS_PASSWORD", "hush"), ("OS_PROJECT_NAME", "p"), ("OS_AUTH_URL", url)];
    [person.as_slice(), &[("OS_USER_DOMAIN_ID", "default"), ("OS_PROJECT_DOMAIN_ID", "default")]].concat()
}

fn a_cloud_without_an_image_service_is_told(target: &Target) {
    let none = target.file_with("none.yaml", "clouds: {}");
    let url = answering(201, "application/json", &token_without_services());
    is_refused(attempt(&none, None, &password_at(&url)), &["image", "catalog"]);
}

fn something_that_is_no_keystone_is_told(target: &Target) {
    let none = target.file_with("none.yaml", "clouds: {}");
    let url = answering(200, "text/html", "<html><body><h1>It works!</h1></body></html>");
    let (place, ran) = attempt(&none, None, &password_at(&url));
    assert!(!ran.err.contains('<'), "{}", ran.err);
    is_refused((place, ran), &[&url]);
}

fn token_without_services() -> String {
    let compute = json!({"type": "compute", "name": "nova", "endpoints": [
        {"interface": "public", "region_id": "RegionOne", "region": "RegionOne", "url": "http://127.0.0.1:1"}]});
    let token: Value = json!({"token": {"methods": ["password"], "expires_at": "2999-01-01T00:00:00.000000Z",
        "issued_at": "2026-01-01T00:00:00.000000Z", "roles": [], "catalog": [compute],
        "user": {"id": "u", "name": "u", "domain": {"id": "default", "name": "Default"}},
        "project": {"id": "p", "name": "p", "domain": {"id": "default", "name": "Default"}}}});
    token.to_string()
}

/// The address, with `/v3`, of something that gives every request the same answer for as long as the process lives.
fn answering(status: u16, kind: &str, body: &str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/v3", listener.local_addr().unwrap());
    let length = body.len();
    let answer = format!(
        "HTTP/1.1 {status} x\r\nConnection: close\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\n\
         X-Subject-Token: given\r\n\r\n{body}"
    );
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            // Whoever gives up on a connection has no need of the answer.
            let _ = answer_one(stream.unwrap(), &answer);
        }
    });
    url
}

fn answer_one(mut stream: TcpStream, answer: &str) -> std::io::Result<()> {
    let mut length = 0;
    let mut reader = BufReader::new(stream.try_clone()?);
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        if let Some(number) = line.to_lowercase().strip_prefix("content-length:") {
            length = number.trim().parse().unwrap();
        }
        if line.trim().is_empty() {
            break;
        }
    }
    std::io::copy(&mut reader.take(length), &mut std::io::sink())?;
    stream.write_all(answer.as_bytes())
}

/// The files of a key and of a certificate for it, signed by an authority that nobody knows.
fn certificate_of_an_authority(target: &Target) -> (String, String) {
    let file = |name: &str| target.file(name).to_str().unwrap().to_owned();
    let make = |arguments: &[&str]| {
        let curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"];
        let made = tool("openssl", [&["req", "-x509"][..], &curve, arguments].concat());
        assert_eq!(made.code, Some(0), "{made:?}");
    };
    let [ca_key, ca, key, certificate] = ["ca.key", "ca.pem", "key.pem", "certificate.pem"].map(file);
    make(&["-subj", "/CN=An Authority", "-keyout", &ca_key, "-out", &ca]);
    let host = ["-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1"];
    let kind = ["-addext", "basicConstraints=critical,CA:FALSE", "-CA", &ca, "-CAkey", &ca_key];
    make(&[&host[..], &kind, &["-keyout", &key, "-out", &certificate]].concat());
    (key, certificate)
}

/// A TLS server with a certificate that its own authority signed; it ends with the test.
pub(crate) struct Tls(Child);

impl Tls {
    /// Answers also where it listens.
    pub(crate) fn start(target: &Target) -> (Self, String) {
        let (key, certificate) = certificate_of_an_authority(target);
        let mut server = Command::new("openssl");
        server.args(["s_server", "-accept", "127.0.0.1:0", "-www", "-cert", &certificate, "-key", &key]);
        let mut server =
            Self(server.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap());
        let mut lines = BufReader::new(server.0.stdout.take().unwrap()).lines().map(Result::unwrap);
        let address = lines.find_map(|line| Some(line.strip_prefix("ACCEPT ")?.to_owned())).unwrap();
        std::thread::spawn(move || lines.for_each(drop));
        (server, address)
    }
}

impl Drop for Tls {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn a_certificate_of_an_unknown_authority_is_refused(target: &Target) {
    let (_server, address) = Tls::start(target);
    let none = target.file_with("none.yaml", "clouds: {}");
    let origin = format!("https://{address}");
    let words = [&origin, "certificate", "OS_CACERT"];
    is_refused(attempt(&none, None, &password_at(&format!("{origin}/v3"))), &words);
    // The Image service itself.
    is_refused(attempt(&none, Some(&origin), &[]), &words);
}
