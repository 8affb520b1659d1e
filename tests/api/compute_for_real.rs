//! What openstacksdk makes of the Compute API: the very library, from beside the `openstack` command that
//! `GLANCEFS_TEST_OPENSTACK` names.

use std::path::PathBuf;
use std::process::Command;

use serde_json::{Value, json};

use crate::openstack_for_real::PROGRAM;
use crate::target::Target;

crate::contracts![images_and_their_metadata];

/// Prints what the library answers; its arguments are somebody's way to log in, the mark of an image, and its id.
const SCRIPT: &str = r#"
import json, sys
import openstack
cloud, mark, id = json.loads(sys.argv[1]), sys.argv[2], sys.argv[3]
compute = openstack.connect(load_envvars=False, load_yaml_config=False, region_name="RegionOne", **cloud).compute
image = compute.get_image(id)
out = {
    "images": [image.id for image in compute.images(server=mark)],
    "pages": [image.id for image in compute.images(details=False, server=mark, limit=1)],
    "shown": [image.name, image.status, image.progress, image.min_disk, image.size, dict(image.metadata)],
}
compute.set_image_metadata(image, b="2")
out["set"] = dict(compute.get_image_metadata(image).metadata)
compute.delete_image_metadata(image, ["a"])
out["deleted"] = dict(compute.get_image_metadata(image).metadata)
compute.delete_image(image)
out["gone"] = compute.find_image(id)
print(json.dumps(out))
"#;

async fn images_and_their_metadata(target: &Target) {
    let (demo, mark) = (target.person("demo").await, uuid::Uuid::new_v4().to_string());
    let image = target.image(&demo, json!({"name": "n", "a": "1", "min_disk": 2, "instance_uuid": mark})).await;
    let id = image["id"].as_str().unwrap();
    let mut command = Command::new("timeout");
    let python = PathBuf::from(std::env::var_os(PROGRAM).unwrap()).with_file_name("python");
    command.arg("120").arg(python).args(["-W", "ignore", "-c", SCRIPT]).arg(target.cloud("demo").to_string());
    command.args([&mark, id]).env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default());
    let output = tokio::task::spawn_blocking(move || command.output()).await.unwrap().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let said: Value = serde_json::from_slice(&output.stdout).unwrap();
    let expected = json!({
        "images": [id],
        "pages": [id],
        "shown": ["n", "SAVING", 25, 2, 0, {"a": "1", "instance_uuid": mark}],
        "set": {"a": "1", "b": "2", "instance_uuid": mark},
        "deleted": {"b": "2", "instance_uuid": mark},
        "gone": null,
    });
    assert_eq!(said, expected);
}
