//! Deactivating and reactivating.

use serde_json::json;

use crate::target::Target;

crate::contracts![
    a_deactivated_image_keeps_its_bytes_to_itself,
    an_administrator_downloads_what_is_deactivated,
    a_reactivated_image_is_as_before,
    repeating_an_action_changes_nothing,
    an_image_without_bytes_has_no_actions,
    an_action_takes_no_body,
    a_colleague_may_act_and_a_reader_may_not,
    an_action_that_is_none_is_not_found,
];

async fn a_deactivated_image_keeps_its_bytes_to_itself(target: &Target) {
    let demo = target.person("demo").await;
    let id = target.filled(&demo, b"data").await;
    assert_eq!(demo.act(&id, "deactivate").await.is(204).body, b"");
    let image = demo.show(&id).await;
    assert_eq!((&image["status"], &image["size"]), (&json!("deactivated"), &json!(4)));
    demo.get_file(&id)
        .send()
        .await
        .is(403)
        .says("The requested image has been deactivated. Image data download is forbidden.");
    demo.range(&id, "bytes=0-1").await.is(403);
}

async fn an_administrator_downloads_what_is_deactivated(target: &Target) {
    let demo = target.person("demo").await;
    let id = target.filled(&demo, b"data").await;
    demo.act(&id, "deactivate").await.is(204);
    let admin = target.person("admin").await;
    assert_eq!(admin.get_file(&id).send().await.is(200).body, b"data");
    assert_eq!(admin.range(&id, "bytes=0-1").await.is(206).body, b"da");
}

async fn a_reactivated_image_is_as_before(target: &Target) {
    let demo = target.person("demo").await;
    let id = target.filled(&demo, b"data").await;
    demo.act(&id, "deactivate").await.is(204);
    demo.act(&id, "reactivate").await.is(204);
    assert_eq!(demo.show(&id).await["status"], "active");
    assert_eq!(demo.get_file(&id).send().await.is(200).body, b"data");
}

async fn repeating_an_action_changes_nothing(target: &Target) {
    let demo = target.person("demo").await;
    let id = target.filled(&demo, b"data").await;
    demo.act(&id, "reactivate").await.is(204);
    demo.act(&id, "deactivate").await.is(204);
    demo.act(&id, "deactivate").await.is(204);
    assert_eq!(demo.show(&id).await["status"], "deactivated");
}

async fn an_image_without_bytes_has_no_actions(target: &Target) {
    let demo = target.person("demo").await;
    let image = target.image(&demo, json!({})).await;
    let id = image["id"].as_str().unwrap();
    demo.act(id, "deactivate").await.is(403).says("Not allowed to deactivate image in status 'queued'");
    demo.act(id, "reactivate").await.is(403).says("Not allowed to reactivate image in status 'queued'");
}

async fn an_action_takes_no_body(target: &Target) {
    let demo = target.person("demo").await;
    let id = target.filled(&demo, b"data").await;
    demo.post(&format!("/v2/images/{id}/actions/deactivate"), &json!({})).await.is(400);
    assert_eq!(demo.show(&id).await["status"], "active");
}

async fn a_colleague_may_act_and_a_reader_may_not(target: &Target) {
    let demo = target.person("demo").await;
    let id = target.filled(&demo, b"data").await;
    target.person("reader").await.act(&id, "deactivate").await.is(403);
    target.person("demo2").await.act(&id, "deactivate").await.is(204);
}

async fn an_action_that_is_none_is_not_found(target: &Target) {
    let demo = target.person("demo").await;
    let id = target.filled(&demo, b"data").await;
    demo.act(&id, "explode").await.is(404);
}
