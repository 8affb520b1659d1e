//! `ls`: every folder of the tree, and what has no name of its own.

use std::fs;

use serde_json::Value;

use crate::direct::{files, run};
use crate::mounts::Service;
use crate::support::Place;

fn objects(place: &Place, service: &Service, path: &str) -> Vec<Value> {
    let listed = run(place, service, &["ls", "--json", path]);
    listed.succeeded();
    listed.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn every_folder_of_the_tree_is_listed_long_and_for_programs() {
    let place = Place::new();
    let service = Service::with_image(place.path("images"));
    for path in ["/", "by-name", "by-id", "files", ".glancefs", "query/status=active", "debian", "by-name/debian/tags"]
    {
        let names: Vec<String> = run(&place, &service, &["ls", path]).out.lines().map(str::to_owned).collect();
        let long = run(&place, &service, &["ls", "-l", path]);
        long.succeeded();
        let rows: Vec<&str> = long.out.lines().collect();
        assert_eq!(rows.len(), names.len(), "{path}: {rows:?}");
        assert!(rows.iter().zip(&names).all(|(row, name)| row.contains(name.as_str())), "{path}: {rows:?}");
        assert_eq!(objects(&place, &service, path).len(), names.len(), "{path}");
    }
    let rows = run(&place, &service, &["ls", "-l", "debian"]).out;
    assert!(rows.lines().any(|row| row.trim_start().starts_with("20 B  20") && row.ends_with("  data")), "{rows}");
    assert!(rows.lines().any(|row| row.trim_start().starts_with("-  20") && row.ends_with("  tags/")), "{rows}");
    let found = objects(&place, &service, "debian");
    let of = |name: &str| found.iter().find(|object| object["name"] == name).unwrap().clone();
    assert_eq!((&of("data")["kind"], &of("data")["size"]), (&"file".into(), &20.into()));
    assert_eq!(of("tags")["kind"], "folder");
    assert!(of("data")["mtime"].as_str().unwrap().starts_with("20"), "{found:?}");
    // A file is listed as itself.
    let [data] = &*objects(&place, &service, "by-name/debian/data") else { panic!() };
    assert_eq!((&data["name"], &data["size"]), (&"by-name/debian/data".into(), &20.into()));
    assert!(run(&place, &service, &["ls", "-l", "files/debian.raw"]).out.contains("20 B  20"));
}

#[test]
fn of_a_name_that_several_images_have_their_entries_are_told() {
    let place = Place::new();
    let service = Service::empty(place.path("images"));
    for name in ["dup", "dup", "single", "dup~12345678"] {
        service.make(name);
    }
    let listed = run(&place, &service, &["ls"]).out;
    let entries: Vec<&str> =
        listed.lines().filter(|entry| entry.starts_with("dup~") && *entry != "dup~12345678").collect();
    assert_eq!(entries.len(), 2, "{listed}");
    for command in [&["ls", "dup"][..], &["get", "dup"], &["get", "by-name/dup/status"]] {
        let told = run(&place, &service, command);
        told.refused(1, &["several images are called 'dup'", entries[0], entries[1]]);
        assert!(!told.err.contains("dup~12345678"), "{}", told.err);
    }
    run(&place, &service, &["ls", "none"]).refused(1, &["there is no 'none' in by-name"]);
}

#[test]
fn an_id_is_found_in_whatever_case_it_is_written() {
    let place = Place::new();
    let service = Service::with_image(place.path("images"));
    let id = run(&place, &service, &["ls", "by-id"]).out.trim().to_uppercase();
    for image in [id.clone(), format!("by-id/{id}/data")] {
        assert_eq!(run(&place, &service, &["get", &image]).out, "what an image holds\n");
    }
}

#[test]
fn a_folder_of_images_that_is_only_read_is_not_made() {
    let place = Place::new();
    let before = files(&place);
    for arguments in [["ls", "--source=local:typo", "/"], ["get", "--source=local:typo", "x"]] {
        place.run(arguments).refused(1, &["there is no image folder", "typo"]);
    }
    assert_eq!(files(&place), before);
    fs::create_dir(place.path("typo")).unwrap();
    assert_eq!(place.run(["ls", "--source=local:typo"]).code, Some(0));
}
