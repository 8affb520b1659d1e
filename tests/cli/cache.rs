//! Looking after the cache on disk.

use std::fs;
use std::os::unix::fs::FileExt;

use serde_json::Value;

use crate::mounts::{Service, data};
use crate::process::Watched;
use crate::support::{Place, Ran};

fn cache(place: &Place, arguments: &[&str]) -> Ran {
    place.run([&["cache", "--dir", "kept"], arguments].concat())
}

fn warm(place: &Place, service: &Service) -> Ran {
    cache(place, &["warm", "--source", &service.url, "debian"])
}

fn listed(place: &Place) -> Vec<Value> {
    let listed = cache(place, &["list", "--json"]);
    listed.succeeded();
    listed.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn an_image_that_was_fetched_ahead_is_read_by_a_mount_without_asking_for_its_bytes() {
    let place = Place::new();
    let service = Service::with_image(place.path("images"));
    warm(&place, &service).succeeded();
    let [image] = &*listed(&place) else { panic!("{:?}", listed(&place)) };
    assert_eq!((&image["size"], &image["here"], &image["proved"]), (&20.into(), &20.into(), &true.into()));
    assert!(cache(&place, &["list"]).out.contains("  100%  "));

    let mount = place.mount();
    let kept = place.path("kept");
    place
        .run(["mount".as_ref(), service.url.as_ref(), mount.as_os_str(), "--cache-dir".as_ref(), kept.as_os_str()])
        .succeeded();
    let daemon = Watched::daemon_of(&place);
    assert_eq!(fs::read_to_string(data(&place)).unwrap(), "what an image holds\n");
    let status: Value =
        serde_json::from_str(&fs::read_to_string(mount.join(".glancefs/status.json")).unwrap()).unwrap();
    let purposes: Vec<&Value> =
        status["service"]["requests"].as_array().unwrap().iter().map(|row| &row["purpose"]).collect();
    assert!(purposes.contains(&&"list".into()) && !purposes.contains(&&"data".into()), "{purposes:?}");
    assert_eq!(status["cache"]["images"], 1);
    assert_eq!(status["reading"]["fetched_bytes"], 0);
    place.run(["umount".as_ref(), mount.as_os_str()]).succeeded();
    daemon.ended();
    place.assert_nothing_is_left();
}

#[test]
fn what_is_damaged_is_found_named_and_dropped() {
    let place = Place::new();
    let service = Service::with_image(place.path("images"));
    warm(&place, &service).succeeded();
    let id = listed(&place)[0]["image"].as_str().unwrap().to_owned();
    let sound = cache(&place, &["verify"]);
    sound.succeeded();
    assert_eq!(sound.out, format!("{id}  sound\n"));

    let folder = fs::read_dir(place.path("kept/images")).unwrap().next().unwrap().unwrap().path();
    let file = fs::File::options().write(true).open(folder.join("data")).unwrap();
    file.write_all_at(b"!", 3).unwrap();
    let damaged = cache(&place, &["verify"]);
    damaged.refused(2, &["1 damaged"]);
    assert!(damaged.out.starts_with(&format!("{id}  damaged, and dropped")), "{}", damaged.out);
    assert!(listed(&place).is_empty());
    warm(&place, &service).succeeded();
    assert_eq!(cache(&place, &["verify"]).out, format!("{id}  sound\n"));
}

#[test]
fn a_map_that_cannot_be_read_is_told_and_gives_its_place_back() {
    let place = Place::new();
    let service = Service::with_image(place.path("images"));
    for drop in [&["verify"][..], &["drop", "--all"]] {
        warm(&place, &service).succeeded();
        let folder = fs::read_dir(place.path("kept/images")).unwrap().next().unwrap().unwrap().path();
        fs::write(folder.join("map"), [7; 100]).unwrap();
        let list = cache(&place, &["list"]);
        assert!(list.code == Some(0) && list.out.is_empty() && list.err.contains("damaged"), "{}", list.err);
        let ran = cache(&place, drop);
        assert_eq!(ran.code, Some(if drop == ["verify"] { 2 } else { 0 }), "{}", ran.err);
        assert!(!folder.exists(), "{drop:?}");
    }
}

#[test]
fn what_does_not_fit_into_the_cache_is_told_and_the_other_images_are_fetched() {
    let place = Place::new();
    let service = Service::with_image(place.path("images"));
    fs::write(place.path("large"), vec![7; 70 << 20]).unwrap();
    place.run(["put", "--source", &service.url, "large"]).succeeded();
    let images = ["absent", "large", "debian/metadata.json", "by-name/debian/metadata.json", "debian"];
    let small = ["warm", "--source", &service.url, "--cache-size", "64MiB"];
    let ran = cache(&place, &[&small[..], &images].concat());
    ran.refused(
        2,
        &["absent", "by-name/debian/metadata.json: there are no data", "by-name/large: ", "stay in the cache"],
    );
    assert!(listed(&place).iter().any(|image| image["size"] == 20), "{:?}", listed(&place));
}

#[test]
fn images_are_dropped_by_their_ids_or_all_and_what_is_not_there_is_named() {
    let place = Place::new();
    let service = Service::with_image(place.path("images"));
    for all in [false, true] {
        warm(&place, &service).succeeded();
        let id = listed(&place)[0]["image"].as_str().unwrap().to_owned();
        cache(&place, &["drop", if all { "--all" } else { &id }]).succeeded();
        assert!(listed(&place).is_empty());
        cache(&place, &["drop", &id]).refused(1, &[&id, "not in the cache"]);
    }
    cache(&place, &["drop"]).refused(1, &["--all"]);
    cache(&place, &["drop", "debian"]).refused(1, &["debian"]);
}

#[test]
fn where_there_is_no_cache_none_is_made_and_the_folder_is_named() {
    let place = Place::new();
    for action in ["list", "verify"] {
        cache(&place, &[action]).refused(1, &["kept: there is no cache in it"]);
    }
    fs::create_dir_all(place.path("kept/images")).unwrap();
    cache(&place, &["list"]).refused(1, &["holds other files"]);
    assert_eq!(fs::read_dir(place.path("kept")).unwrap().count(), 1);
}
