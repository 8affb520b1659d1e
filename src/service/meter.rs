//! What is asked of a service, how often, and how long its answers take.

use std::time::Duration;

use reqwest::{Method, Url};

use crate::sync::atomic::{AtomicU64, Ordering};

/// What a request is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// A page of a listing.
    List,
    /// One image.
    Show,
    /// Bytes of an image.
    Data,
    /// To make an image.
    Create,
    /// To send an image's bytes.
    Upload,
    /// To change attributes or properties.
    Update,
    /// To delete an image.
    Delete,
    /// To deactivate or reactivate an image.
    Act,
    /// Members.
    Members,
    /// Tags.
    Tags,
    /// An import, or the tasks of one.
    Import,
    /// What the service is and offers: versions, schemas, limits, usage.
    Discovery,
}

impl Purpose {
    /// All of them, in their order.
    pub const ALL: [Self; 12] = [
        Self::List,
        Self::Show,
        Self::Data,
        Self::Create,
        Self::Upload,
        Self::Update,
        Self::Delete,
        Self::Act,
        Self::Members,
        Self::Tags,
        Self::Import,
        Self::Discovery,
    ];

    /// Its word.
    pub fn word(self) -> &'static str {
        match self {
            Self::List => "list",
            Self::Show => "show",
            Self::Data => "data",
            Self::Create => "create",
            Self::Upload => "upload",
            Self::Update => "update",
            Self::Delete => "delete",
            Self::Act => "act",
            Self::Members => "members",
            Self::Tags => "tags",
            Self::Import => "import",
            Self::Discovery => "discovery",
        }
    }

    /// That of a request, by the paths of both APIs (docs.openstack.org/api-ref/image/v2 and /compute).
    fn of(method: &Method, url: &Url) -> Self {
        let segments: Vec<&str> = url.path_segments().into_iter().flatten().filter(|part| !part.is_empty()).collect();
        let Some(at) = segments.iter().rposition(|part| *part == "images") else { return Self::Discovery };
        let mut below = segments.into_iter().skip(at + 1);
        match (below.next(), below.next()) {
            // The Compute API's listing with details.
            (None | Some("detail"), _) => {
                if *method == Method::POST {
                    Self::Create
                } else {
                    Self::List
                }
            }
            (Some(_), None) => match *method {
                Method::GET => Self::Show,
                Method::DELETE => Self::Delete,
                _ => Self::Update,
            },
            (Some(_), Some("file")) => {
                if *method == Method::PUT {
                    Self::Upload
                } else {
                    Self::Data
                }
            }
            (Some(_), Some("actions")) => Self::Act,
            (Some(_), Some("members")) => Self::Members,
            (Some(_), Some("tags")) => Self::Tags,
            (Some(_), Some("import" | "stage" | "tasks")) => Self::Import,
            (Some(_), Some("metadata")) => {
                if *method == Method::GET {
                    Self::Show
                } else {
                    Self::Update
                }
            }
            _ => Self::Discovery,
        }
    }
}

/// Upper ends of the classes that times are counted in, in milliseconds; what takes longer is in one more class.
pub const CLASSES: [u64; 14] = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000, 60_000];

/// What was asked for one purpose since the mount began.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    /// What for.
    pub purpose: Purpose,
    /// Requests that were answered, or that it was given up to wait for.
    pub requests: u64,
    /// How many of them had no answer, or one that is no success.
    pub failed: u64,
    /// The time to the head of the answer (of an upload, to its end), all together.
    pub time: Duration,
    /// How many took as long as each of [`CLASSES`] says at most and longer than the one before; the last, how many took
    /// longer than all.
    pub classes: Vec<u64>,
}

/// How it goes with a service.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Vitals {
    /// What was asked of it, each purpose once.
    pub asked: Vec<Asked>,
    /// What is left of the life of the token; `None` where it needs none, or its end is not known.
    pub token_left: Option<Duration>,
}

/// Counts requests. Cheap enough for each of them.
#[derive(Debug, Default)]
pub(super) struct Meter(Box<[Row; Purpose::ALL.len()]>);

#[derive(Debug, Default)]
struct Row {
    failed: AtomicU64,
    micros: AtomicU64,
    classes: [AtomicU64; CLASSES.len() + 1],
}

impl Meter {
    /// Counts a request that took so long.
    pub(super) fn count(&self, method: &Method, url: &Url, took: Duration, succeeded: bool) {
        let purpose = Purpose::of(method, url);
        let Some(row) = self.0.get(purpose as usize) else { return };
        let class = CLASSES.partition_point(|end| Duration::from_millis(*end) < took);
        if let Some(class) = row.classes.get(class) {
            class.fetch_add(1, Ordering::Relaxed);
        }
        row.micros.fetch_add(u64::try_from(took.as_micros()).unwrap_or(u64::MAX), Ordering::Relaxed);
        row.failed.fetch_add(u64::from(!succeeded), Ordering::Relaxed);
    }

    /// What was asked so far, without what never was.
    pub(super) fn asked(&self) -> impl Iterator<Item = Asked> {
        let told = Purpose::ALL.iter().zip(self.0.iter()).map(|(purpose, row)| {
            let classes: Vec<u64> = row.classes.iter().map(|class| class.load(Ordering::Relaxed)).collect();
            Asked {
                purpose: *purpose,
                requests: classes.iter().sum(),
                failed: row.failed.load(Ordering::Relaxed),
                time: Duration::from_micros(row.micros.load(Ordering::Relaxed)),
                classes,
            }
        });
        told.filter(|asked| asked.requests > 0)
    }
}

impl Asked {
    /// Of many, each purpose once.
    pub(super) fn together(all: impl IntoIterator<Item = Self>) -> Vec<Self> {
        let mut sums: Vec<Self> = Vec::new();
        for asked in all {
            let Some(sum) = sums.iter_mut().find(|sum| sum.purpose == asked.purpose) else {
                sums.push(asked);
                continue;
            };
            sum.requests += asked.requests;
            sum.failed += asked.failed;
            sum.time += asked.time;
            sum.classes.iter_mut().zip(&asked.classes).for_each(|(sum, more)| *sum += more);
        }
        sums.sort_by_key(|sum| sum.purpose as usize);
        sums
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(path: &str) -> Url {
        format!("http://h/image{path}").parse().unwrap()
    }

    #[test]
    fn each_request_of_both_apis_has_its_purpose() {
        let id = "0a0b0c0d-0000-4000-8000-000000000001";
        for (method, path, purpose) in [
            (Method::GET, "/v2/images?limit=1000", Purpose::List),
            (Method::GET, "/v2.1/images/detail?limit=1", Purpose::List),
            (Method::POST, "/v2/images", Purpose::Create),
            (Method::GET, "/v2/images/ID", Purpose::Show),
            (Method::PATCH, "/v2/images/ID", Purpose::Update),
            (Method::DELETE, "/v2/images/ID", Purpose::Delete),
            (Method::GET, "/v2/images/ID/file", Purpose::Data),
            (Method::PUT, "/v2/images/ID/file", Purpose::Upload),
            (Method::POST, "/v2/images/ID/actions/deactivate", Purpose::Act),
            (Method::GET, "/v2/images/ID/members", Purpose::Members),
            (Method::PUT, "/v2/images/ID/members/x", Purpose::Members),
            (Method::DELETE, "/v2/images/ID/tags/file", Purpose::Tags),
            (Method::POST, "/v2/images/ID/import", Purpose::Import),
            (Method::GET, "/v2/images/ID/tasks", Purpose::Import),
            (Method::PUT, "/v2.1/images/ID/metadata/file", Purpose::Update),
            (Method::GET, "/v2.1/images/ID/metadata", Purpose::Show),
            (Method::GET, "/v2/schemas/image", Purpose::Discovery),
            (Method::GET, "/versions", Purpose::Discovery),
            (Method::GET, "/v2/info/usage", Purpose::Discovery),
        ] {
            assert_eq!(Purpose::of(&method, &url(&path.replace("ID", id))), purpose, "{method} {path}");
        }
    }

    #[test]
    fn a_request_is_counted_in_the_class_of_its_time() {
        let meter = Meter::default();
        let count = |millis, succeeded| {
            meter.count(&Method::GET, &url("/v2/images"), Duration::from_millis(millis), succeeded);
        };
        for (millis, succeeded) in [(0, true), (1, true), (2, false), (60_000, true), (60_001, false)] {
            count(millis, succeeded);
        }
        let asked: Vec<Asked> = meter.asked().collect();
        let [list] = asked.as_slice() else { panic!("{asked:?}") };
        assert_eq!((list.purpose, list.requests, list.failed), (Purpose::List, 5, 2));
        assert_eq!(list.time, Duration::from_millis(120_004));
        assert_eq!(list.classes, [2, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1]);
    }

    #[test]
    fn purposes_of_several_connections_are_told_once() {
        let (one, other) = (Meter::default(), Meter::default());
        let took = Duration::from_millis(3);
        one.count(&Method::GET, &url("/v2/images/x"), took, true);
        one.count(&Method::GET, &url("/v2/images"), took, true);
        other.count(&Method::GET, &url("/v2/images/x"), took, false);
        let together = Asked::together(one.asked().chain(other.asked()));
        let told: Vec<_> = together.iter().map(|asked| (asked.purpose, asked.requests, asked.failed)).collect();
        assert_eq!(told, [(Purpose::List, 1, 0), (Purpose::Show, 2, 1)]);
        assert_eq!((together[1].time, together[1].classes[2]), (took * 2, 2));
    }
}
