//! GET /v2/images/{id}/tasks and /v2/tasks.

use serde_json::{Value, json};

use crate::person::Person;
use crate::target::Target;

crate::contracts![
    an_import_is_a_task,
    a_task_tells_that_it_failed,
    tasks_are_listed_oldest_first,
    tasks_are_the_project_s_that_began_them,
    tasks_go_with_their_image,
    the_list_of_all_tasks_is_the_administrators,
];

const FAILED: &str = "Task failed due to Internal Error";

async fn imported(target: &Target, demo: &Person) -> String {
    let id = target.empty(demo).await;
    demo.stage(&id, b"hello").await.is(204);
    demo.import(&id, &json!({"method": {"name": "glance-direct"}})).await.is(202);
    demo.settled(&id).await;
    id
}

async fn an_import_is_a_task(target: &Target) {
    let demo = target.person("demo").await;
    let id = target.empty(&demo).await;
    demo.stage(&id, b"hello").await.is(204);
    assert_eq!(demo.get(&format!("/v2/images/{id}/tasks")).await.is(200).json(), json!({"tasks": []}));
    let began = demo.import(&id, &json!({"method": {"name": "glance-direct"}})).await.is(202);
    demo.settled(&id).await;
    let tasks = demo.tasks(&id).await;
    assert_eq!(tasks.len(), 1, "{tasks:?}");
    let task = &tasks[0];
    let mut expected = json!({
        "type": "api_image_import", "status": "success", "owner": demo.project, "deleted_at": null, "deleted": false,
        "image_id": id, "message": "Copied 0 MiB", "result": {"image_id": id},
        "request_id": began.header("x-openstack-request-id").unwrap(),
        "input": {"image_id": id, "import_req": {"method": {"name": "glance-direct"}}, "backend": ["fast"]},
    });
    for key in ["id", "user_id", "created_at", "updated_at", "expires_at"] {
        expected[key] = task[key].clone();
        assert!(task[key].is_string(), "{task}");
    }
    assert_eq!(task, &expected);
    // Microseconds, and no zone.
    assert_eq!(task["created_at"].as_str().unwrap().len(), "2026-01-01T00:00:00.000000".len());
}

async fn a_task_tells_that_it_failed(target: &Target) {
    let demo = target.person("demo").await;
    let id = target.empty(&demo).await;
    let method = json!({"name": "web-download", "uri": Target::nowhere()});
    demo.import(&id, &json!({"method": method})).await.is(202);
    demo.settled(&id).await;
    let tasks = demo.tasks(&id).await;
    let told =
        (&tasks[0]["status"], &tasks[0]["message"], &tasks[0]["result"], &tasks[0]["input"]["import_req"]["method"]);
    assert_eq!(told, (&json!("failure"), &json!(FAILED), &Value::Null, &method));
}

async fn tasks_are_listed_oldest_first(target: &Target) {
    let demo = target.person("demo").await;
    let server = target.web().await;
    let id = target.empty(&demo).await;
    for path in ["/none", "/image"] {
        demo.import(&id, &json!({"method": {"name": "web-download", "uri": server.url(path)}})).await.is(202);
        demo.settled(&id).await;
    }
    let statuses: Vec<_> = demo.tasks(&id).await.iter().map(|task| task["status"].clone()).collect();
    assert_eq!(statuses, ["failure", "success"]);
}

async fn tasks_are_the_project_s_that_began_them(target: &Target) {
    let demo = target.person("demo").await;
    let id = imported(target, &demo).await;
    let alt = target.person("alt").await;
    alt.get(&format!("/v2/images/{id}/tasks")).await.is(404).says("The resource could not be found.");
    demo.post(&format!("/v2/images/{id}/members"), &json!({"member": alt.project})).await.is(200);
    for (who, count) in [("alt", 0), ("demo2", 1), ("reader", 1), ("admin", 1)] {
        assert_eq!(target.person(who).await.tasks(&id).await.len(), count, "{who}");
    }
}

async fn tasks_go_with_their_image(target: &Target) {
    let demo = target.person("demo").await;
    let id = imported(target, &demo).await;
    demo.delete(&id).await.is(204);
    demo.get(&format!("/v2/images/{id}/tasks")).await.is(404);
    target.person("admin").await.get(&format!("/v2/images/{id}/tasks")).await.is(404);
}

async fn the_list_of_all_tasks_is_the_administrators(target: &Target) {
    let demo = target.person("demo").await;
    let id = imported(target, &demo).await;
    let task = demo.tasks(&id).await[0]["id"].as_str().unwrap().to_owned();
    for who in ["demo", "reader", "alt"] {
        let person = target.person(who).await;
        for path in ["/v2/tasks".to_owned(), format!("/v2/tasks/{task}")] {
            let refused = person.get(&path).await.is(403);
            refused.says("You are not authorized to complete tasks_api_access action.");
        }
    }
    let admin = target.person("admin").await;
    let shown = admin.get(&format!("/v2/tasks/{task}")).await.is(200).json();
    assert_eq!((&shown["image_id"], &shown["status"], &shown["id"]), (&json!(id), &json!("success"), &json!(task)));
    let page = admin.get("/v2/tasks?limit=1").await.is(200).json();
    assert_eq!((&page["schema"], &page["first"]), (&json!("/v2/schemas/tasks"), &json!("/v2/tasks?limit=1")));
    let last = &page["tasks"][0];
    let next = format!("/v2/tasks?limit=1&marker={}", last["id"].as_str().unwrap());
    assert_eq!(page["next"], json!(next));
    for key in ["id", "type", "status", "owner", "created_at", "updated_at", "self", "schema"] {
        assert!(last[key].is_string(), "{last}");
    }
    assert!(last.get("input").is_none(), "{last}");
    admin.get("/v2/tasks/x").await.is(404).says("Could not find task x");
}
