//! Uploads whose images are made after them.

use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;

use super::super::testing::{Fake, open_with};
use super::super::{Settings, State, Uploads};
use super::crash::killed;
use crate::image::{Image, Status};

fn alone(folder: &Path) -> Settings {
    Settings { takes_up: false, ..Settings::new(folder.to_owned()) }
}

/// Writes to the upload of an image, which is foretold where it is not there yet; then the program is killed.
fn write(settings: Settings, service: &Arc<Fake>, image: &Image) {
    killed(async {
        let foretells = !settings.takes_up;
        let uploads = open_with(settings, service).await;
        if foretells {
            uploads.foretell(image.id, image.name.as_deref().unwrap()).await.unwrap();
        }
        let writer = uploads.begin(image).await.unwrap();
        writer.write_at(0, Bytes::from_static(b"half")).await.unwrap();
    });
}

fn orphans(folder: &Path, service: &Arc<Fake>, name: &str) -> usize {
    killed(async { open_with(alone(folder), service).await.orphans(name).await.unwrap().len() })
}

#[test]
fn what_was_foretold_is_found_by_its_name_once_its_program_was_killed() {
    let (folder, service) = (tempfile::tempdir().unwrap(), Fake::new());
    let (folder, image) = (folder.path(), service.add());
    killed(async {
        let uploads = open_with(alone(folder), &service).await;
        uploads.foretell(image.id, "disk").await.unwrap();
        let other = open_with(alone(folder), &service).await;
        assert!(other.orphans("disk").await.unwrap().is_empty(), "its program is at it");
        assert_eq!(other.named("disk").await.unwrap(), [image.id]);
    });
    assert_eq!(orphans(folder, &service, "another"), 0);
    killed(async {
        let uploads = open_with(alone(folder), &service).await;
        let found = uploads.orphans("disk").await.unwrap().pop().unwrap();
        assert_eq!((found.image(), found.status().await.unwrap()), (image.id, Some(Status::Queued)));
        found.remove().await.unwrap();
    });
    assert!(Uploads::peek(folder).unwrap().is_empty());
}

#[test]
fn what_somebody_wrote_in_a_mount_since_is_no_orphan_and_what_a_mount_only_found_is() {
    let (folder, service) = (tempfile::tempdir().unwrap(), Fake::new());
    let (folder, image) = (folder.path(), service.add());
    write(alone(folder), &service, &image);
    killed(open_with(Settings::new(folder), &service));
    assert_eq!(orphans(folder, &service, "disk"), 1);
    write(Settings::new(folder), &service, &image);
    assert_eq!(orphans(folder, &service, "disk"), 0);
    assert_eq!(Uploads::peek(folder).unwrap().pop().unwrap().state, State::Writing, "it is there");
}
