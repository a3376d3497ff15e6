use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use super::*;
use crate::base::clock::SeededEntropy;
use crate::base::durable::watch;
use crate::base::{IndexId, Memory, PackId, SystemClock};

fn store(root: &Path) -> LocalBackend {
    LocalBackend::new(
        root.to_path_buf(),
        Arc::new(SeededEntropy::new(1)),
        Arc::new(SystemClock),
        Memory::default(),
    )
}

fn prepared() -> (tempfile::TempDir, LocalBackend) {
    let folder = tempfile::tempdir().unwrap();
    let store = store(&folder.path().join("deep/repository"));
    store.prepare().unwrap();
    (folder, store)
}

fn mode(path: &Path) -> u32 {
    path.metadata().unwrap().permissions().mode() & 0o7777
}

#[test]
fn only_the_owner_can_read_files_and_folders() {
    let (_folder, store) = prepared();
    let key = ObjectKey::pack(&PackId([7; 32]));
    store.put_new(&key, Bytes::from_static(b"x")).unwrap();
    let path = store.path(&key);
    assert_eq!(mode(&path), 0o600);
    for folder in [path.parent().unwrap(), &store.root, &store.root.join("locks")] {
        assert_eq!(mode(folder), 0o700, "{}", folder.display());
    }
    let lock = ObjectKey::lock("prune").unwrap();
    store.replace(&lock, Bytes::from_static(b"x"), None).unwrap().unwrap();
    assert_eq!(mode(&store.path(&lock)), 0o600);
    assert_eq!(mode(&store.root.join("locks/.mutex")), 0o600);
}

#[test]
fn a_missing_directory_is_told_from_a_missing_object() {
    let (folder, store) = prepared();
    let key = ObjectKey::index(&IndexId([1; 32]));
    assert_eq!(store.get(&key, 9).unwrap_err().kind, ErrorKind::NotFound);
    assert_eq!(store.stat(&key).unwrap_err().kind, ErrorKind::NotFound);
    std::fs::remove_dir_all(folder.path()).unwrap();
    let lock = ObjectKey::lock("prune").unwrap();
    let data = Bytes::from_static(b"x");
    let kinds = [
        store.get(&key, 9).unwrap_err().kind,
        store.get_range(&key, 0, 1).unwrap_err().kind,
        store.list(ObjectKind::Pack).unwrap_err().kind,
        store.stat(&key).unwrap_err().kind,
        store.put_new(&key, data.clone()).unwrap_err().kind,
        store.replace(&lock, data, None).unwrap_err().kind,
        store.get_versioned(&lock).unwrap_err().kind,
    ];
    assert_eq!(kinds, [ErrorKind::NoLocation; 7]);
    assert!(!folder.path().exists(), "nothing but prepare makes the directory");
}

#[test]
fn a_folder_removed_meanwhile_is_made_again() {
    let (_folder, store) = prepared();
    store.put_new(&ObjectKey::pack(&PackId([7; 32])), Bytes::from_static(b"x")).unwrap();
    std::fs::remove_dir_all(store.root.join("packs")).unwrap();
    let other = ObjectKey::pack(&PackId([7; 32]));
    assert_eq!(store.put_new(&other, Bytes::from_static(b"x")).unwrap(), PutOutcome::Created);
}

#[test]
fn two_writes_of_equal_bytes_have_different_versions() {
    let (_folder, store) = prepared();
    let lock = ObjectKey::lock("prune").unwrap();
    let data = Bytes::from_static(b"same");
    let mut version = store.replace(&lock, data.clone(), None).unwrap().unwrap();
    let mut seen = vec![version.clone()];
    for _ in 0..50 {
        version = store.replace(&lock, data.clone(), Some(&version)).unwrap().unwrap();
        assert!(!seen.contains(&version));
        assert_eq!(store.get_versioned(&lock).unwrap().unwrap().version, version);
        seen.push(version.clone());
    }
}

#[test]
fn only_old_temporaries_are_removed_and_none_is_ever_listed() {
    let (_folder, store) = prepared();
    let key = ObjectKey::pack(&PackId([7; 32]));
    store.put_new(&key, Bytes::from_static(b"x")).unwrap();
    let folder = store.path(&key).parent().unwrap().to_path_buf();
    let day = Duration::from_secs(86_400);
    for (name, age) in [(".tmp-old", day * 3), (".tmp-young", Duration::ZERO), ("foreign", day * 3)] {
        let file = File::create(folder.join(name)).unwrap();
        file.set_modified(SystemTime::now() - age).unwrap();
    }
    std::fs::create_dir(folder.join(".tmp-folder")).unwrap();
    assert_eq!(store.list(ObjectKind::Pack).unwrap().len(), 1);
    assert_eq!(store.clean_temporaries(86_400).unwrap(), 1);
    assert!(!folder.join(".tmp-old").exists() && folder.join(".tmp-young").exists());
    assert!(folder.join("foreign").exists() && store.path(&key).exists());
}

#[test]
fn a_failed_write_leaves_no_temporary_and_names_the_cause() {
    let (_folder, store) = prepared();
    let key = ObjectKey::index(&IndexId([1; 32]));
    std::fs::remove_dir(store.root.join("index")).unwrap();
    std::fs::write(store.root.join("index"), b"in the way").unwrap();
    let error = store.put_new(&key, Bytes::from_static(b"x")).unwrap_err();
    assert!(error.to_string().contains(key.path()) && error.source.is_some(), "{error}");
    assert_eq!(std::fs::read(store.root.join("index")).unwrap(), b"in the way");
}

/// object_store wrote no file to disk unless it was asked to, and answered that it had (its #643).
#[test]
fn an_object_and_its_name_are_on_disk_before_a_write_is_answered_and_a_deletion_too() {
    use std::os::unix::fs::MetadataExt;
    let (_folder, store) = prepared();
    let number = |path: &Path| path.symlink_metadata().unwrap().ino();
    let written = |path: &Path, length: u64| {
        let synced = watch::take();
        let folder = number(path.parent().unwrap());
        let file = synced.iter().position(|one| *one == (number(path), length));
        let name = synced.iter().rposition(|one| one.0 == folder);
        assert!(file.is_some() && file < name, "{}: {synced:?}", path.display());
    };
    let key = ObjectKey::pack(&PackId([7; 32]));
    let path = store.path(&key);
    for length in [0, 1, 100_000, 3 << 20] {
        watch::take();
        store.put_new(&key, vec![1; length].into()).unwrap();
        written(&path, length as u64);
        // Whoever wrote what is there already may not have come so far.
        store.put_new(&key, vec![1; length].into()).unwrap();
        assert_eq!(watch::take().last().unwrap().0, number(path.parent().unwrap()));
        store.delete(&key).unwrap();
        assert_eq!(watch::take().last().unwrap().0, number(path.parent().unwrap()));
    }
    let lock = ObjectKey::lock("prune").unwrap();
    let mut version = None;
    for length in [3, 3, 5] {
        watch::take();
        version = store.replace(&lock, vec![2; length].into(), version.as_ref()).unwrap();
        assert!(version.is_some());
        written(&store.path(&lock), length as u64);
    }
}
