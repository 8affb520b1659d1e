//! The images of the Compute API (docs.openstack.org/api-ref/compute, "Images"), as Nova shows those of Glance: lists,
//! details, deletion and metadata. No microversion is asked for, because with the later ones the images are gone.
//!
//! The bytes of an image are not there. Where the same cloud has an Image service, they come from that.

mod edit;
mod fields;
mod filters;
mod images;
mod listing;
#[cfg(test)]
pub(crate) mod model;
mod plan;
mod rights;
mod rules;
mod sentences;

use std::ops::Range;
use std::sync::Arc;

use async_trait::async_trait;
use reqwest::Url;
use serde::Deserialize;
use serde_json::value::RawValue;

use self::images::Images;
use self::rights::Rights;
use super::auth::Login;
use super::document::{join, misunderstood, of_image, of_listing, read};
use super::glance::Glance;
use super::http::{Call, Http};
use super::meter::{Asked, Vitals};
use super::page::marker_gone;
use super::readable::{Readable, text};
use super::remarks::Remarks;
use super::retry::Patience;
use super::tls::{self, Purpose};
use super::turns::Turns;
use super::{
    ByteStream, Change, ImageService, Kind, ListQuery, Marker, NewImage, Offers, Outgoing, Page, Result, ServiceError,
    Source, not_offered,
};
use crate::config::{Backend, Cloud};
use crate::image::{Image, ImageId, Member, Usage};

/// Images a page: the most that Nova gives, unless its operator says otherwise (`max_limit`).
const PAGE: usize = 1000;

/// A Compute service.
pub struct Compute {
    http: Http,
    turns: Turns,
    remarks: Remarks,
    /// The address of the API with its version, and the project where it is written so: what paths are joined to.
    base: Url,
    /// The Image service of the same cloud.
    images: Images,
    /// Whose images are, and who sees them, as far as that was told.
    rights: Arc<Rights>,
    /// Whether properties are changed although that makes images private.
    visibility_may_change: bool,
    project: Option<String>,
    is_administrator: bool,
}

/// `GET /images/{id}`.
#[derive(Deserialize)]
struct Shown<'a> {
    #[serde(borrow)]
    image: &'a RawValue,
}

impl Compute {
    /// Logs in, finds the service, and lists one image, so that whatever is wrong shows now. `visibility_may_change`
    /// allows changes of properties that make a shared or community image private.
    pub async fn connect(cloud: Cloud, visibility_may_change: bool) -> Result<Self> {
        Self::connect_with(cloud, visibility_may_change, Patience::CALL).await
    }

    /// The same, repeating calls that fail as `patience` says.
    pub async fn connect_with(cloud: Cloud, visibility_may_change: bool, patience: Patience) -> Result<Self> {
        let cloud = Cloud { backend: Backend::Compute, ..cloud };
        let api = tls::client(&cloud.tls, Purpose::Api)?;
        let login = Login::new(cloud)?;
        let base = login.compute_endpoint().await?;
        let token = login.token().await?;
        let (project, is_administrator) = (token.project_id().map(str::to_owned), token.holder().is_administrator());
        let http = Http::new(api, login.clone(), patience);
        sentences::try_list(&http, &base).await?;
        let remarks = Remarks::default();
        let images = image_service(login, &base, &remarks, patience).await;
        let (turns, rights) = (Turns::default(), Arc::new(Rights::new(!visibility_may_change)));
        Ok(Self { http, turns, remarks, base, images, rights, visibility_may_change, project, is_administrator })
    }

    /// The address of the API.
    pub fn address(&self) -> &str {
        self.base.as_str()
    }

    /// The Image service of the same cloud, looked for now where it did not answer before.
    ///
    /// # Errors
    /// [`Kind::Configuration`] and [`Kind::NotOffered`] where there is none; else why it does not answer.
    pub async fn image_service(&self) -> Result<&Glance> {
        self.images.get().await
    }

    fn url(&self, segments: &[&str]) -> Result<Url> {
        join(&self.base, segments)
    }

    /// One image by its id, of which these fields have to be known.
    async fn show_with(&self, image: ImageId, needed: &[&str]) -> Result<Image> {
        let action = format!("show image {image}");
        let call = Call::get(&action, self.url(&["images", image.as_str()])?);
        let told = read(&self.http, &call, |body| {
            let body = text(body);
            let shown: Shown<'_> = serde_json::from_str(&body)?;
            Readable::of(shown.image.get())
        });
        let Readable { fields, unread } = told.await.map_err(|error| of_image(error, image))?;
        unread.refuse(needed, &action)?;
        let shown = fields::image(fields).filter(|shown| shown.id == image);
        let mut shown = shown.ok_or_else(|| {
            ServiceError::new(Kind::Malformed, action).with_words("the service answered with another image")
        })?;
        self.remarks.say(unread.said(image));
        self.rights.complete(&mut shown);
        Ok(shown)
    }

    /// An image with what the Image service tells of whose it is and who sees it.
    fn completed(&self, told: &Image, mut image: Image) -> Image {
        self.rights.learn(told);
        self.rights.complete(&mut image);
        image
    }

    /// The Image service, where bytes are wanted.
    async fn data(&self, image: ImageId) -> Result<&Glance> {
        if let Some(absence) = self.images.absence() {
            let why = absence.words.as_deref().unwrap_or("there is none").trim_end_matches('.');
            let words =
                format!("the Compute service gives no data, and no Image service of the cloud is to be had: {why}");
            return Err(ServiceError::new(Kind::NotOffered, reading(image)).with_words(words));
        }
        let action = || format!("reach the Image service, which gives the data of image {image}");
        self.images.get().await.map_err(|error| ServiceError { action: action(), ..error })
    }
}

fn reading(image: ImageId) -> String {
    format!("read the data of image {image}")
}

/// The Image service of the cloud. A login without a catalog has one address, which is that of the Compute service then.
async fn image_service(login: Login, base: &Url, remarks: &Remarks, patience: Patience) -> Images {
    if login.cloud().image_endpoint.as_ref() == Some(base) {
        let words = "no other address is known than that of the Compute service";
        let absence = ServiceError::new(Kind::Configuration, "find the Image service").with_words(words);
        return Images::none(login, patience, absence);
    }
    Images::look(login, remarks.clone(), patience).await
}

#[async_trait]
impl ImageService for Compute {
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
        let of_images = self.images.found().into_iter().flat_map(Glance::asked);
        Vitals {
            asked: Asked::together(self.http.asked().chain(of_images)),
            token_left: self.http.login().token_left(),
        }
    }

    fn offers(&self) -> Offers {
        let data = self.images.absence().is_none();
        Offers::compute(data, data || self.visibility_may_change)
    }

    async fn list(&self, query: &ListQuery, marker: Option<&Marker>) -> Result<Page> {
        let mut url = self.url(&["images", "detail"])?;
        {
            // It knows one order only: the newest first.
            let mut pairs = url.query_pairs_mut();
            pairs.append_pair("limit", &query.enough.map_or(PAGE, |enough| enough.clamp(1, PAGE)).to_string());
            pairs.extend_pairs(filters::translated(&query.filters));
            if let Some(Marker(marker)) = marker {
                pairs.append_pair("marker", marker);
            }
        }
        let call = Call::get("list images", url);
        let body = self.http.document(&call).await;
        let body = body.map_err(|error| sentences::of_one_image(of_listing(marker_gone(error, marker))))?;
        let likely_next = listing::likely_next(&body);
        let rights = Arc::clone(&self.rights);
        let read = move || {
            let mut contents = listing::read(&body).map_err(|error| misunderstood(&call.action, &error))?;
            contents.images.iter_mut().filter_map(Arc::get_mut).for_each(|image| rights.complete(image));
            Ok(contents)
        };
        Ok(Page::unread(read, likely_next))
    }

    async fn show(&self, image: ImageId) -> Result<Image> {
        self.show_with(image, &[]).await
    }

    async fn with_data(&self, image: Image) -> Result<Image> {
        let told = self.data(image.id).await?.show(image.id).await?;
        if image.status.has_data() && !told.status.has_data() {
            // The Compute API has one word for what has data that are not to be read and for what is about to get some.
            let words = format!("the Image service says that it is {}, and it has no data then", told.status);
            return Err(ServiceError::new(Kind::Conflict, reading(image.id)).with_words(words));
        }
        let image = self.completed(&told, image);
        Ok(Image {
            status: told.status,
            size: told.size,
            virtual_size: told.virtual_size,
            disk_format: told.disk_format,
            container_format: told.container_format,
            checksums: told.checksums,
            stores: told.stores,
            ..image
        })
    }

    async fn with_rights(&self, image: Image) -> Result<Image> {
        if self.images.absence().is_some() {
            return Ok(image);
        }
        let told = self.images.get().await?.show(image.id).await?;
        Ok(self.completed(&told, image))
    }

    async fn members(&self, image: ImageId) -> Result<Vec<Member>> {
        not_offered(format!("list the members of image {image}"))
    }

    async fn read_range(&self, source: &Source, range: Range<u64>) -> Result<ByteStream> {
        self.data(source.image).await?.read_range(source, range).await
    }

    async fn read_all(&self, source: &Source) -> Result<ByteStream> {
        self.data(source.image).await?.read_all(source).await
    }

    async fn usage(&self) -> Result<Option<Usage>> {
        match self.images.absence() {
            None => self.images.get().await?.usage().await,
            Some(_) => Ok(None),
        }
    }

    async fn create(&self, image: &NewImage) -> Result<Image> {
        not_offered(format!("create image {}", image.id))
    }

    async fn delete(&self, image: ImageId) -> Result<()> {
        edit::delete(self, image).await
    }

    async fn update(&self, image: ImageId, changes: &[Change]) -> Result<Image> {
        edit::update(self, image, changes).await
    }

    async fn upload(&self, outgoing: Outgoing) -> Result<()> {
        not_offered(format!("upload the data of image {}", outgoing.image))
    }
}
