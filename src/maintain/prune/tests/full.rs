//! Laws of prune in a store that has space for only so many bytes, and none kept for maintenance.

use std::sync::Arc;

use bytes::Bytes;

use super::laws::require_no_garbage;
use super::world::{World, files, options};
use crate::backend::memory::MemoryBackend;
use crate::backend::{
    Backend, BackendError, ErrorKind, ObjectInfo, ObjectKey, ObjectKind, PutOutcome, Version, Versioned,
};
use crate::maintain::prune::{PruneError, prune};

/// A store in memory with a bound, which leases do not count for.
#[derive(Debug)]
struct Bounded {
    inner: MemoryBackend,
    max_bytes: u64,
}

fn bytes_of(store: &MemoryBackend) -> u64 {
    let objects = store.objects().into_iter().filter(|(key, _)| key.kind() != ObjectKind::Lock);
    objects.map(|(_, data)| data.len() as u64).sum()
}

impl Backend for Bounded {
    fn location(&self) -> String {
        self.inner.location()
    }

    fn prepare(&self) -> Result<(), BackendError> {
        self.inner.prepare()
    }

    fn put_new(&self, key: &ObjectKey, data: Bytes) -> Result<PutOutcome, BackendError> {
        if bytes_of(&self.inner) + data.len() as u64 > self.max_bytes {
            return Err(BackendError::new(ErrorKind::Full, format!("no space for {key}")));
        }
        self.inner.put_new(key, data)
    }

    fn get(&self, key: &ObjectKey, limit_bytes: u64) -> Result<Bytes, BackendError> {
        self.inner.get(key, limit_bytes)
    }

    fn get_range(&self, key: &ObjectKey, offset: u64, length_bytes: u64) -> Result<Bytes, BackendError> {
        self.inner.get_range(key, offset, length_bytes)
    }

    fn list(&self, kind: ObjectKind) -> Result<Vec<ObjectInfo>, BackendError> {
        self.inner.list(kind)
    }

    fn stat(&self, key: &ObjectKey) -> Result<ObjectInfo, BackendError> {
        self.inner.stat(key)
    }

    fn delete(&self, key: &ObjectKey) -> Result<(), BackendError> {
        self.inner.delete(key)
    }

    fn get_versioned(&self, key: &ObjectKey) -> Result<Option<Versioned>, BackendError> {
        self.inner.get_versioned(key)
    }

    fn replace(
        &self,
        key: &ObjectKey,
        data: Bytes,
        expected: Option<&Version>,
    ) -> Result<Option<Version>, BackendError> {
        self.inner.replace(key, data, expected)
    }
}

/// A store with packs that go, one that is needed in part, and many index objects that name one of each.
fn world() -> World {
    let world = World::new(70);
    let mut gone: Vec<_> = [100, 200].map(|from| world.backup(&files(&[("a", &numbers(from, 30))]))).into();
    let mut needed = numbers(100, 10);
    for from in (0..100).step_by(10) {
        gone.push(world.backup(&files(&[("b", &numbers(from, 2))])));
        needed.extend(numbers(from, 2));
    }
    world.backup(&files(&[("c", &needed)]));
    world.forget(&gone);
    world
}

fn numbers(from: u32, count: u32) -> Vec<u32> {
    (from..from + count).collect()
}

#[test]
fn a_store_with_next_to_no_space_loses_what_nothing_needs_and_uses_the_space_that_this_gives() {
    let (mut refused, mut one_by_one) = (Vec::new(), Vec::new());
    for room in (0..2_000).step_by(50) {
        let (world, context) = (world(), format!("{room} bytes"));
        let store = Bounded { inner: world.store.clone(), max_bytes: bytes_of(&world.store) + room };
        match prune(&world.open_through(Arc::new(store)).unwrap(), options(0)) {
            Ok(report) => {
                assert_eq!((report.is_full, report.restarts), (false, 0), "{context}: {report:?}");
                require_no_garbage(&world, &context);
                if report.indexes_written.count >= 10 {
                    one_by_one.push(room);
                }
            }
            Err(PruneError::Repository(error)) if error.is_full() => refused.push(room),
            Err(error) => panic!("{context}: {error}"),
        }
        world.require_whole(&context);
        prune(&world.open(), options(0)).unwrap();
        world.require_whole(&format!("{context}, then enough"));
        require_no_garbage(&world, &format!("{context}, then enough"));
    }
    println!("refused with {refused:?}, index objects one by one with {one_by_one:?}");
    // Less than a plan takes is too little; what is more is enough.
    assert!(refused.iter().all(|room| *room < 1_000) && !one_by_one.is_empty());
}
