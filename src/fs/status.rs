//! `.glancefs/status.json` and `.glancefs/metrics`: how the mount does.

use std::collections::BTreeMap;
use std::time::Duration;

use super::FileSystem;
use crate::image::ImageId;
use crate::service::meter::{self, CLASSES, Vitals};
use crate::telemetry::metrics;
use crate::telemetry::status::{Cache, Class, Download, Listing, Reading, Requests, Service, Status};

impl FileSystem {
    /// What `status.json` holds now.
    pub(super) fn status_text(&self) -> String {
        // Nothing in it can fail to be written as JSON.
        serde_json::to_string_pretty(&self.status()).unwrap_or_default() + "\n"
    }

    /// What `metrics` holds now.
    pub fn metrics(&self) -> String {
        metrics::text(self.status())
    }

    fn status(&self) -> Status {
        Status {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            // A clock that was set back says nothing.
            mounted_seconds: self.began.elapsed().unwrap_or_default().as_secs(),
            catalogue: self.listing_status(),
            reading: self.reading_status(),
            downloads: self.download_status(),
            cache: self.cache_status(),
            uploads: self.upload_status(),
            uploads_folder: self.uploads.as_ref().map(|uploads| uploads.folder().to_owned()),
            service: service_status(&self.service.vitals()),
            errors: self.failures.counts(),
        }
    }

    fn listing_status(&self) -> Listing {
        let health = self.catalogue.health();
        let seconds = |age: Option<Duration>| age.map(|age| age.as_secs());
        Listing {
            images: health.images as u64,
            stale: health.stale,
            listed_seconds_ago: seconds(health.listed),
            complete_seconds_ago: seconds(health.complete),
        }
    }

    fn reading_status(&self) -> Reading {
        let stats = self.reads.stats();
        Reading {
            open_files: stats.readers,
            ranged_requests: stats.ranges,
            streams: stats.streams,
            fetched_bytes: stats.fetched,
            disk_bytes: stats.from_disk,
            delivered_bytes: stats.delivered,
            memory_hits: stats.hits,
            memory_misses: stats.misses,
            memory_bytes: stats.memory,
        }
    }

    fn download_status(&self) -> Vec<Download> {
        let name = |image: ImageId| self.catalogue.known(image).and_then(|seen| seen.value.name.clone());
        let told = self.reads.downloads().into_iter().map(|read| Download {
            image: read.image.to_string(),
            name: name(read.image),
            size: read.size,
            reached: read.reached,
            readers: read.readers,
            to_pass: read.to_pass,
        });
        let mut downloads: Vec<Download> = told.collect();
        downloads.sort_by(|one, other| one.image.cmp(&other.image));
        downloads
    }

    fn cache_status(&self) -> Option<Cache> {
        let kept = self.reads.kept_on_disk()?;
        Some(Cache { folder: kept.folder, images: kept.usage.images, bytes: kept.usage.bytes, size: kept.size })
    }

    fn upload_status(&self) -> BTreeMap<String, u64> {
        let mut uploads = BTreeMap::new();
        for report in self.uploads.iter().flat_map(|uploads| uploads.list()) {
            *uploads.entry(report.state.word().to_owned()).or_default() += 1;
        }
        uploads
    }

    /// How old in seconds what is shown of images is, while the service cannot be asked.
    pub(super) fn staleness(&self) -> Option<String> {
        let health = self.catalogue.health();
        health.listed.filter(|_| health.stale).map(|age| age.as_secs().to_string())
    }
}

fn service_status(vitals: &Vitals) -> Service {
    Service {
        token_seconds_left: vitals.token_left.map(|left| left.as_secs()),
        requests: vitals.asked.iter().map(requests).collect(),
    }
}

fn requests(asked: &meter::Asked) -> Requests {
    let ends = CLASSES.iter().copied().map(Some).chain([None]);
    let classes = ends.zip(&asked.classes).map(|(at_most_ms, requests)| Class { at_most_ms, requests: *requests });
    Requests {
        purpose: asked.purpose.word().to_owned(),
        requests: asked.requests,
        failed: asked.failed,
        seconds: asked.time.as_secs_f64(),
        classes: classes.collect(),
    }
}
