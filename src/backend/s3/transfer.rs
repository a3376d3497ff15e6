//! Listings in many requests and large reads in parallel ranges.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use object_store::aws::AmazonS3;
use object_store::list::{PaginatedListOptions, PaginatedListStore};
use object_store::path::Path;
use object_store::{GetOptions, GetRange, ObjectMeta, ObjectStore};
use tokio::task::JoinSet;

use super::client::Client;
use super::failure::Failure;
use crate::backend::ErrorKind;

/// Larger reads are split into ranges of this size.
pub(super) const PART_BYTES: u64 = 8 << 20;
/// Limit: ranges of one read under way at once.
const PARTS_AT_ONCE: usize = 4;
/// Limit: listings under way at once.
const LISTINGS_AT_ONCE: usize = 16;

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
    let rest = read_parts(client, path, PART_BYTES..size, first.meta.e_tag.clone()).await?;
    let mut whole = BytesMut::with_capacity(first.data.len() + rest.iter().map(Bytes::len).sum::<usize>());
    whole.extend_from_slice(&first.data);
    rest.iter().for_each(|part| whole.extend_from_slice(part));
    exact(whole.freeze(), size)
}

/// Reads exactly `range`, a large one in parallel.
pub(super) async fn read_range(
    client: &Arc<Client>,
    path: &Path,
    range: Range<u64>,
) -> Result<Bytes, Failure> {
    let length = range.end - range.start;
    if length <= PART_BYTES {
        let part = read(client, path, Some(range), None, u64::MAX).await?;
        return exact(part.data, length);
    }
    let parts = read_parts(client, path, range, None).await?;
    let mut whole = BytesMut::with_capacity(parts.iter().map(Bytes::len).sum());
    parts.iter().for_each(|part| whole.extend_from_slice(part));
    exact(whole.freeze(), length)
}

fn exact(data: Bytes, length: u64) -> Result<Bytes, Failure> {
    if data.len() as u64 == length {
        return Ok(data);
    }
    let detail = format!("it gave {} bytes instead of {length}", data.len());
    Err(Failure::unanswered(ErrorKind::Short, false, detail))
}

/// Reads the pieces of `range` in order, a few at once. Stops at the first that fails or comes back short.
async fn read_parts(
    client: &Arc<Client>,
    path: &Path,
    range: Range<u64>,
    if_match: Option<String>,
) -> Result<Vec<Bytes>, Failure> {
    let mut starts = range.clone().step_by(PART_BYTES as usize).enumerate();
    let mut running = JoinSet::new();
    let mut parts = Vec::new();
    loop {
        while running.len() < PARTS_AT_ONCE
            && let Some((number, start)) = starts.next()
        {
            let (client, path, if_match) = (client.clone(), path.clone(), if_match.clone());
            let piece = start..range.end.min(start + PART_BYTES);
            running.spawn(async move {
                let part = read(&client, &path, Some(piece.clone()), if_match, u64::MAX).await?;
                Ok((number, exact(part.data, piece.end - piece.start)?))
            });
        }
        let Some(done) = running.join_next().await else { break };
        parts.push(joined(done)?);
    }
    parts.sort_unstable_by_key(|(number, _)| *number);
    Ok(parts.into_iter().map(|(_, data)| data).collect())
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

/// Lists what starts with any of `prefixes`, several at once, in no order.
pub(super) async fn list(client: &Arc<Client>, prefixes: Vec<String>) -> Result<Vec<ObjectMeta>, Failure> {
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

async fn list_one(client: &Client, prefix: &str) -> Result<Vec<ObjectMeta>, Failure> {
    let mut objects = Vec::new();
    let mut token: Option<String> = None;
    loop {
        let page = client
            .send(|| {
                let store: Arc<AmazonS3> = client.reads();
                let options = PaginatedListOptions { page_token: token.clone(), ..Default::default() };
                async move { store.list_paginated(Some(prefix), options).await }
            })
            .await?;
        objects.extend(page.result.objects);
        match page.page_token {
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

fn joined<T>(done: Result<Result<T, Failure>, tokio::task::JoinError>) -> Result<T, Failure> {
    done.unwrap_or_else(|error| Err(Failure::unanswered(ErrorKind::Other, false, error.to_string())))
}
