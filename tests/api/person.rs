//! Somebody who is logged in, and what they ask the Image service.

use std::time::Duration;

use serde_json::Value;

use crate::wire::{Answer, Request};

/// A token and where it is good for.
#[derive(Clone)]
pub(crate) struct Person {
    pub(crate) token: String,
    /// The id of the project that the token is scoped to.
    pub(crate) project: String,
    /// The origin of the Image service, from the catalogue.
    pub(crate) glance: String,
    /// The URL of the Compute API, from the catalogue, where that has one.
    pub(crate) compute: Option<String>,
}

impl Person {
    pub(crate) fn new(token: &str, body: &Value) -> Self {
        let services = body["catalog"].as_array().unwrap();
        let public = |kind: &str| {
            let service = services.iter().find(|service| service["type"] == kind)?;
            let endpoints = service["endpoints"].as_array().unwrap();
            let public = endpoints.iter().find(|endpoint| endpoint["interface"] == "public").unwrap();
            Some(public["url"].as_str().unwrap().trim_end_matches('/').to_owned())
        };
        Self {
            token: token.to_owned(),
            project: body["project"]["id"].as_str().unwrap().to_owned(),
            glance: public("image").unwrap(),
            compute: public("compute"),
        }
    }

    /// The origin of the Compute API, and the path of its version.
    pub(crate) fn compute_place(&self) -> (&str, &str) {
        let url = self.compute.as_deref().unwrap();
        let path = url.match_indices('/').nth(2).unwrap().0;
        url.split_at(path)
    }

    /// A request to the Compute API with the token; the path begins behind the version.
    pub(crate) fn nova(&self, method: &'static str, path: &str) -> Request {
        let (origin, version) = self.compute_place();
        Request::new(origin, method, &format!("{version}{path}"))
            .header("Accept", "application/json")
            .header("X-Auth-Token", &self.token)
    }

    /// What the Compute API shows.
    pub(crate) async fn ask(&self, path: &str) -> Answer {
        self.nova("GET", path).send().await
    }

    /// A request with the token that asks for JSON.
    pub(crate) fn request(&self, method: &'static str, path: &str) -> Request {
        Request::new(&self.glance, method, path)
            .header("Accept", "application/json")
            .header("X-Auth-Token", &self.token)
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.request("GET", path).send().await
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> Answer {
        self.request("POST", path).json(body).send().await
    }

    pub(crate) async fn delete(&self, id: &str) -> Answer {
        self.request("DELETE", &format!("/v2/images/{id}")).send().await
    }

    pub(crate) async fn show(&self, id: &str) -> Value {
        self.get(&format!("/v2/images/{id}")).await.is(200).json()
    }

    /// A PUT of an image's bytes, for more headers.
    pub(crate) fn put_file(&self, id: &str) -> Request {
        self.request("PUT", &format!("/v2/images/{id}/file")).header("Content-Type", "application/octet-stream")
    }

    pub(crate) async fn upload(&self, id: &str, data: &[u8]) -> Answer {
        self.put_file(id).body(data).send().await
    }

    /// A PUT of bytes for an import, for more headers.
    pub(crate) fn put_stage(&self, id: &str) -> Request {
        self.request("PUT", &format!("/v2/images/{id}/stage")).header("Content-Type", "application/octet-stream")
    }

    pub(crate) async fn stage(&self, id: &str, data: &[u8]) -> Answer {
        self.put_stage(id).body(data).send().await
    }

    pub(crate) async fn import(&self, id: &str, body: &Value) -> Answer {
        self.post(&format!("/v2/images/{id}/import"), body).await
    }

    /// The tasks of an image.
    pub(crate) async fn tasks(&self, id: &str) -> Vec<Value> {
        let body = self.get(&format!("/v2/images/{id}/tasks")).await.is(200).json();
        body["tasks"].as_array().unwrap().clone()
    }

    /// The image when it has this status, asked for as long as a busy machine may need.
    pub(crate) async fn until(&self, id: &str, status: &str) -> Value {
        self.asked(id, async |image| image["status"] == status).await
    }

    /// The image when no import works on it any more.
    pub(crate) async fn settled(&self, id: &str) -> Value {
        self.asked(id, async |image| {
            let tasks = self.tasks(id).await;
            let over = |task: &Value| task["status"] == "success" || task["status"] == "failure";
            image.get("os_glance_import_task").is_none() && tasks.iter().all(over)
        })
        .await
    }

    async fn asked(&self, id: &str, is_it: impl AsyncFn(&Value) -> bool) -> Value {
        for _ in 0..600 {
            let image = self.show(id).await;
            if is_it(&image).await {
                return image;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("{id} does not become what it should: {}", self.show(id).await);
    }

    /// A GET of an image's bytes, for more headers.
    pub(crate) fn get_file(&self, id: &str) -> Request {
        self.request("GET", &format!("/v2/images/{id}/file"))
    }

    /// A GET of a part of an image's bytes.
    pub(crate) async fn range(&self, id: &str, range: &str) -> Answer {
        self.get_file(id).header("Range", range).send().await
    }

    /// A POST without a body to `/actions/deactivate` or `reactivate`.
    pub(crate) async fn act(&self, id: &str, action: &str) -> Answer {
        self.request("POST", &format!("/v2/images/{id}/actions/{action}")).send().await
    }

    /// The images that a listing with this query shows.
    pub(crate) async fn list(&self, query: &str) -> Vec<Value> {
        let page = self.get(&format!("/v2/images?{query}")).await.is(200).json();
        page["images"].as_array().unwrap().clone()
    }

    /// The names of the images that a listing with this query shows, in its order.
    pub(crate) async fn names(&self, query: &str) -> Vec<String> {
        self.list(query).await.iter().map(|image| image["name"].as_str().unwrap_or("-").to_owned()).collect()
    }

    /// The ids of the stores that the service names, in its order.
    pub(crate) async fn stores(&self) -> Vec<String> {
        let stores = self.get("/v2/info/stores").await.is(200).json()["stores"].clone();
        stores.as_array().unwrap().iter().map(|store| store["id"].as_str().unwrap().to_owned()).collect()
    }
}
