//! What the `openstack` command itself makes of the service. Only where `GLANCEFS_TEST_OPENSTACK` names one: it is the
//! real one, whichever service it talks to. `openstack.rs` has what it sends, for everywhere else.

use std::ffi::OsString;
use std::process::Command;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::Contract;
use crate::target::Target;

crate::contracts![
    image_create_list_save_and_delete,
    image_set_and_unset,
    image_add_project_and_member_list,
    image_deactivate_and_activate,
    image_stage_import_and_task_list,
    image_import_from_the_web,
];

/// Where the command is.
pub(crate) const PROGRAM: &str = "GLANCEFS_TEST_OPENSTACK";

/// Whether a contract can be checked here.
pub(crate) fn is_possible(contract: &Contract) -> bool {
    !contract.module.ends_with("_for_real") || std::env::var_os(PROGRAM).is_some()
}

/// The command, in surroundings of its own.
struct Openstack(TempDir);

impl Openstack {
    fn new(target: &Target) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let people = ["demo", "alt", "admin"].map(|name| (name.to_owned(), target.cloud(name)));
        let clouds = json!({"clouds": serde_json::Map::from_iter(people)});
        // JSON is YAML.
        std::fs::write(folder.path().join("clouds.yaml"), clouds.to_string()).unwrap();
        Self(folder)
    }

    fn file(&self, name: &str) -> std::path::PathBuf {
        self.0.path().join(name)
    }

    /// What it prints for somebody. The words of `line` are its arguments; `$1`, `$2` stand for `values`.
    async fn run(&self, who: &str, line: &str, values: &[&str]) -> String {
        let value = |word: &str| {
            let number = word.strip_prefix('$').and_then(|number| number.parse::<usize>().ok());
            number.map_or_else(|| word.to_owned(), |number| values[number - 1].to_owned())
        };
        let mut command = Command::new("timeout");
        command.args([OsString::from("120"), std::env::var_os(PROGRAM).unwrap()]).args(["--os-cloud", who, "image"]);
        command.args(line.split(' ').map(value)).current_dir(self.0.path()).env_clear();
        command.env("PATH", std::env::var_os("PATH").unwrap_or_default()).env("HOME", self.0.path());
        command.env("OS_CLIENT_CONFIG_FILE", self.file("clouds.yaml"));
        let output = tokio::task::spawn_blocking(move || command.output()).await.unwrap().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "openstack image {line} {values:?}: {said}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// The same for what it prints as JSON.
    async fn json(&self, who: &str, line: &str, values: &[&str]) -> Value {
        let text = self.run(who, &format!("{line} -f json"), values).await;
        serde_json::from_str(&text).unwrap_or_else(|why| panic!("openstack image {line}: {why} in {text}"))
    }
}

/// A list has a line with this in this column.
fn has(list: &Value, column: &str, value: &str) -> bool {
    list.as_array().unwrap().iter().any(|line| line[column] == value)
}

async fn image_create_list_save_and_delete(target: &Target) {
    let (demo, openstack) = (target.person("demo").await, Openstack::new(target));
    std::fs::write(openstack.file("disk"), b"hello").unwrap();
    let name = format!("made by openstack {:08x}", fastrand::u32(..));
    let line = "create --disk-format raw --container-format bare --property os_distro=debian --file disk $1";
    let made = openstack.json("demo", line, &[&name]).await;
    let id = made["id"].as_str().unwrap();
    target.tidy(&demo, id);
    let image = demo.show(id).await;
    let shown = (&image["name"], &image["status"], &image["size"], &image["os_distro"]);
    assert_eq!(shown, (&json!(name), &json!("active"), &json!(5), &json!("debian")));
    assert!(has(&openstack.json("demo", "list --name $1", &[&name]).await, "ID", id));
    openstack.run("demo", "save --file saved $1", &[id]).await;
    assert_eq!(std::fs::read(openstack.file("saved")).unwrap(), b"hello");
    openstack.run("demo", "delete $1", &[id]).await;
    demo.get(&format!("/v2/images/{id}")).await.is(404);
}

async fn image_set_and_unset(target: &Target) {
    let (demo, openstack) = (target.person("demo").await, Openstack::new(target));
    let id = target.empty(&demo).await;
    let line = "set --property q=2 --property r=3 --tag $1 --tag c --name $2 --min-disk 3 --protected --hidden $3";
    openstack.run("demo", line, &["a b", "x y", &id]).await;
    let image = demo.show(&id).await;
    let shown = (&image["name"], &image["q"], &image["r"], &image["min_disk"]);
    assert_eq!(shown, (&json!("x y"), &json!("2"), &json!("3"), &json!(3)));
    assert_eq!((&image["protected"], &image["os_hidden"]), (&json!(true), &json!(true)));
    assert_eq!(image["tags"].as_array().unwrap().len(), 2, "{image}");
    openstack.run("demo", "unset --property q --tag $1 $2", &["a b", &id]).await;
    let image = demo.show(&id).await;
    assert!(image["tags"] == json!(["c"]) && image.get("q").is_none() && image["r"] == "3", "{image}");
    let shown = openstack.json("demo", "show $1", &[&id]).await;
    assert_eq!(
        (&shown["name"], &shown["properties"]["r"], &shown["tags"]),
        (&json!("x y"), &json!("3"), &json!(["c"]))
    );
}

async fn image_add_project_and_member_list(target: &Target) {
    let (demo, alt) = (target.person("demo").await, target.person("alt").await);
    let openstack = Openstack::new(target);
    let id = target.empty(&demo).await;
    let status = async |word: &str| {
        let list = openstack.json("demo", "member list $1", &[&id]).await;
        assert_eq!((list.as_array().unwrap().len(), has(&list, "Status", word)), (1, true), "{list}");
        assert!(has(&list, "Member ID", &alt.project) && has(&list, "Image ID", &id), "{list}");
    };
    openstack.run("demo", "add project $1 $2", &[&id, &alt.project]).await;
    status("pending").await;
    openstack.run("alt", "set --accept $1", &[&id]).await;
    status("accepted").await;
    assert!(has(&openstack.json("alt", "list --shared", &[]).await, "ID", &id));
    openstack.run("demo", "remove project $1 $2", &[&id, &alt.project]).await;
    assert_eq!(openstack.json("demo", "member list $1", &[&id]).await, json!([]));
}

async fn image_deactivate_and_activate(target: &Target) {
    let (demo, openstack) = (target.person("demo").await, Openstack::new(target));
    let id = target.filled(&demo, b"hello").await;
    for (option, status) in [("--deactivate", "deactivated"), ("--activate", "active")] {
        openstack.run("demo", &format!("set {option} $1"), &[&id]).await;
        assert_eq!(demo.show(&id).await["status"], status);
    }
}

async fn image_stage_import_and_task_list(target: &Target) {
    let (demo, openstack) = (target.person("demo").await, Openstack::new(target));
    let id = target.empty(&demo).await;
    std::fs::write(openstack.file("disk"), b"hello").unwrap();
    let methods = openstack.json("demo", "import info", &[]).await;
    assert!(methods.to_string().contains("web-download"), "{methods}");
    openstack.run("demo", "stage --file disk $1", &[&id]).await;
    openstack.run("demo", "import $1", &[&id]).await;
    let image = demo.settled(&id).await;
    assert_eq!((&image["status"], &image["size"]), (&json!("active"), &json!(5)));
    let task = demo.tasks(&id).await[0]["id"].as_str().unwrap().to_owned();
    let list = openstack.json("admin", "task list", &[]).await;
    assert!(has(&list, "Task ID", &task) || has(&list, "ID", &task), "{list}");
    let shown = openstack.json("admin", "task show $1", &[&task]).await;
    assert_eq!((&shown["status"], &shown["type"]), (&json!("success"), &json!("api_image_import")));
}

async fn image_import_from_the_web(target: &Target) {
    let (demo, openstack) = (target.person("demo").await, Openstack::new(target));
    let id = target.empty(&demo).await;
    let web = target.web().await;
    openstack.run("demo", "import --method web-download --uri $1 $2", &[&web.url("/image"), &id]).await;
    let image = demo.settled(&id).await;
    assert_eq!((&image["status"], &image["size"]), (&json!("active"), &json!(5)));
}
