//! GET /v2/images/{id}, and who sees what.

use serde_json::json;

use crate::target::Target;

crate::contracts![
    an_image_is_shown_as_it_was_made,
    stores_appear_with_the_bytes,
    somebody_elses_private_image_does_not_exist,
    a_community_image_is_shown_to_who_knows_its_id,
    a_public_image_is_shown_to_everybody,
    a_hidden_image_is_shown_by_id,
    a_colleague_and_a_reader_see_the_projects_images,
    an_administrator_sees_every_image,
    members_are_listed_of_shared_images_only,
];

async fn an_image_is_shown_as_it_was_made(target: &Target) {
    let demo = target.person("demo").await;
    let image = target.image(&demo, json!({"name": "n", "p": "v", "tags": ["t"], "min_disk": 2})).await;
    assert_eq!(demo.show(image["id"].as_str().unwrap()).await, image);
}

async fn stores_appear_with_the_bytes(target: &Target) {
    let demo = target.person("demo").await;
    let image = target.image(&demo, json!({"disk_format": "raw", "container_format": "bare"})).await;
    assert_eq!(image.get("stores"), None);
    let id = image["id"].as_str().unwrap();
    demo.upload(id, b"x").await.is(204);
    assert_eq!(demo.show(id).await["stores"], "fast");
}

async fn somebody_elses_private_image_does_not_exist(target: &Target) {
    let (demo, alt) = (target.person("demo").await, target.person("alt").await);
    for visibility in ["private", "shared"] {
        let image = target.image(&demo, json!({"visibility": visibility})).await;
        let id = image["id"].as_str().unwrap();
        alt.get(&format!("/v2/images/{id}")).await.is(404).says(&format!("No image found with ID {id}"));
        alt.get(&format!("/v2/images/{id}/file")).await.is(404);
        alt.upload(id, b"x").await.is(404);
        alt.delete(id).await.is(404);
        alt.act(id, "deactivate").await.is(404);
    }
}

async fn a_community_image_is_shown_to_who_knows_its_id(target: &Target) {
    let (demo, alt) = (target.person("demo").await, target.person("alt").await);
    let image = target.image(&demo, json!({"visibility": "community"})).await;
    assert_eq!(alt.show(image["id"].as_str().unwrap()).await, image);
}

async fn a_public_image_is_shown_to_everybody(target: &Target) {
    let admin = target.person("admin").await;
    let image = target.image(&admin, json!({"visibility": "public"})).await;
    for name in ["demo", "alt", "reader"] {
        assert_eq!(target.person(name).await.show(image["id"].as_str().unwrap()).await, image, "{name}");
    }
}

async fn a_hidden_image_is_shown_by_id(target: &Target) {
    let demo = target.person("demo").await;
    let image = target.image(&demo, json!({"os_hidden": true})).await;
    assert_eq!(demo.show(image["id"].as_str().unwrap()).await, image);
}

async fn a_colleague_and_a_reader_see_the_projects_images(target: &Target) {
    let demo = target.person("demo").await;
    let image = target.image(&demo, json!({"visibility": "private"})).await;
    for name in ["demo2", "reader"] {
        assert_eq!(target.person(name).await.show(image["id"].as_str().unwrap()).await, image, "{name}");
    }
}

async fn an_administrator_sees_every_image(target: &Target) {
    let (demo, admin) = (target.person("demo").await, target.person("admin").await);
    let image = target.image(&demo, json!({"visibility": "private"})).await;
    assert_eq!(admin.show(image["id"].as_str().unwrap()).await, image);
}

async fn members_are_listed_of_shared_images_only(target: &Target) {
    let (demo, alt) = (target.person("demo").await, target.person("alt").await);
    let shared = target.image(&demo, json!({"visibility": "shared"})).await;
    let path = format!("/v2/images/{}/members", shared["id"].as_str().unwrap());
    assert_eq!(demo.get(&path).await.is(200).json(), json!({"members": [], "schema": "/v2/schemas/members"}));
    alt.get(&path).await.is(404);
    for visibility in ["private", "community"] {
        let image = target.image(&demo, json!({"visibility": visibility})).await;
        demo.get(&format!("/v2/images/{}/members", image["id"].as_str().unwrap())).await.is(403);
    }
}
