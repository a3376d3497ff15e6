use super::*;
use crate::backend::{Backend, ObjectKey};
use crate::format::pack::Content;
use crate::restore::{Overwrite, RestoreError};

fn tree() -> Entry {
    Entry::directory([("a", Entry::directory([("b", Entry::directory([("f", Entry::file("content"))]))]))])
}

#[test]
fn a_symlink_planted_in_the_target_is_never_followed() {
    let store = TestRepository::new(20);
    let (_, snapshot) = store.store(&tree());
    for (planted, overwrite) in [
        ("a", Overwrite::Never),
        ("a/b", Overwrite::Never),
        ("a", Overwrite::IfNewer),
        ("a", Overwrite::Always),
        ("a/b", Overwrite::Always),
        ("a/b/f", Overwrite::Always),
        ("a/b/f", Overwrite::IfChanged),
        ("a/b/f", Overwrite::Never),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let (target, outside) = (folder.path().join("t"), folder.path().join("outside"));
        std::fs::create_dir_all(outside.join("b")).unwrap();
        std::fs::write(outside.join("file"), "untouched").unwrap();
        let before = show_folder(&outside);
        let place = target.join(planted);
        std::fs::create_dir_all(place.parent().unwrap()).unwrap();
        let points_at = if planted == "a/b/f" { outside.join("file") } else { outside.clone() };
        std::os::unix::fs::symlink(points_at, &place).unwrap();
        let stats = restored(&store, &snapshot, &target, |options| options.overwrite = overwrite);
        assert_eq!(show_folder(&outside), before, "{planted} {overwrite:?}");
        let is_replaced = matches!(overwrite, Overwrite::Always | Overwrite::IfChanged);
        assert_eq!(place.symlink_metadata().unwrap().is_symlink(), !is_replaced, "{planted} {overwrite:?}");
        if is_replaced {
            assert_eq!(show_folder(&target), show_tree(&tree()), "{planted} {overwrite:?}");
        } else {
            assert_eq!(stats.failed_count + stats.skipped_files, 1, "{planted} {overwrite:?}");
        }
    }
}

#[test]
fn a_target_that_is_a_symlink_to_a_directory_is_the_users_choice() {
    let store = TestRepository::new(21);
    let (_, snapshot) = store.store(&tree());
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("real")).unwrap();
    std::os::unix::fs::symlink("real", folder.path().join("t")).unwrap();
    restored(&store, &snapshot, &folder.path().join("t"), |_| {});
    assert_eq!(show_folder(&folder.path().join("real")), show_tree(&tree()));
}

#[test]
fn names_of_a_link_group_with_unlike_content_are_files_of_their_own() {
    let store = TestRepository::new(22);
    let grouped = |content: &str| Entry::file(content).with(|node| node.link_device = Some(3));
    let tree = Entry::directory([("1", grouped("one")), ("2", grouped("two!")), ("3", grouped("one"))]);
    let (_, snapshot) = store.store(&tree);
    let folder = tempfile::tempdir().unwrap();
    let stats = restored(&store, &snapshot, folder.path(), |_| {});
    assert_eq!((stats.files, stats.failed_count), (3, 0));
    assert_eq!(show_folder(folder.path()), show_tree(&tree));
    let inode = |name: &str| folder.path().join(name).metadata().unwrap().ino();
    assert_eq!(inode("1"), inode("3"));
    assert_ne!(inode("1"), inode("2"));
    let again = restored(&store, &snapshot, folder.path(), |_| {});
    assert_eq!((again.failed_count, again.restored_bytes), (0, 0));
    assert_eq!(inode("1"), inode("3"));
    assert_eq!(show_folder(folder.path()), show_tree(&tree));
}

#[test]
fn a_directory_that_holds_something_is_not_replaced_by_a_file() {
    let store = TestRepository::new(23);
    let (_, snapshot) = store.store(&Entry::directory([("f", Entry::file("x")), ("g", Entry::file("y"))]));
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(folder.path().join("f/held")).unwrap();
    std::fs::create_dir_all(folder.path().join("g")).unwrap();
    let stats = restored(&store, &snapshot, folder.path(), |_| {});
    assert_eq!((stats.files, stats.failed_count), (1, 1));
    assert!(folder.path().join("f/held").is_dir());
    assert_eq!(std::fs::read(folder.path().join("g")).unwrap(), b"y");
    assert_eq!(show_folder(folder.path()).len(), 3);
}

#[test]
fn deleting_stays_in_restored_directories_and_follows_nothing() {
    let store = TestRepository::new(24);
    let (_, snapshot) = store.store(&tree());
    let folder = tempfile::tempdir().unwrap();
    let (target, outside) = (folder.path().join("t"), folder.path().join("outside"));
    std::fs::create_dir_all(&outside).unwrap();
    std::fs::write(outside.join("kept"), "x").unwrap();
    std::fs::create_dir_all(target.join("b/extra/deep")).unwrap();
    std::fs::write(target.join("b/extra/deep/file"), "x").unwrap();
    std::os::unix::fs::symlink(&outside, target.join("b/extra/link")).unwrap();
    std::os::unix::fs::symlink(&outside, target.join("link")).unwrap();
    let mut options = RestoreOptions { delete: true, dry_run: true, ..RestoreOptions::new(&target) };
    let planned = restore(&store.repository, &snapshot, Some(b"a"), &options).unwrap();
    assert_eq!(planned.deleted, 2);
    assert!(target.join("b/extra/deep/file").exists());
    options.dry_run = false;
    let stats = restore(&store.repository, &snapshot, Some(b"a"), &options).unwrap();
    assert_eq!((stats.deleted, stats.failed_count), (5, 0));
    assert_eq!(show_folder(&target), show_tree(&tree().children[&b"a"[..]]));
    assert!(outside.join("kept").exists());
    let error = restore(&store.repository, &snapshot, None, &options).unwrap_err();
    assert!(matches!(error, RestoreError::Options { .. }));
}

#[test]
fn directories_above_a_source_keep_what_is_beside_it() {
    let store = TestRepository::new(25);
    let (_, mut snapshot) = store.store(&tree());
    snapshot.paths = vec![b"/a/b".to_vec()];
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(folder.path().join("b/extra")).unwrap();
    std::fs::create_dir_all(folder.path().join("beside")).unwrap();
    let options = RestoreOptions { delete: true, ..RestoreOptions::new(folder.path()) };
    let stats = restore(&store.repository, &snapshot, Some(b"a"), &options).unwrap();
    assert_eq!(stats.deleted, 1);
    assert!(folder.path().join("beside").exists());
}

#[test]
fn a_name_is_never_linked_to_a_file_that_this_run_did_not_restore() {
    let store = TestRepository::new(26);
    let grouped = || Entry::file("ours").with(|node| node.link_device = Some(3));
    let (_, snapshot) = store.store(&Entry::directory([("1", grouped()), ("2", grouped())]));
    let folder = tempfile::tempdir().unwrap();
    let read = |name: &str| std::fs::read(folder.path().join(name)).ok();
    std::fs::write(folder.path().join("1"), "of somebody else").unwrap();
    let stats = restored(&store, &snapshot, folder.path(), |options| options.overwrite = Overwrite::Never);
    assert_eq!((stats.files, stats.failed_count), (1, 0));
    assert_eq!((read("1").unwrap(), read("2").unwrap()), (b"of somebody else".to_vec(), b"ours".to_vec()));

    std::fs::remove_file(folder.path().join("2")).unwrap();
    for pack in store.repository.index().packs().unwrap() {
        if pack.content == Content::Data {
            store.memory.delete(&ObjectKey::pack(&pack.id)).unwrap();
        }
    }
    let stats = restored(&store, &snapshot, folder.path(), |_| {});
    assert_eq!((stats.files, stats.failed_count, stats.damaged), (0, 2, true), "{:?}", stats.failed);
    assert_eq!((read("1").unwrap(), read("2")), (b"of somebody else".to_vec(), None));
}

#[test]
fn a_dry_run_names_what_would_be_deleted_and_no_directory_that_is_missing() {
    let store = TestRepository::new(27);
    let (_, snapshot) = store.store(&tree());
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("extra"), "x").unwrap();
    let options = RestoreOptions { delete: true, dry_run: true, ..RestoreOptions::new(folder.path()) };
    let stats = restore(&store.repository, &snapshot, Some(b"a"), &options).unwrap();
    assert_eq!((stats.deleted, stats.failed_count), (1, 0), "{:?}", stats.failed);
    // What stands in the way of a directory is named: below it nothing can be looked at.
    std::os::unix::fs::symlink("extra", folder.path().join("b")).unwrap();
    let stats = restore(&store.repository, &snapshot, Some(b"a"), &options).unwrap();
    assert_eq!((stats.deleted, stats.failed_count), (1, 1), "{:?}", stats.failed);
}
