//! The folder, its locks, and what is found in it.

use super::*;
use crate::write::testing::queued;

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().mode() & 0o777
}

#[test]
fn folders_and_files_are_for_their_owner_alone() {
    let outer = tempfile::tempdir().unwrap();
    let folder = outer.path().join("state/uploads");
    let (journal, image) = (Journal::open(&folder).unwrap(), queued(None));
    let _data = journal.make(image.id, &Job::new(&image)).unwrap().unwrap();
    let upload = journal.folder(image.id);
    for path in [&folder, &folder.join("jobs"), &folder.join("tmp"), &folder.join("aside"), &upload] {
        assert_eq!(mode(path), 0o700, "{}", path.display());
    }
    assert_eq!([mode(&upload.join("data")), mode(&upload.join(RECORD))], [0o600, 0o600]);
}

#[test]
fn an_upload_belongs_to_one_process_until_that_ends() {
    let outer = tempfile::tempdir().unwrap();
    let (journal, image) = (Journal::open(outer.path()).unwrap(), queued(None));
    let data = journal.make(image.id, &Job::new(&image)).unwrap().unwrap();
    assert!(journal.make(image.id, &Job::new(&image)).unwrap().is_none());
    assert!(matches!(journal.take(image.id).unwrap(), Found::Busy));
    assert!(journal.take_all().unwrap().0.is_empty());
    drop(data);
    assert!(matches!(journal.take(image.id).unwrap(), Found::Entry(_)));
}

#[test]
fn whether_an_upload_is_taken_can_be_asked_without_being_in_the_way() {
    let outer = tempfile::tempdir().unwrap();
    let (journal, image) = (Journal::open(outer.path()).unwrap(), queued(None));
    let is_taken = || Journal::is_taken(outer.path(), image.id).unwrap();
    assert_eq!(is_taken(), None);
    let data = journal.make(image.id, &Job::new(&image)).unwrap().unwrap();
    assert_eq!(is_taken(), Some(true));
    drop(data);
    assert_eq!(is_taken(), Some(false));

    let asking = File::open(journal.folder(image.id).join(DATA)).unwrap();
    asking.try_lock_shared().unwrap();
    let (taken, _) = journal.take_all_in_two_looks(|| drop(asking)).unwrap();
    assert_eq!(taken.len(), 1, "who asked has let go by the second look");
}

#[test]
fn mounts_are_told_for_as_long_as_they_live() {
    let outer = tempfile::tempdir().unwrap();
    let announced = || Journal::announced(outer.path()).unwrap();
    assert_eq!(announced(), Vec::<PathBuf>::new());
    let journal = Journal::open(outer.path()).unwrap();
    let [one, killed, _other] = ["/a b", "/b", "/c"].map(|point| journal.announce(Path::new(point)).unwrap());
    assert_eq!(announced(), [Path::new("/a b"), Path::new("/b"), Path::new("/c")]);
    drop(one);
    assert_eq!(fs::read_dir(outer.path().join(MOUNTS)).unwrap().count(), 2);
    let kept = killed.path.with_extension("killed");
    fs::copy(&killed.path, kept).unwrap();
    drop(killed);
    assert_eq!(announced(), [Path::new("/c")]);
    let _third = journal.announce(Path::new("/d")).unwrap();
    assert_eq!(fs::read_dir(outer.path().join(MOUNTS)).unwrap().count(), 2, "what the killed one left is removed");
}

#[test]
fn what_cannot_be_read_is_moved_aside_with_its_bytes() {
    let outer = tempfile::tempdir().unwrap();
    let (journal, image) = (Journal::open(outer.path()).unwrap(), queued(None));
    drop(journal.make(image.id, &Job::new(&image)).unwrap());
    let folder = journal.folder(image.id);
    fs::write(folder.join("data"), "precious").unwrap();
    fs::write(folder.join(RECORD), "{\"version\":").unwrap();
    fs::create_dir(outer.path().join("jobs/strange")).unwrap();
    let (entries, aside) = journal.take_all().unwrap();
    assert_eq!((entries.len(), aside.len()), (0, 2));
    let of_image = aside.iter().find(|aside| aside.path.to_string_lossy().contains(image.id.as_str())).unwrap();
    assert_eq!(fs::read_to_string(of_image.path.join("data")).unwrap(), "precious");
    assert!(of_image.sentence.contains("job.json"), "{}", of_image.sentence);
    let mut told = Journal::unreadable(outer.path()).unwrap();
    told.sort_by(|one, other| one.path.cmp(&other.path));
    assert!(aside.iter().all(|aside| told.contains(aside)), "{told:?}");
    assert!(journal.take_all().unwrap().1.is_empty());
}

#[test]
fn one_that_cannot_be_opened_keeps_nobody_from_the_others() {
    let outer = tempfile::tempdir().unwrap();
    let (journal, image, other) = (Journal::open(outer.path()).unwrap(), queued(None), queued(None));
    drop(journal.make(image.id, &Job::new(&image)).unwrap());
    drop(journal.make(other.id, &Job::new(&other)).unwrap());
    let data = journal.folder(image.id).join("data");
    fs::remove_file(&data).unwrap();
    std::os::unix::fs::symlink("/etc/passwd", &data).unwrap();
    let (entries, aside) = journal.take_all().unwrap();
    assert_eq!((entries.len(), entries[0].image, aside.len()), (1, other.id, 1));
}

#[test]
fn an_empty_folder_is_no_upload_and_one_with_a_record_alone_is_moved_aside() {
    let outer = tempfile::tempdir().unwrap();
    let (journal, image) = (Journal::open(outer.path()).unwrap(), queued(None));
    fs::create_dir(journal.folder(image.id)).unwrap();
    assert!(matches!(journal.take(image.id).unwrap(), Found::Nothing));
    fs::create_dir(journal.folder(image.id)).unwrap();
    Job::new(&image).write(&journal.folder(image.id), false).unwrap();
    assert!(matches!(journal.take(image.id).unwrap(), Found::Unreadable(_)));
}

#[test]
fn a_scratch_file_is_its_mounts_until_that_ends() {
    let outer = tempfile::tempdir().unwrap();
    let journal = Journal::open(outer.path()).unwrap();
    let (path, file) = journal.scratch().unwrap();
    journal.clean(ABANDONED, SystemTime::now() + 2 * ABANDONED).unwrap();
    assert!(path.exists(), "another mount leaves it alone");
    drop(file);
    journal.clean(ABANDONED, SystemTime::now()).unwrap();
    assert!(!path.exists());
}

#[test]
fn a_scratch_file_that_is_held_is_gone_once_its_mount_has_ended() {
    let outer = tempfile::tempdir().unwrap();
    let [journal, other] = [(); 2].map(|()| Journal::open(outer.path()).unwrap());
    let [(path, _file), (kept, _other)] = [&journal, &other].map(|journal| journal.scratch().unwrap());
    journal.leave();
    assert!(!path.exists() && kept.exists());
}

#[test]
fn a_scratch_file_becomes_an_upload_in_place_of_the_one_that_is_there() {
    let outer = tempfile::tempdir().unwrap();
    let (journal, image) = (Journal::open(outer.path()).unwrap(), queued(None));
    for (round, bytes) in ["first", "second"].into_iter().enumerate() {
        let (path, file) = journal.scratch().unwrap();
        fs::write(&path, bytes).unwrap();
        journal.place(image.id, &Job::new(&image), &path).unwrap();
        assert_eq!(fs::read_to_string(journal.folder(image.id).join(DATA)).unwrap(), bytes, "{round}");
        assert!(matches!(journal.take(image.id).unwrap(), Found::Busy), "its lock goes with it");
        drop(file);
        assert!(matches!(journal.take(image.id).unwrap(), Found::Entry(_)));
    }
    assert_eq!(fs::read_dir(&journal.tmp).unwrap().count(), 0);
}

#[test]
fn a_scratch_file_that_cannot_be_placed_stays_where_it_is() {
    let outer = tempfile::tempdir().unwrap();
    let (journal, image) = (Journal::open(outer.path()).unwrap(), queued(None));
    let (path, _file) = journal.scratch().unwrap();
    // No folder can replace it.
    fs::write(journal.folder(image.id), "in the way").unwrap();
    journal.place(image.id, &Job::new(&image), &path).unwrap_err();
    assert!(path.exists());
    assert_eq!(fs::read_dir(&journal.tmp).unwrap().count(), 1);
}

#[test]
fn a_folder_that_cannot_be_used_is_refused_with_its_name() {
    let outer = tempfile::tempdir().unwrap();
    let path = outer.path().join("file");
    fs::write(&path, "").unwrap();
    let refused = Journal::open(&path).unwrap_err();
    assert!(refused.to_string().contains(&path.display().to_string()), "{refused}");
}

#[test]
fn what_ended_processes_left_half_made_is_removed_when_it_is_old() {
    let outer = tempfile::tempdir().unwrap();
    let journal = Journal::open(outer.path()).unwrap();
    fs::create_dir(outer.path().join("tmp/half")).unwrap();
    journal.clean(ABANDONED, SystemTime::now()).unwrap();
    assert!(outer.path().join("tmp/half").exists());
    journal.clean(ABANDONED, SystemTime::now() + 2 * ABANDONED).unwrap();
    assert!(!outer.path().join("tmp/half").exists());
}

#[test]
fn the_rest_of_a_killed_process_is_removed_by_the_next_one_and_not_beside_a_living_one() {
    let outer = tempfile::tempdir().unwrap();
    let living = Journal::open(outer.path()).unwrap();
    fs::create_dir(outer.path().join("tmp/half")).unwrap();
    fs::write(outer.path().join("tmp/half/data"), "as large as an image").unwrap();
    drop(Journal::open(outer.path()).unwrap());
    assert!(outer.path().join("tmp/half").exists());
    drop(living);
    drop(Journal::open(outer.path()).unwrap());
    assert!(!outer.path().join("tmp/half").exists());
}

#[test]
fn what_cannot_be_looked_at_at_this_moment_is_no_reason_to_move_an_upload_aside() {
    let passing = [libc::EMFILE, libc::ENOMEM].map(io::Error::from_raw_os_error);
    assert!(passing.iter().all(is_passing));
    assert!(![libc::ELOOP, libc::ENOENT].map(io::Error::from_raw_os_error).iter().any(is_passing));
    assert!(!is_passing(&io::ErrorKind::InvalidData.into()));
}

/// An upload that has `bytes`, and is over.
fn done(journal: &Journal, bytes: &[u8]) -> (std::sync::Arc<File>, u64) {
    let image = queued(None);
    let data = journal.make(image.id, &Job::new(&image)).unwrap().unwrap();
    assert_eq!(data.metadata().unwrap().len(), 0);
    fs::write(journal.folder(image.id).join(DATA), bytes).unwrap();
    let (data, inode) = (std::sync::Arc::new(data), fs::metadata(journal.folder(image.id)).unwrap().ino());
    journal.retire(image.id, std::sync::Arc::clone(&data)).unwrap().delete().unwrap();
    assert!(!journal.folder(image.id).exists());
    (data, inode)
}

fn left_over(journal: &Journal) -> usize {
    fs::read_dir(&journal.tmp).unwrap().count()
}

#[test]
fn the_folder_of_a_small_upload_that_is_done_is_used_again_and_holds_nothing_of_it() {
    let outer = tempfile::tempdir().unwrap();
    let journal = Journal::open(outer.path()).unwrap();
    let (data, before) = done(&journal, b"the bytes of the first");
    drop(data);
    let image = queued(None);
    let data = journal.make(image.id, &Job::new(&image)).unwrap().unwrap();
    let folder = journal.folder(image.id);
    assert_eq!((fs::metadata(&folder).unwrap().ino(), left_over(&journal)), (before, 0), "it is another folder");
    assert_eq!(fs::read(folder.join(DATA)).unwrap(), b"");
    assert_eq!(Job::read(&folder, image.id).unwrap(), Job::new(&image));
    assert!(matches!(journal.take(image.id).unwrap(), Found::Busy), "its lock was never given up");
    drop(data);
    assert!(matches!(journal.take(image.id).unwrap(), Found::Entry(_)));
}

#[test]
fn bytes_that_somebody_still_reads_are_not_overwritten_by_the_next_upload() {
    let outer = tempfile::tempdir().unwrap();
    let journal = Journal::open(outer.path()).unwrap();
    let (reader, before) = done(&journal, b"the bytes of the first");
    let (_second, other) = done(&journal, b"those of the second");
    assert_ne!(before, other);
    assert_eq!(std::io::read_to_string(reader.as_ref()).unwrap(), "the bytes of the first");
}

#[test]
fn what_is_large_is_removed_and_only_a_few_folders_are_kept() {
    let outer = tempfile::tempdir().unwrap();
    let journal = Journal::open(outer.path()).unwrap();
    drop(done(&journal, &vec![1; usize::try_from(SMALL).unwrap() + 1]));
    assert_eq!(left_over(&journal), 0);
    let held: Vec<_> = (0..20).map(|_| done(&journal, b"bytes")).collect();
    assert_eq!(left_over(&journal), 4);
    drop(held);
    journal.leave();
    assert_eq!(left_over(&journal), 0);
    drop(done(&journal, b"bytes"));
    assert_eq!(left_over(&journal), 0, "it was kept although the mount has ended");
}

#[test]
fn what_a_mount_keeps_for_its_next_upload_is_left_to_it_by_others() {
    let outer = tempfile::tempdir().unwrap();
    let journal = Journal::open(outer.path()).unwrap();
    drop(done(&journal, b"bytes"));
    let later = SystemTime::now() + 2 * ABANDONED;
    journal.clean(ABANDONED, later).unwrap();
    assert_eq!(left_over(&journal), 1);
    journal.spares.take().unwrap();
    journal.clean(ABANDONED, later).unwrap();
    assert_eq!(left_over(&journal), 0, "nobody has it any more");
}

#[test]
fn a_folder_that_is_used_again_and_again_keeps_no_long_record() {
    let outer = tempfile::tempdir().unwrap();
    let journal = Journal::open(outer.path()).unwrap();
    let mut longest = 0;
    for _ in 0..200 {
        drop(done(&journal, b"bytes"));
        let kept = fs::read_dir(&journal.tmp).unwrap().map(|entry| entry.unwrap().path().join(RECORD));
        longest = kept.map(|record| fs::metadata(record).unwrap().len()).fold(longest, u64::max);
    }
    assert!((8 << 10..=16 << 10).contains(&longest), "{longest}");
}
