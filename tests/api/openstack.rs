//! The very requests that the `openstack` command sends (python-openstackclient 10.5.0, openstacksdk 4.22.0), one
//! contract a command. The command first shows the image, which is left out.

use serde_json::{Value, json};

use crate::person::Person;
use crate::target::Target;
use crate::wire::Answer;

crate::contracts![
    image_set,
    image_unset,
    image_add_and_remove_project,
    image_set_accept_and_reject,
    image_list_shared,
    image_set_deactivate_and_activate,
    image_stage_and_import,
    image_import_from_the_web,
    image_task_list_and_show,
];

/// The command's PATCH and its uploads accept nothing in particular.
async fn patch(person: &Person, id: &str, changes: Value) -> Answer {
    let request = person.request("PATCH", &format!("/v2/images/{id}")).json(&changes).header("Accept", "");
    request.header("Content-Type", "application/openstack-images-v2.1-json-patch").send().await
}

/// `openstack image set --property q=2 --tag 'a b' --name x --min-disk 3 --protected --hidden ID`
async fn image_set(target: &Target) {
    let demo = target.person("demo").await;
    let id = target.empty(&demo).await;
    let changes = json!([
        {"op": "add", "path": "/name", "value": "x"},
        {"op": "add", "path": "/q", "value": "2"},
        {"op": "add", "path": "/tags", "value": ["a b"]},
        {"op": "add", "path": "/min_disk", "value": 3},
        {"op": "add", "path": "/protected", "value": true},
        {"op": "add", "path": "/os_hidden", "value": true},
    ]);
    let image = patch(&demo, &id, changes).await.is(200).json();
    let shown = (&image["name"], &image["q"], &image["tags"], &image["min_disk"]);
    assert_eq!(shown, (&json!("x"), &json!("2"), &json!(["a b"]), &json!(3)));
    assert_eq!((&image["protected"], &image["os_hidden"]), (&json!(true), &json!(true)));
}

/// `openstack image unset --property q --tag 'a b' ID`
async fn image_unset(target: &Target) {
    let demo = target.person("demo").await;
    let image = target.image(&demo, json!({"q": "2", "tags": ["a b", "c"]})).await;
    let id = image["id"].as_str().unwrap();
    demo.request("DELETE", &format!("/v2/images/{id}/tags/a%20b")).without("Accept").send().await.is(204);
    let image = patch(&demo, id, json!([{"op": "remove", "path": "/q"}])).await.is(200).json();
    assert!(image["tags"] == json!(["c"]) && image.get("q").is_none(), "{image}");
}

/// `openstack image add project ID PROJECT`, `openstack image member list ID`, `openstack image remove project ID PROJECT`
async fn image_add_and_remove_project(target: &Target) {
    let (demo, alt) = (target.person("demo").await, target.person("alt").await);
    let id = target.empty(&demo).await;
    let members = format!("/v2/images/{id}/members");
    let added = demo.post(&members, &json!({"member": alt.project})).await.is(200).json();
    assert_eq!((&added["member_id"], &added["status"]), (&json!(alt.project), &json!("pending")));
    assert_eq!(demo.get(&members).await.is(200).json()["members"], json!([added]));
    let one = format!("{members}/{}", alt.project);
    demo.request("DELETE", &one).without("Accept").send().await.is(204);
    assert_eq!(demo.get(&members).await.is(200).json()["members"], json!([]));
}

/// `openstack image set --accept ID`, `openstack image set --reject ID`
async fn image_set_accept_and_reject(target: &Target) {
    let (demo, alt) = (target.person("demo").await, target.person("alt").await);
    let id = target.empty(&demo).await;
    demo.post(&format!("/v2/images/{id}/members"), &json!({"member": alt.project})).await.is(200);
    for status in ["accepted", "rejected"] {
        let path = format!("/v2/images/{id}/members/{}", alt.project);
        let answer = alt.request("PUT", &path).without("Accept").json(&json!({"status": status})).send().await.is(200);
        assert_eq!(answer.json()["status"], status);
    }
}

/// `openstack image list --shared --member-status accepted`
async fn image_list_shared(target: &Target) {
    let (demo, alt) = (target.person("demo").await, target.person("alt").await);
    let id = target.empty(&demo).await;
    demo.post(&format!("/v2/images/{id}/members"), &json!({"member": alt.project})).await.is(200);
    let path = format!("/v2/images/{id}/members/{}", alt.project);
    alt.request("PUT", &path).json(&json!({"status": "accepted"})).send().await.is(200);
    for query in ["visibility=shared", "visibility=shared&member_status=accepted"] {
        let listed = alt.list(query).await;
        assert!(listed.iter().any(|image| image["id"] == json!(id)), "{query}");
    }
}

/// `openstack image set --deactivate ID`, `openstack image set --activate ID`
async fn image_set_deactivate_and_activate(target: &Target) {
    let demo = target.person("demo").await;
    let id = target.filled(&demo, b"x").await;
    for (action, status) in [("deactivate", "deactivated"), ("reactivate", "active")] {
        let path = format!("/v2/images/{id}/actions/{action}");
        demo.request("POST", &path).without("Accept").header("Content-Length", "0").send().await.is(204);
        assert_eq!(demo.show(&id).await["status"], status);
    }
}

/// `openstack image stage --file FILE ID`, `openstack image import ID`
async fn image_stage_and_import(target: &Target) {
    let demo = target.person("demo").await;
    let methods = demo.get("/v2/info/import").await.is(200).json()["import-methods"]["value"].clone();
    assert_eq!(methods, json!(["glance-direct", "web-download", "copy-image"]));
    let id = target.empty(&demo).await;
    let request = demo.put_stage(&id).header("Accept", "").header("X-OpenStack-Image-Size", "6");
    request.body(*b"hello\n").send().await.is(204);
    let method = json!({"name": "glance-direct"});
    let body = json!({"method": method, "all_stores": false, "all_stores_must_succeed": false});
    demo.import(&id, &body).await.is(202);
    let image = demo.settled(&id).await;
    assert_eq!((&image["status"], &image["size"]), (&json!("active"), &json!(6)));
}

/// `openstack image import --method web-download --uri URL ID`
async fn image_import_from_the_web(target: &Target) {
    let demo = target.person("demo").await;
    let server = target.web().await;
    let id = target.empty(&demo).await;
    let method = json!({"name": "web-download", "uri": server.url("/image")});
    let body = json!({"method": method, "all_stores": false, "all_stores_must_succeed": false});
    demo.import(&id, &body).await.is(202);
    let image = demo.settled(&id).await;
    assert_eq!((&image["status"], &image["size"]), (&json!("active"), &json!(5)));
}

/// `openstack image task list`, `openstack image task show ID`
async fn image_task_list_and_show(target: &Target) {
    let demo = target.person("demo").await;
    let id = target.empty(&demo).await;
    demo.stage(&id, b"hello").await.is(204);
    demo.import(&id, &json!({"method": {"name": "glance-direct"}})).await.is(202);
    demo.settled(&id).await;
    let admin = target.person("admin").await;
    let tasks = admin.get("/v2/tasks").await.is(200).json();
    let one = tasks["tasks"][0]["id"].as_str().unwrap();
    assert_eq!(admin.get(&format!("/v2/tasks/{one}")).await.is(200).json()["type"], "api_image_import");
}
