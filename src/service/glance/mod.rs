//! The Image API, version 2 (docs.openstack.org/api-ref/image/v2), as Glance serves it.

mod act;
mod address;
mod download;
mod edit;
mod fields;
mod import;
mod listing;
mod members;
mod tags;
mod upload;
mod wire;

use std::ops::Range;
use std::sync::Arc;

use async_trait::async_trait;
use futures_util::StreamExt;
use reqwest::Url;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::sync::OnceCell;

use self::download::{Download, Mode};
use super::auth::Login;
use super::document::{document, join, misunderstood, of_image, of_listing, understood};
use super::http::{Call, Http};
use super::meter::{Asked, Vitals};
use super::page::marker_gone;
use super::remarks::Remarks;
use super::retry::Patience;
use super::tls::{self, Purpose};
use super::turns::Turns;
use super::{
    Action, ByteStream, Change, Direction, ImageService, Kind, ListQuery, Marker, NewImage, Outgoing, Page, Result,
    ServiceError, Source,
};
use crate::config::Cloud;
use crate::image::{Image, ImageId, Member, MemberStatus, Task, Usage};
use crate::schema::Schema;

/// Images a page: the most that Glance gives (`api_limit_max`).
const PAGE: usize = 1000;

/// An Image service of the second generation.
pub struct Glance {
    /// For documents.
    http: Arc<Http>,
    /// For image data, over HTTP/1.1: one connection a range, so that none waits behind another.
    data: Arc<Http>,
    /// For image data on its way there.
    uploads: Http,
    turns: Turns,
    remarks: Remarks,
    /// What the service says of an image's attributes, which changes with its release and its settings alone.
    schema: OnceCell<Arc<Schema>>,
    /// The address of the API with its version: what paths are joined to.
    base: Url,
    version: Option<String>,
    project: Option<String>,
    is_administrator: bool,
}

impl Glance {
    /// Logs in, finds the service and its version, and lists one image, so that whatever is wrong shows now.
    pub async fn connect(cloud: Cloud) -> Result<Self> {
        Self::connect_with(cloud, Patience::CALL).await
    }

    /// The same, repeating calls that fail as `patience` says.
    pub async fn connect_with(cloud: Cloud, patience: Patience) -> Result<Self> {
        Self::of_login(Login::new(cloud)?, Remarks::default(), patience, patience).await
    }

    /// The same with a login and remarks that others share; what shows that all is well is repeated as `at_first` says.
    pub(super) async fn of_login(
        login: Login,
        remarks: Remarks,
        patience: Patience,
        at_first: Patience,
    ) -> Result<Self> {
        let client = |purpose| tls::client(&login.cloud().tls, purpose);
        let (api, data, uploads) = (client(Purpose::Api)?, client(Purpose::Data)?, client(Purpose::Upload)?);
        let endpoint = login.image_endpoint().await?;
        let token = login.token().await?;
        let (project, is_administrator) = (token.project_id().map(str::to_owned), token.holder().is_administrator());
        let first = Http::new(api.clone(), login.clone(), at_first);
        let (base, version) = discover(&first, &endpoint).await?;
        try_list(&first, &base).await?;
        let http = Http::new(api, login.clone(), patience);
        let data = Arc::new(Http::new(data, login.clone(), patience).with_again(client(Purpose::DataAgain)?));
        let uploads = Http::new(uploads, login.clone(), patience);
        let (turns, schema) = (Turns::default(), OnceCell::new());
        let http = Arc::new(http);
        Ok(Self { http, data, uploads, turns, remarks, schema, base, version, project, is_administrator })
    }

    /// What was asked of it so far.
    pub(super) fn asked(&self) -> impl Iterator<Item = Asked> {
        self.http.asked().chain(self.data.asked()).chain(self.uploads.asked())
    }

    /// The address of the API, with its version.
    pub fn address(&self) -> &str {
        self.base.as_str()
    }

    /// The version of the API (`v2.17`), where the service tells.
    pub fn version(&self) -> Option<&str> {
        self.version.as_deref()
    }

    fn url(&self, segments: &[&str]) -> Result<Url> {
        join(&self.base, segments)
    }

    async fn get<T: DeserializeOwned>(&self, action: impl Into<String>, url: Url) -> Result<T> {
        document(&self.http, &Call::get(action, url)).await
    }

    /// One image by its id, of which these fields have to be known.
    pub(super) async fn show_with(&self, image: ImageId, needed: &[&str]) -> Result<Image> {
        let action = format!("show image {image}");
        let told = edit::look(self, image, &action).await.map_err(|error| of_image(error, image))?;
        told.unread.refuse(needed, &action)?;
        edit::shown(self, &told, image, &action)
    }

    async fn ask_for_schema(&self) -> Result<Arc<Schema>> {
        let url = self.url(&["schemas", "image"])?;
        let described = match self.get::<Value>("ask for the schema of images", url).await {
            Ok(document) => Schema::of(&document),
            Err(error) if is_silent(&error.kind) => None,
            Err(error) => return Err(error),
        };
        Ok(Arc::new(described.unwrap_or_else(Schema::builtin)))
    }

    async fn download(&self, source: &Source, range: Range<u64>, mode: Mode) -> Result<ByteStream> {
        let id = source.image;
        let mut url = self.url(&["images", id.as_str(), "file"])?;
        if let Some(store) = &source.store {
            url.query_pairs_mut().append_pair("prefer", store);
        }
        let call = Call::get(format!("read the data of image {id}"), url);
        let download = Download::begin(Arc::clone(&self.data), call, source.size, range, mode).await?;
        Ok(download.into_stream().boxed())
    }
}

/// Lists one image.
async fn try_list(http: &Http, base: &Url) -> Result<()> {
    let mut url = join(base, &["images"])?;
    url.query_pairs_mut().append_pair("limit", "1");
    document::<wire::AnyListing>(http, &Call::get("list images", url)).await.map(drop).map_err(|mut error| {
        if error.kind == Kind::NotFound {
            error.kind = Kind::NotOffered;
            error.words = Some(format!("there is no Image service (API v2) at {base}"));
        }
        error
    })
}

/// The address of the second generation of the API below `endpoint`, and the version, where the service tells one.
///
/// An endpoint is written with or without the version. A service that does not list its versions, as behind some
/// proxies, is taken to be at `/v2`. The addresses that it lists are not used: behind a proxy they often name hosts that
/// nobody reaches, and a token must not go there.
async fn discover(http: &Http, endpoint: &Url) -> Result<(Url, Option<String>)> {
    let mut root = endpoint.clone();
    let last =
        root.path_segments().and_then(|segments| segments.rev().find(|segment| !segment.is_empty()).map(str::to_owned));
    if last.is_some_and(|segment| is_version(&segment))
        && let Ok(mut path) = root.path_segments_mut()
    {
        path.pop_if_empty().pop();
    }
    let base = join(&root, &["v2"])?;
    let versions =
        document::<wire::Versions>(http, &Call::get("ask for the versions", join(&root, &["versions"])?)).await;
    match versions {
        Ok(versions) => match versions.best() {
            Some(version) => Ok((base, Some(version.to_owned()))),
            None => Err(ServiceError::new(Kind::NotOffered, "use the Image service")
                .with_words(format!("the service at {root} does not speak version 2 of the Image API"))),
        },
        Err(error) if is_silent(&error.kind) => Ok((base, None)),
        Err(error) => Err(error),
    }
}

fn is_version(segment: &str) -> bool {
    segment.strip_prefix('v').is_some_and(|rest| rest.starts_with(|first: char| first.is_ascii_digit()))
}

/// Failures of a question about the service itself that leave the chance that the rest of it works all the same.
fn is_silent(kind: &Kind) -> bool {
    matches!(
        kind,
        Kind::NotFound | Kind::Forbidden | Kind::Unauthorized | Kind::NotOffered | Kind::Malformed | Kind::Invalid
    )
}

#[async_trait]
impl ImageService for Glance {
    fn project(&self) -> Option<&str> {
        self.project.as_deref()
    }

    fn is_administrator(&self) -> bool {
        self.is_administrator
    }

    fn remarks(&self) -> Remarks {
        self.remarks.clone()
    }

    fn vitals(&self) -> Vitals {
        Vitals { asked: Asked::together(self.asked()), token_left: self.http.login().token_left() }
    }

    async fn list(&self, query: &ListQuery, marker: Option<&Marker>) -> Result<Page> {
        let mut url = self.url(&["images"])?;
        {
            let mut pairs = url.query_pairs_mut();
            pairs.append_pair("limit", &query.enough.map_or(PAGE, |enough| enough.clamp(1, PAGE)).to_string());
            pairs.extend_pairs(&query.filters);
            if !query.sort.is_empty() {
                pairs.append_pair("sort", &sort_words(&query.sort));
            }
            if let Some(Marker(marker)) = marker {
                pairs.append_pair("marker", marker);
            }
        }
        let call = Call::get("list images", url);
        let body = self.http.document(&call).await.map_err(|error| of_listing(marker_gone(error, marker)))?;
        let likely_next = listing::likely_next(&body);
        let read = move || listing::read(&body).map_err(|error| misunderstood(&call.action, &error));
        Ok(Page::unread(read, likely_next))
    }

    async fn show(&self, image: ImageId) -> Result<Image> {
        self.show_with(image, &[]).await
    }

    async fn members(&self, image: ImageId) -> Result<Vec<Member>> {
        members::list(self, image).await
    }

    async fn read_range(&self, source: &Source, range: Range<u64>) -> Result<ByteStream> {
        self.download(source, range, Mode::Ranged).await
    }

    async fn read_all(&self, source: &Source) -> Result<ByteStream> {
        self.download(source, 0..source.size, Mode::Whole).await
    }

    async fn usage(&self) -> Result<Option<Usage>> {
        let outcome = self.get::<wire::UsageAnswer>("ask for the quota", self.url(&["info", "usage"])?).await;
        match outcome {
            Ok(answer) => Ok(answer.into_usage()),
            Err(error) if matches!(error.kind, Kind::NotFound | Kind::NotOffered | Kind::Malformed) => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn create(&self, image: &NewImage) -> Result<Image> {
        edit::create(self, image).await
    }

    async fn delete(&self, image: ImageId) -> Result<()> {
        edit::delete(self, image).await
    }

    async fn update(&self, image: ImageId, changes: &[Change]) -> Result<Image> {
        edit::update(self, image, changes).await
    }

    async fn upload(&self, outgoing: Outgoing) -> Result<()> {
        let url = self.url(&["images", outgoing.image.as_str(), "file"])?;
        let action = format!("upload the data of image {}", outgoing.image);
        let _uploading = self.turns.upload(outgoing.image).await;
        upload::send(&self.uploads, &action, &url, outgoing).await
    }

    async fn act(&self, image: ImageId, action: Action) -> Result<()> {
        act::act(self, image, action).await
    }

    async fn add_tag(&self, image: ImageId, tag: &str) -> Result<()> {
        tags::add(self, image, tag).await
    }

    async fn remove_tag(&self, image: ImageId, tag: &str) -> Result<()> {
        tags::remove(self, image, tag).await
    }

    async fn add_member(&self, image: ImageId, project: &str) -> Result<Member> {
        members::add(self, image, project).await
    }

    async fn remove_member(&self, image: ImageId, project: &str) -> Result<()> {
        members::remove(self, image, project).await
    }

    async fn set_member(&self, image: ImageId, project: &str, status: &MemberStatus) -> Result<Member> {
        members::set(self, image, project, status).await
    }

    async fn import(&self, image: ImageId, url: &str) -> Result<()> {
        import::begin(self, image, url).await
    }

    async fn tasks(&self, image: ImageId) -> Result<Vec<Task>> {
        import::tasks(self, image).await
    }

    async fn schema(&self) -> Result<Arc<Schema>> {
        self.schema.get_or_try_init(|| self.ask_for_schema()).await.cloned()
    }
}

fn sort_words(sort: &[(String, Direction)]) -> String {
    let word = |(key, direction): &(String, Direction)| match direction {
        Direction::Ascending => format!("{key}:asc"),
        Direction::Descending => format!("{key}:desc"),
    };
    sort.iter().map(word).collect::<Vec<_>>().join(",")
}
