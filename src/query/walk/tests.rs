use super::super::find::{Find, FindOptions};
use super::super::fixture::Fixture;
use super::super::list::Listing;
use super::super::select::MatchPattern;
use super::*;
use crate::base::Time;
use crate::repository::ChunkWriter;
use crate::repository::DirectoryWriter;

fn paths(entries: impl Iterator<Item = Result<Entry, QueryError>>) -> Vec<Vec<u8>> {
    entries.map(|entry| entry.unwrap().path).collect()
}

fn sorted_depth_first(mut paths: Vec<Vec<u8>>) -> Vec<Vec<u8>> {
    paths.sort_by(|a, b| a.split(|c| *c == b'/').cmp(b.split(|c| *c == b'/')));
    paths
}

fn filled() -> Fixture {
    let fixture = Fixture::new(11);
    for name in ["b/x/deep.sql", "b/x!/deep.sql", "b/x", "a.txt", "b.d/z", "z/B.SQL"] {
        match name {
            "b/x" => {}
            name => fixture.write(name, name.as_bytes()),
        }
    }
    fixture
}

#[test]
fn a_walk_is_sorted_by_components_and_depth_first() {
    let fixture = filled();
    let (_, snapshot) = fixture.backup();
    let reader = ChunkReader::new(&fixture.repository);
    let walked = paths(TreeWalk::new(&reader, snapshot.root, b""));
    assert_eq!(walked, sorted_depth_first(walked.clone()));
    let below: Vec<Vec<u8>> = walked.into_iter().filter(|path| path.starts_with(&fixture.path(""))).collect();
    let names =
        ["a.txt", "b", "b/x", "b/x/deep.sql", "b/x!", "b/x!/deep.sql", "b.d", "b.d/z", "z", "z/B.SQL"];
    assert_eq!(below, names.map(|name| fixture.path(name)));
}

#[test]
fn every_directory_is_left_once_unless_it_is_skipped() {
    let fixture = filled();
    let (_, snapshot) = fixture.backup();
    let reader = ChunkReader::new(&fixture.repository);
    let place = resolve(&reader, &snapshot.root, Some(&fixture.root())).unwrap();
    let run = |skipped: &[u8]| {
        let mut walk = TreeWalk::new(&reader, place.tree().unwrap(), place.path());
        let (mut entries, mut left) = (Vec::new(), 0);
        while let Some(step) = walk.next_step().unwrap() {
            match step {
                Step::Entry(entry) => {
                    if entry.node.name == skipped {
                        walk.skip_directory();
                    }
                    entries.push(entry.node.name);
                }
                Step::Leave { tree_chunks, .. } => {
                    assert_eq!(tree_chunks.len(), 1);
                    left += 1;
                }
            }
        }
        (entries.len(), left)
    };
    assert_eq!(run(b""), (10, 6));
    assert_eq!(run(b"b"), (6, 3));
    assert_eq!(run(b"a.txt"), (10, 6));
}

#[test]
fn paths_resolve_whatever_their_slashes_and_errors_name_the_part_that_fails() {
    let fixture = filled();
    let (_, snapshot) = fixture.backup();
    let reader = ChunkReader::new(&fixture.repository);
    let at = |path: &[u8]| resolve(&reader, &snapshot.root, Some(path));
    assert_eq!(at(b"/").unwrap(), Place::Root { tree: snapshot.root });
    assert_eq!(resolve(&reader, &snapshot.root, None).unwrap(), Place::Root { tree: snapshot.root });
    let file = fixture.path("b/x/deep.sql");
    let found = at(&[b"//", file.as_slice(), b"/"].concat()).unwrap();
    assert_eq!((found.path(), found.tree()), (file.as_slice(), None));
    assert!(matches!(at(&fixture.path("b/none")), Err(QueryError::NotFound { .. })));
    let below = at(&fixture.path("b/x/deep.sql/more/still"));
    assert!(matches!(below, Err(QueryError::NotADirectory { path }) if path == file));
}

#[test]
fn a_listing_is_below_a_directory_and_is_the_entry_of_a_file() {
    let fixture = filled();
    let (_, snapshot) = fixture.backup();
    let reader = ChunkReader::new(&fixture.repository);
    let list = |name: &str, recursive| {
        let place = resolve(&reader, &snapshot.root, Some(&fixture.path(name))).unwrap();
        paths(Listing::new(&reader, &place, recursive))
    };
    assert_eq!(list("b", false), ["b/x", "b/x!"].map(|name| fixture.path(name)));
    assert_eq!(list("b", true).len(), 4);
    assert_eq!(list("a.txt", false), [fixture.path("a.txt")]);
}

#[test]
fn find_matches_names_paths_and_times() {
    let fixture = filled();
    let (_, snapshot) = fixture.backup();
    let reader = ChunkReader::new(&fixture.repository);
    let find = |pattern: &str, ignore_case, oldest, newest| {
        let patterns = vec![MatchPattern::parse(pattern, ignore_case).unwrap()];
        let options = FindOptions { patterns, oldest, newest };
        paths(Find::new(&reader, snapshot.root, &options))
    };
    let all = |names: &[&str]| names.iter().map(|name| fixture.path(name)).collect::<Vec<_>>();
    assert_eq!(find("*.sql", false, None, None), all(&["b/x/deep.sql", "b/x!/deep.sql"]));
    assert_eq!(find("*.sql", true, None, None), all(&["b/x/deep.sql", "b/x!/deep.sql", "z/B.SQL"]));
    assert_eq!(find("x/*.sql", false, None, None), all(&["b/x/deep.sql"]));
    let node = resolve(&reader, &snapshot.root, Some(&fixture.path("b/x/deep.sql"))).unwrap();
    let Place::Node { node, .. } = node else { panic!("a file is a node") };
    let before = Time { seconds: node.mtime.seconds - 1, ..node.mtime };
    assert_eq!(find("x/*.sql", false, Some(node.mtime), Some(node.mtime)).len(), 1);
    assert_eq!(find("x/*.sql", false, None, Some(before)).len(), 0);
}

#[test]
fn far_directories_are_taken_up_again_where_the_walk_stood() {
    let fixture = Fixture::new(12);
    let depth = OPEN_DIRECTORY_COUNT_MAX * 2;
    let mut writer = ChunkWriter::new(fixture.repository.clone(), false).unwrap();
    let mut tree: Option<ChunkId> = None;
    for level in 0..depth {
        let mut directory = DirectoryWriter::new();
        for name in ["a", "d", "z"] {
            let kind = match (name, tree) {
                ("d", Some(tree)) => NodeKind::Directory { tree },
                _ => NodeKind::Fifo,
            };
            directory.push(&node(name, kind), &mut writer).unwrap();
        }
        tree = Some(directory.finish(&mut writer).unwrap());
        assert!(level < depth);
    }
    writer.finish().unwrap();
    let reader = ChunkReader::new(&fixture.repository);
    let walked = paths(TreeWalk::new(&reader, tree.unwrap(), b""));
    assert_eq!(walked.len(), depth * 3);
    assert_eq!(walked, sorted_depth_first(walked.clone()));
    assert_eq!(walked.last().unwrap(), b"/z");
}

fn node(name: &str, kind: NodeKind) -> Node {
    Node {
        name: name.as_bytes().to_vec(),
        kind,
        changed: false,
        sparse: false,
        mode: 0o644,
        uid: 0,
        gid: 0,
        user: String::new(),
        group: String::new(),
        mtime: Time::default(),
        ctime: Time::default(),
        inode: 0,
        link_device: None,
        xattrs: Vec::new(),
    }
}

#[test]
fn a_damaged_directory_costs_only_what_is_below_it() {
    let fixture = Fixture::new(13);
    let mut writer = ChunkWriter::new(fixture.repository.clone(), false).unwrap();
    let mut directory = DirectoryWriter::new();
    let lost = NodeKind::Directory { tree: ChunkId([9; 32]) };
    for (name, kind) in [("a", NodeKind::Fifo), ("lost", lost), ("z", NodeKind::Fifo)] {
        directory.push(&node(name, kind), &mut writer).unwrap();
    }
    let tree = directory.finish(&mut writer).unwrap();
    writer.finish().unwrap();
    let reader = ChunkReader::new(&fixture.repository);
    let walked: Vec<_> = TreeWalk::new(&reader, tree, b"").collect();
    assert_eq!(walked.len(), 4);
    assert!(matches!(&walked[2], Err(QueryError::Unreadable { path, .. }) if path == b"/lost"));
    assert_eq!(walked[3].as_ref().unwrap().path, b"/z");
}

#[test]
fn a_walk_ends_when_the_run_is_stopped() {
    let fixture = filled();
    let (_, snapshot) = fixture.backup();
    let reader = ChunkReader::new(&fixture.repository);
    let mut walk = TreeWalk::new(&reader, snapshot.root, b"");
    assert!(walk.next().unwrap().is_ok());
    fixture.repository.stop_flag().store(true, std::sync::atomic::Ordering::Relaxed);
    assert!(matches!(walk.next(), Some(Err(QueryError::Repository(Error::Interrupted)))));
    assert!(walk.next().is_none());
}
