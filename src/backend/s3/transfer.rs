//! Listings in many requests and large reads in parallel ranges.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::{BufMut, Bytes, BytesMut};
use object_store::aws::AmazonS3;
use object_store::list::{PaginatedListOptions, PaginatedListStore};
use object_store::path::Path;
use object_store::{GetOptions, GetRange, ObjectMeta, ObjectStore};
use tokio::task::JoinSet;

use super::client::Client;
use super::failure::Failure;
use crate::backend::ErrorKind;

/// Larger reads are split into ranges of this size.
pub(super) const PART_BYTES: u64 = 16 << 20;
/// Reads from this size on use memory again.
const POOLED_READ_BYTES: u64 = 1 << 20;
/// Limit: ranges of one read under way at once.
const PARTS_AT_ONCE: usize = 4;
/// Limit: listings under way at once.
const LISTINGS_AT_ONCE: usize = 16;
/// Names that a listing by one digit may be expected to hold; more, and it goes by two.
const NAMES_PER_DIGIT_MAX: u64 = 4_000;

/// A read object, or what was asked of it.
pub(super) struct Part {
    pub(super) data: Bytes,
    pub(super) meta: ObjectMeta,
}

/// Reads `range`, or the whole object, with one request; refuses a whole object larger than `limit_bytes`
/// before its body is read. A range that ends behind the object gives what is there.
pub(super) async fn read(
    client: &Client,
    path: &Path,
    range: Option<Range<u64>>,
    if_match: Option<String>,
    limit_bytes: u64,
) -> Result<Part, Failure> {
    let part = client
        .send(|| {
            let store = client.reads();
            let options = GetOptions {
                range: range.clone().map(GetRange::Bounded),
                if_match: if_match.clone(),
                ..Default::default()
            };
            async move {
                let answer = store.get_opts(path, options).await?;
                let meta = answer.meta.clone();
                if meta.size > limit_bytes {
                    return Ok(Part { data: Bytes::new(), meta });
                }
                Ok(Part { data: answer.bytes().await?, meta })
            }
        })
        .await?;
    if part.meta.size > limit_bytes {
        let detail = format!("it has {} bytes, more than the {limit_bytes} allowed", part.meta.size);
        return Err(Failure::unanswered(ErrorKind::Short, false, detail));
    }
    Ok(part)
}

/// Reads a whole object, large ones in parallel ranges of one and the same version.
pub(super) async fn read_whole(
    client: &Arc<Client>,
    path: &Path,
    limit_bytes: u64,
) -> Result<Bytes, Failure> {
    if limit_bytes <= PART_BYTES {
        return Ok(read(client, path, None, None, limit_bytes).await?.data);
    }
    let first = match read(client, path, Some(0..PART_BYTES), None, limit_bytes).await {
        // An empty object has no range.
        Err(failure) if failure.status == 416 => {
            return Ok(read(client, path, None, None, limit_bytes).await?.data);
        }
        other => other?,
    };
    let size = first.meta.size;
    if size <= PART_BYTES {
        return Ok(first.data);
    }
    let whole = BytesMut::with_capacity(usize::try_from(size).unwrap_or(0));
    read_parts(client, path, 0..size, whole, Some(first)).await
}

/// Reads exactly `range`, a large one in parallel.
pub(super) async fn read_range(
    client: &Arc<Client>,
    path: &Path,
    range: Range<u64>,
) -> Result<Bytes, Failure> {
    let length = range.end - range.start;
    if length <= PART_BYTES {
        let capacity = usize::try_from(length).unwrap_or(usize::MAX);
        if length < POOLED_READ_BYTES {
            let fresh = || Vec::with_capacity(capacity);
            return Ok(read_into(client, path, range, None, fresh(), fresh).await?.into());
        }
        let mut room = client.buffers().take(capacity);
        let (place, fresh) = (std::mem::take(&mut *room), || Vec::with_capacity(capacity));
        *room = read_into(client, path, range, None, place, fresh).await?;
        return Ok(room.share());
    }
    let whole = BytesMut::with_capacity(usize::try_from(length).unwrap_or(0));
    read_parts(client, path, range, whole, None).await
}

fn exact(data: Bytes, length: u64) -> Result<Bytes, Failure> {
    if data.len() as u64 == length {
        return Ok(data);
    }
    let detail = format!("it gave {} bytes instead of {length}", data.len());
    Err(Failure::unanswered(ErrorKind::Short, false, detail))
}

/// Reads the pieces of `range`, a few at once, each into its place of `whole`, which has room for them all;
/// `first` is the first piece if that was read before, and the others have to be of its version. Stops at the
/// first that fails or comes back short.
async fn read_parts(
    client: &Arc<Client>,
    path: &Path,
    range: Range<u64>,
    mut whole: BytesMut,
    first: Option<Part>,
) -> Result<Bytes, Failure> {
    let part_bytes = PART_BYTES as usize;
    let length = range.end - range.start;
    let if_match = first.as_ref().and_then(|first| first.meta.e_tag.clone());
    let mut start = range.start;
    if let Some(first) = first {
        start += first.data.len() as u64;
        whole.extend_from_slice(&first.data);
    }
    let mut free = whole.split_off(whole.len());
    let mut running = JoinSet::new();
    let mut parts = Vec::new();
    loop {
        while running.len() < PARTS_AT_ONCE && start < range.end {
            let rest = free.split_off(part_bytes.min(free.capacity()));
            let place = std::mem::replace(&mut free, rest);
            let (client, path, if_match) = (client.clone(), path.clone(), if_match.clone());
            let piece = start..range.end.min(start + PART_BYTES);
            start = piece.end;
            let fresh = move || BytesMut::with_capacity(part_bytes);
            running.spawn(async move {
                Ok((piece.start, read_into(&client, &path, piece, if_match, place, fresh).await?))
            });
        }
        let Some(done) = running.join_next().await else { break };
        parts.push(joined(done)?);
    }
    parts.sort_unstable_by_key(|(start, _)| *start);
    // Each continues the one before, so nothing is copied unless an attempt failed.
    parts.into_iter().for_each(|(_, part)| whole.unsplit(part));
    exact(whole.freeze(), length)
}

/// Reads exactly `range` into `place`, which is empty. A second attempt takes fresh memory.
async fn read_into<P: BufMut>(
    client: &Client,
    path: &Path,
    range: Range<u64>,
    if_match: Option<String>,
    place: P,
    fresh: impl Fn() -> P,
) -> Result<P, Failure> {
    let length = usize::try_from(range.end - range.start).unwrap_or(usize::MAX);
    let place = Mutex::new(Some(place));
    let fresh = &fresh;
    let (filled, filled_bytes) = client
        .send(|| {
            let store = client.reads();
            let options = GetOptions {
                range: Some(GetRange::Bounded(range.clone())),
                if_match: if_match.clone(),
                ..Default::default()
            };
            let place = place.lock().unwrap_or_else(PoisonError::into_inner).take();
            async move {
                let mut place = place.unwrap_or_else(fresh);
                let mut filled_bytes = 0;
                let mut stream = store.get_opts(path, options).await?.into_stream();
                while let Some(frame) = poll_fn(|context| stream.as_mut().poll_next(context)).await {
                    let frame = frame?;
                    // More than was asked for would run into what stands behind.
                    let wanted = frame.get(..length - filled_bytes).unwrap_or(&frame);
                    place.put_slice(wanted);
                    filled_bytes += wanted.len();
                }
                Ok((place, filled_bytes))
            }
        })
        .await?;
    if filled_bytes == length {
        return Ok(filled);
    }
    let detail = format!("it gave {filled_bytes} bytes instead of {length}");
    Err(Failure::unanswered(ErrorKind::Short, false, detail))
}

/// Lists at most one name, to see that listing works.
pub(super) async fn list_first(client: &Client, prefix: String) -> Result<(), Failure> {
    let answer = client.send(|| {
        let (store, prefix) = (client.reads(), prefix.clone());
        let options = PaginatedListOptions { max_keys: Some(1), ..Default::default() };
        async move { store.list_paginated(Some(&prefix), options).await }
    });
    answer.await.map(|_| ())
}

/// Lists what stands below `folder` under names that begin with random hexadecimal digits. What does not fit
/// one page is listed anew by digits, several of them at once.
pub(super) async fn list_spread(client: &Arc<Client>, folder: &str) -> Result<Vec<ObjectMeta>, Failure> {
    let (objects, token) = list_page(client, folder, None).await?;
    if token.is_none() {
        return Ok(objects);
    }
    let last = objects.last().map(|last| last.location.as_ref()).unwrap_or_default();
    let reached = last.strip_prefix(folder).and_then(|name| u64::from_str_radix(name.get(..2)?, 16).ok());
    // The names are spread evenly, so the place of the last says how many there are.
    let expected = objects.len() as u64 * 256 / (reached.unwrap_or(0) + 1);
    let prefixes = match expected / 16 > NAMES_PER_DIGIT_MAX {
        false => (0..16).map(|digit| format!("{folder}{digit:x}")).collect(),
        true => (0..256).map(|digits| format!("{folder}{digits:02x}")).collect(),
    };
    list(client, prefixes).await
}

/// Lists what starts with any of `prefixes`, several at once, in no order.
async fn list(client: &Arc<Client>, prefixes: Vec<String>) -> Result<Vec<ObjectMeta>, Failure> {
    let mut waiting = VecDeque::from(prefixes);
    let mut running = JoinSet::new();
    let mut objects = Vec::new();
    loop {
        while running.len() < LISTINGS_AT_ONCE
            && let Some(prefix) = waiting.pop_front()
        {
            let client = client.clone();
            running.spawn(async move { list_one(&client, &prefix).await });
        }
        let Some(done) = running.join_next().await else { break };
        objects.append(&mut joined(done)?);
    }
    Ok(objects)
}

/// Lists what starts with `prefix`, page by page.
pub(super) async fn list_one(client: &Client, prefix: &str) -> Result<Vec<ObjectMeta>, Failure> {
    let mut objects = Vec::new();
    let mut token: Option<String> = None;
    loop {
        let (mut page, next) = list_page(client, prefix, token.clone()).await?;
        objects.append(&mut page);
        match next {
            None => return Ok(objects),
            // It would go on for ever.
            same if same == token => {
                let detail = "the server gave the same page of the listing twice";
                return Err(Failure::unanswered(ErrorKind::Other, false, detail));
            }
            next => token = next,
        }
    }
}

/// Returns one page of a listing, and what to ask the next one with.
async fn list_page(
    client: &Client,
    prefix: &str,
    token: Option<String>,
) -> Result<(Vec<ObjectMeta>, Option<String>), Failure> {
    let page = client
        .send(|| {
            let store: Arc<AmazonS3> = client.reads();
            let options = PaginatedListOptions { page_token: token.clone(), ..Default::default() };
            async move { store.list_paginated(Some(prefix), options).await }
        })
        .await?;
    Ok((page.result.objects, page.page_token))
}

fn joined<T>(done: Result<Result<T, Failure>, tokio::task::JoinError>) -> Result<T, Failure> {
    done.unwrap_or_else(|error| Err(Failure::unanswered(ErrorKind::Other, false, error.to_string())))
}
