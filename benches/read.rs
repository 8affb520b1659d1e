//! How much of what a plain HTTP download gets reaches a reader of ours, without the kernel in between.
//!
//! `cargo bench --bench read` starts the embedded service with one image, downloads the image in turns with a plain client
//! and through `Reads`, and prints the times and the ratio of their medians.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a benchmark that cannot go on ends, and prints its result"
)]

use std::time::{Duration, Instant};

use glancefs::budget::Budget;
use glancefs::config::{Cloud, Tls};
use glancefs::image::ImageId;
use glancefs::read::{Content, Reads, Settings};
use glancefs::server::{self, Server};
use glancefs::service::ImageService;
use glancefs::service::glance::Glance;
use reqwest::Client;
use serde_json::json;

/// The image's length: enough for the window to open, small enough for a laptop.
const SIZE: usize = 256 << 20;

/// What the kernel asks for at once when a program copies a file.
const READ: u32 = 128 << 10;

const ROUNDS: usize = 7;

#[tokio::main]
async fn main() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(server::Settings::new(folder.path())).await.unwrap();
    let client = Client::builder().http1_only().build().unwrap();
    let id = upload(&client, &server.url()).await;
    let glance = Glance::connect(Cloud::of_url(server.url().parse().unwrap(), no_tls())).await.unwrap();
    let image = glance.show(id).await.unwrap();
    let content = Content { image: id, size: image.size.unwrap(), checksums: image.checksums, stores: image.stores };
    let glance: std::sync::Arc<dyn ImageService> = std::sync::Arc::new(glance);
    let (mut plain, mut ours) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        plain.push(download(&client, &server.url(), id).await);
        // A budget and a cache of its own for each round: every round is cold.
        let reads = Reads::new(std::sync::Arc::clone(&glance), Budget::new(256 << 20), Settings::default());
        ours.push(read(&reads, content.clone()).await);
    }
    let (plain, ours) = (median(plain), median(ours));
    println!("plain download  {:>7.0} MiB/s", rate(plain));
    println!("through Reads   {:>7.0} MiB/s, hash compared", rate(ours));
    println!("ratio           {:>7.2}", plain.as_secs_f64() / ours.as_secs_f64());
    server.stop().await;
}

fn no_tls() -> Tls {
    Tls { verify: true, ca: None, cert: None, key: None }
}

async fn upload(client: &Client, url: &str) -> ImageId {
    let id = ImageId::random();
    let attributes = json!({"id": id.as_str(), "name": "bench", "disk_format": "raw", "container_format": "bare"});
    let made = client.post(format!("{url}/v2/images")).body(attributes.to_string());
    assert!(made.send().await.unwrap().status().is_success());
    let bytes: Vec<u8> =
        (0..SIZE / 8).flat_map(|index| (index as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le_bytes()).collect();
    let sent = client.put(format!("{url}/v2/images/{id}/file")).header("Content-Type", "application/octet-stream");
    assert!(sent.body(bytes).send().await.unwrap().status().is_success());
    id
}

async fn download(client: &Client, url: &str, id: ImageId) -> Duration {
    let began = Instant::now();
    let mut response = client.get(format!("{url}/v2/images/{id}/file")).send().await.unwrap();
    let mut length = 0;
    while let Some(chunk) = response.chunk().await.unwrap() {
        length += chunk.len();
    }
    assert_eq!(length, SIZE);
    began.elapsed()
}

async fn read(reads: &std::sync::Arc<Reads>, content: Content) -> Duration {
    let began = Instant::now();
    let reader = reads.open(content).unwrap();
    let mut at = 0;
    while at < SIZE as u64 {
        at += reader.read(at, READ).await.unwrap().len() as u64;
    }
    began.elapsed()
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times.swap_remove(times.len() / 2)
}

fn rate(time: Duration) -> f64 {
    f64::from(u32::try_from(SIZE >> 20).unwrap()) / time.as_secs_f64()
}
