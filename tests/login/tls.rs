//! Certificates: which are trusted, which of our own is shown, and what is said where it fails.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::path::PathBuf;
use std::sync::Arc;

use glancefs::config::{AuthMethod, Cloud, Domain, Tls, User};
use glancefs::service::auth::Login;
use glancefs::service::{Kind, ServiceError};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig, ServerConnection, StreamOwned};

fn file(name: &str) -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/login/certificates")).join(name)
}

fn certificates(name: &str) -> Vec<CertificateDer<'static>> {
    CertificateDer::pem_file_iter(file(name)).unwrap().map(Result::unwrap).collect()
}

/// The port of a Keystone that speaks TLS, and that asks for a client's certificate where told to.
fn serve(ask_for_certificate: bool) -> u16 {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut authorities = RootCertStore::empty();
    authorities.add_parsable_certificates(certificates("ca.pem"));
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(authorities), Arc::clone(&provider));
    let builder = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let builder = if ask_for_certificate {
        builder.with_client_cert_verifier(verifier.build().unwrap())
    } else {
        builder.with_no_client_auth()
    };
    let key = PrivateKeyDer::from_pem_file(file("server.key")).unwrap();
    let config = Arc::new(builder.with_single_cert(certificates("server.pem"), key).unwrap());
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let connection = ServerConnection::new(Arc::clone(&config)).unwrap();
            // A client that does not like the certificate ends the connection; the next one may.
            drop(answer(StreamOwned::new(connection, stream)));
        }
    });
    port
}

/// Reads one request and answers it with a token.
fn answer(mut stream: impl Read + Write) -> std::io::Result<()> {
    let mut reader = BufReader::new(&mut stream);
    let mut length = 0;
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        if line.trim().is_empty() {
            break;
        }
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().unwrap();
        }
    }
    reader.read_exact(&mut vec![0; length])?;
    let body = r#"{"token": {"catalog": []}}"#;
    let head = format!("HTTP/1.1 201 Created\r\nX-Subject-Token: t\r\nContent-Length: {}\r\n\r\n", body.len());
    stream.write_all(head.as_bytes())?;
    stream.write_all(body.as_bytes())?;
    stream.flush()
}

async fn log_in(address: &str, tls: Tls) -> Result<(), ServiceError> {
    let mut cloud = Cloud::of_url(format!("{address}/v3").parse().unwrap(), tls);
    cloud.image_endpoint = None;
    cloud.auth_url = Some(format!("{address}/v3").parse().unwrap());
    let user = User::Name("me".to_owned(), Domain::Id("default".to_owned()));
    cloud.auth = AuthMethod::Password { user, password: "s3cret".into() };
    Login::new(cloud)?.token().await.map(drop)
}

fn trusting() -> Tls {
    Tls { ca: Some(file("ca.pem")), ..Tls::default() }
}

#[tokio::test]
async fn an_unknown_authority_is_not_trusted_and_the_option_is_named() {
    let error = log_in(&format!("https://127.0.0.1:{}", serve(false)), Tls::default()).await.unwrap_err();
    assert_eq!(error.kind, Kind::Untrusted);
    assert!(error.to_string().contains("--os-cacert"), "{error}");
}

#[tokio::test]
async fn cacert_makes_an_authority_trusted() {
    log_in(&format!("https://127.0.0.1:{}", serve(false)), trusting()).await.unwrap();
}

/// The libraries read no certificates but those of a file that this variable names.
#[test]
fn a_machine_without_certificates_trusts_those_that_are_named_and_no_others() {
    let same =
        ["tls::an_unknown_authority_is_not_trusted_and_the_option_is_named", "tls::cacert_makes_an_authority_trusted"];
    let mut tests = std::process::Command::new(std::env::current_exe().unwrap());
    tests.arg("--exact").args(same).env("SSL_CERT_FILE", "/dev/null").env_remove("SSL_CERT_DIR");
    let ran = tests.output().unwrap();
    let told = String::from_utf8_lossy(&ran.stdout);
    assert!(ran.status.success() && told.contains("2 passed"), "{told}");
}

#[tokio::test]
async fn a_certificate_for_another_name_is_not_trusted() {
    let error = log_in(&format!("https://localhost:{}", serve(false)), trusting()).await.unwrap_err();
    assert_eq!(error.kind, Kind::Untrusted, "{error}");
}

#[tokio::test]
async fn without_verification_any_certificate_will_do() {
    let tls = Tls { verify: false, ..Tls::default() };
    log_in(&format!("https://localhost:{}", serve(false)), tls).await.unwrap();
}

#[tokio::test]
async fn a_certificate_of_our_own_is_shown_to_who_asks() {
    let address = format!("https://127.0.0.1:{}", serve(true));
    let tls = Tls { cert: Some(file("client.pem")), key: Some(file("client.key")), ..trusting() };
    log_in(&address, tls).await.unwrap();
    let error = log_in(&address, trusting()).await.unwrap_err();
    assert_eq!(error.kind, Kind::Untrusted, "{error}");
    assert!(error.to_string().contains("--os-cert"), "{error}");
}

#[tokio::test]
async fn certificate_and_key_may_stand_in_one_file() {
    let folder = tempfile::tempdir().unwrap();
    let both = folder.path().join("both.pem");
    let text = |name| std::fs::read_to_string(file(name)).unwrap();
    std::fs::write(&both, format!("{}{}", text("client.key"), text("client.pem"))).unwrap();
    let tls = Tls { cert: Some(both), ..trusting() };
    log_in(&format!("https://127.0.0.1:{}", serve(true)), tls).await.unwrap();
}

#[tokio::test]
async fn an_address_with_https_where_no_tls_is_spoken_is_told() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            drop(stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n"));
        }
    });
    let error = log_in(&format!("https://127.0.0.1:{port}"), Tls::default()).await.unwrap_err();
    assert!(error.to_string().contains("does not speak TLS"), "{error}");
}

#[tokio::test]
async fn a_file_that_holds_no_certificate_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let (garbage, absent) = (folder.path().join("garbage.pem"), folder.path().join("absent.pem"));
    std::fs::write(&garbage, "no certificate").unwrap();
    for (path, tls) in [
        (&garbage, Tls { ca: Some(garbage.clone()), ..Tls::default() }),
        (&absent, Tls { ca: Some(absent.clone()), ..Tls::default() }),
        (&garbage, Tls { cert: Some(garbage.clone()), ..Tls::default() }),
        (&file("client.pem"), Tls { cert: Some(file("client.pem")), ..Tls::default() }),
    ] {
        let error = log_in("https://127.0.0.1:9", tls).await.unwrap_err();
        assert_eq!(error.kind, Kind::Configuration, "{error}");
        assert!(error.to_string().contains(&path.display().to_string()), "{error}");
    }
}
