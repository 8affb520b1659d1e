//! A [`Status`] in the text that monitoring reads (`OpenMetrics` 1.0, which Prometheus reads too).

use std::fmt;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::text;
use prometheus_client::encoding::{DescriptorEncoder, EncodeGaugeValue, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::{Registry, Unit};

use super::status::Status;

/// The media type of the text.
pub const MEDIA_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// All numbers of a status; each has its name, its unit and a sentence.
pub fn text(status: Status) -> String {
    let mut registry = Registry::with_prefix("glancefs");
    registry.register_collector(Box::new(Numbers(status)));
    let mut text = String::new();
    // Writing to a text cannot fail.
    let _ = text::encode(&mut text, &registry);
    text
}

#[derive(Debug)]
struct Numbers(Status);

impl Collector for Numbers {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let to = &mut encoder;
        self.mount(to)?;
        self.reading(to)?;
        self.cache(to)?;
        self.uploads(to)?;
        self.service(to)
    }
}

impl Numbers {
    fn mount(&self, to: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let (Self(status), seconds) = (self, Unit::Seconds);
        gauge(to, "mounted", "How long it is mounted", Some(&seconds), &status.mounted_seconds)?;
        gauge(to, "images", "Images in the listing", None, &status.catalogue.images)?;
        let stale = u64::from(status.catalogue.stale);
        gauge(
            to,
            "listing_stale",
            "Whether the service could not be asked for the listing the last time",
            None,
            &stale,
        )?;
        if let Some(age) = status.catalogue.listed_seconds_ago {
            gauge(to, "listing_age", "How old the listing is", Some(&seconds), &age)?;
        }
        let mut errors =
            to.encode_descriptor("errors", "Failures that programs were told of", None, MetricType::Counter)?;
        for (errno, count) in &status.errors {
            counter(errors.encode_family(&[("errno", errno.as_str())])?, *count)?;
        }
        Ok(())
    }

    fn reading(&self, to: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let (reading, bytes) = (&self.0.reading, Unit::Bytes);
        gauge(to, "open_files", "Open files of image data", None, &reading.open_files)?;
        gauge(to, "memory", "Memory that is held for image data", Some(&bytes), &reading.memory_bytes)?;
        for (name, help, unit, count) in [
            ("ranged_requests", "Requests for ranges of image data", None, reading.ranged_requests),
            ("streams", "Requests for whole images", None, reading.streams),
            ("fetched", "Image data that came from the service", Some(&bytes), reading.fetched_bytes),
            ("disk_read", "Image data that came from the cache on disk", Some(&bytes), reading.disk_bytes),
            ("delivered", "Image data that programs were given", Some(&bytes), reading.delivered_bytes),
            ("memory_hits", "Pieces of images that were in memory when a program asked", None, reading.memory_hits),
            ("memory_misses", "Pieces of images that a program had to wait for", None, reading.memory_misses),
        ] {
            counter(to.encode_descriptor(name, help, unit, MetricType::Counter)?, count)?;
        }
        Ok(())
    }

    fn cache(&self, to: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let Some(cache) = &self.0.cache else { return Ok(()) };
        gauge(to, "cache_images", "Images in the cache on disk, wholly or in parts", None, &cache.images)?;
        gauge(to, "cache", "What the cache on disk takes", Some(&Unit::Bytes), &cache.bytes)?;
        gauge(to, "cache_limit", "What the cache on disk may take", Some(&Unit::Bytes), &cache.size)
    }

    fn uploads(&self, to: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let mut uploads = to.encode_descriptor("uploads", "Uploads that are not done", None, MetricType::Gauge)?;
        for (state, count) in &self.0.uploads {
            uploads.encode_family(&[("state", state.as_str())])?.encode_gauge(count)?;
        }
        Ok(())
    }

    fn service(&self, to: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let service = &self.0.service;
        if let Some(left) = service.token_seconds_left {
            gauge(to, "token_left", "What is left of the life of the token", Some(&Unit::Seconds), &left)?;
        }
        let help = "Requests to the service with no answer, or one that is no success";
        let mut failed = to.encode_descriptor("failed_requests", help, None, MetricType::Counter)?;
        for asked in &service.requests {
            counter(failed.encode_family(&[("purpose", asked.purpose.as_str())])?, asked.failed)?;
        }
        let help = "The time of the service's answers to their first byte, of uploads to the end";
        let seconds = Unit::Seconds;
        let mut times = to.encode_descriptor("request_duration", help, Some(&seconds), MetricType::Histogram)?;
        for asked in &service.requests {
            #[expect(clippy::cast_precision_loss, reason = "the ends of classes are small")]
            let end = |millis: Option<u64>| millis.map_or(f64::INFINITY, |millis| millis as f64 / 1000.0);
            let classes: Vec<_> = asked.classes.iter().map(|class| (end(class.at_most_ms), class.requests)).collect();
            let labels = [("purpose", asked.purpose.as_str())];
            let mut row = times.encode_family(&labels)?;
            row.encode_histogram::<NoLabelSet>(asked.seconds, asked.requests, &classes, None)?;
        }
        Ok(())
    }
}

fn gauge(
    to: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    unit: Option<&Unit>,
    value: &impl EncodeGaugeValue,
) -> fmt::Result {
    to.encode_descriptor(name, help, unit, MetricType::Gauge)?.encode_gauge(value)
}

fn counter(mut to: MetricEncoder<'_>, count: u64) -> fmt::Result {
    to.encode_counter::<NoLabelSet, u64, u64>(&count, None)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::status::{Cache, Class, Reading, Requests, Service};

    fn status() -> Status {
        let class = |at_most_ms, requests| Class { at_most_ms, requests };
        let classes = vec![class(Some(1), 3), class(Some(20), 2), class(None, 1)];
        let list = Requests { purpose: "list".to_owned(), requests: 6, failed: 2, seconds: 1.5, classes };
        Status {
            reading: Reading { fetched_bytes: 7, ..Reading::default() },
            cache: Some(Cache { bytes: 5, ..Cache::default() }),
            uploads: [("sending".to_owned(), 4)].into(),
            errors: [("EIO".to_owned(), 3)].into(),
            service: Service { token_seconds_left: Some(60), requests: vec![list] },
            ..Status::default()
        }
    }

    #[test]
    fn every_number_has_its_line_its_type_and_its_sentence() {
        let text = text(status());
        for line in [
            "# TYPE glancefs_fetched_bytes counter",
            "glancefs_fetched_bytes_total 7",
            "glancefs_cache_bytes 5",
            "glancefs_uploads{state=\"sending\"} 4",
            "glancefs_errors_total{errno=\"EIO\"} 3",
            "glancefs_token_left_seconds 60",
            "glancefs_failed_requests_total{purpose=\"list\"} 2",
            "# UNIT glancefs_request_duration_seconds seconds",
            "glancefs_request_duration_seconds_sum{purpose=\"list\"} 1.5",
            "glancefs_request_duration_seconds_count{purpose=\"list\"} 6",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} in\n{text}");
        }
        assert_eq!(text.lines().last(), Some("# EOF"));
    }

    #[test]
    fn the_classes_of_times_are_counted_up_as_histograms_are() {
        let text = text(status());
        let buckets: Vec<&str> = text.lines().filter(|line| line.contains("_bucket")).collect();
        assert_eq!(
            buckets,
            [
                "glancefs_request_duration_seconds_bucket{le=\"0.001\",purpose=\"list\"} 3",
                "glancefs_request_duration_seconds_bucket{le=\"0.02\",purpose=\"list\"} 5",
                "glancefs_request_duration_seconds_bucket{le=\"+Inf\",purpose=\"list\"} 6",
            ]
        );
    }
}
