//! DELETE /v2/images/{id}.

use serde_json::json;

use crate::target::Target;

crate::contracts![
    a_deleted_image_is_gone_for_everybody,
    a_protected_image_stays,
    an_image_without_bytes_can_be_deleted,
    a_deactivated_image_can_be_deleted,
    an_image_of_others_that_can_be_seen_cannot_be_deleted,
    a_reader_may_not_delete,
    an_administrator_may_delete_any_image,
];

async fn a_deleted_image_is_gone_for_everybody(target: &Target) {
    let demo = target.person("demo").await;
    let id = target.filled(&demo, b"x").await;
    assert_eq!(demo.delete(&id).await.is(204).body, b"");
    for name in ["demo", "admin"] {
        let person = target.person(name).await;
        person.get(&format!("/v2/images/{id}")).await.is(404).says(&format!("No image found with ID {id}"));
        person.delete(&id).await.is(404);
    }
    assert!(demo.list(&format!("id={id}")).await.is_empty());
}

async fn a_protected_image_stays(target: &Target) {
    let demo = target.person("demo").await;
    let image = target.image(&demo, json!({"protected": true})).await;
    let id = image["id"].as_str().unwrap();
    let words = format!("Image {id} is protected and cannot be deleted.");
    demo.delete(id).await.is(403).says(&words);
    target.person("admin").await.delete(id).await.is(403).says(&words);
    assert_eq!(demo.show(id).await["status"], "queued");
}

async fn an_image_without_bytes_can_be_deleted(target: &Target) {
    let demo = target.person("demo").await;
    let image = target.image(&demo, json!({})).await;
    demo.delete(image["id"].as_str().unwrap()).await.is(204);
}

async fn a_deactivated_image_can_be_deleted(target: &Target) {
    let demo = target.person("demo").await;
    let id = target.filled(&demo, b"x").await;
    demo.act(&id, "deactivate").await.is(204);
    demo.delete(&id).await.is(204);
}

async fn an_image_of_others_that_can_be_seen_cannot_be_deleted(target: &Target) {
    let (demo, alt) = (target.person("demo").await, target.person("alt").await);
    let image = target.image(&demo, json!({"visibility": "community"})).await;
    let id = image["id"].as_str().unwrap();
    alt.delete(id).await.is(403);
    demo.show(id).await;
}

async fn a_reader_may_not_delete(target: &Target) {
    let demo = target.person("demo").await;
    let image = target.image(&demo, json!({})).await;
    let id = image["id"].as_str().unwrap();
    target
        .person("reader")
        .await
        .delete(id)
        .await
        .is(403)
        .says("You are not authorized to complete delete_image action.");
    demo.show(id).await;
}

async fn an_administrator_may_delete_any_image(target: &Target) {
    let demo = target.person("demo").await;
    let id = target.filled(&demo, b"x").await;
    target.person("admin").await.delete(&id).await.is(204);
    demo.get(&format!("/v2/images/{id}")).await.is(404);
}
