//! Snapshots (`format-spec/10-snapshots.md`): the roots of everything.

use super::CLASS_NUMBERS;
use super::wire::{FormatError, Reader, Writer, require_ascending};
use crate::base::limits::{FEATURE_COUNT_MAX, SOURCE_COUNT_MAX, TAG_COUNT_MAX};
use crate::base::{ChunkId, RepositoryId, SnapshotId, Time};

/// Where the bytes of a source came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SourceKind {
    /// A path of the file system.
    Path,
    /// Standard input.
    Stdin,
    /// The output of a command.
    Command,
}

/// One source of a snapshot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// Where from.
    pub kind: SourceKind,
    /// The path, or the name of the stream.
    pub name: Vec<u8>,
    /// Number of its class; 255 when not decided for the whole.
    pub class: u8,
    /// The command and its arguments.
    pub command: Vec<Vec<u8>>,
    /// How the command ended; 0 for all that became a snapshot.
    pub exit_status: i32,
    /// Bytes read.
    pub size_bytes: u64,
    /// BLAKE3 of the whole stream; none for paths.
    pub digest: Option<[u8; 32]>,
}

/// Number of a class that was not decided; sources may have it, files not.
pub const CLASS_UNDECIDED: u8 = 255;

/// What a run read and stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Totals {
    /// Regular files.
    pub files: u64,
    /// Directories.
    pub directories: u64,
    /// Everything else.
    pub others: u64,
    /// Files taken over from the parent without reading.
    pub unchanged_files: u64,
    /// Sources that could not be read, or changed meanwhile.
    pub unread_sources: u64,
    /// Bytes read from sources.
    pub read_bytes: u64,
    /// Plaintext of the chunks that were new.
    pub new_chunk_bytes: u64,
    /// What the repository grew by, packs and index.
    pub stored_bytes: u64,
    /// Content of all files of the snapshot.
    pub content_bytes: u64,
}

/// One point in time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    /// The repository that it belongs to.
    pub repository: RepositoryId,
    /// The time that it stands for.
    pub time: Time,
    /// When the run began.
    pub began: Time,
    /// When the run ended.
    pub ended: Time,
    /// Host.
    pub host: String,
    /// User.
    pub user: String,
    /// Job; empty when none.
    pub job: String,
    /// Program and version.
    pub program: String,
    /// Tags, sorted.
    pub tags: Vec<String>,
    /// Free metadata, sorted by key.
    pub metadata: Vec<(String, String)>,
    /// Paths as backed up, sorted.
    pub paths: Vec<Vec<u8>>,
    /// Sources in order.
    pub sources: Vec<Source>,
    /// Root tree.
    pub root: ChunkId,
    /// The snapshot that files were compared with.
    pub parent: Option<SnapshotId>,
    /// The snapshot that this is a copy of.
    pub original: Option<SnapshotId>,
    /// Totals.
    pub totals: Totals,
    /// Features needed to read it, sorted.
    pub features: Vec<String>,
    /// BLAKE3 of the sorted ids visible when the run began.
    pub seen: [u8; 32],
}

impl Snapshot {
    /// Encodes the body.
    pub fn encode(&self) -> Result<Vec<u8>, FormatError> {
        self.validate()?;
        let mut out = Writer::new();
        out.raw(&self.repository.0).time(self.time).time(self.began).time(self.ended);
        out.text(&self.host, "host")?.text(&self.user, "user")?.text(&self.job, "job")?;
        out.text(&self.program, "program")?;
        out.count16(self.tags.len(), TAG_COUNT_MAX, "tags")?;
        for tag in &self.tags {
            out.text(tag, "tag")?;
        }
        out.count16(self.metadata.len(), TAG_COUNT_MAX, "metadata")?;
        for (key, value) in &self.metadata {
            out.text(key, "metadata key")?.text(value, "metadata value")?;
        }
        out.count16(self.paths.len(), SOURCE_COUNT_MAX, "paths")?;
        for path in &self.paths {
            out.bytes16(path, "path")?;
        }
        out.count16(self.sources.len(), SOURCE_COUNT_MAX, "sources")?;
        for source in &self.sources {
            encode_source(source, &mut out)?;
        }
        out.raw(&self.root.0);
        out.option(self.parent.as_ref().map(|id| id.0.as_slice()));
        out.option(self.original.as_ref().map(|id| id.0.as_slice()));
        for total in self.totals.as_array() {
            out.u64(total);
        }
        out.count16(self.features.len(), FEATURE_COUNT_MAX, "features")?;
        for feature in &self.features {
            out.text(feature, "feature")?;
        }
        out.raw(&self.seen);
        Ok(out.finish())
    }

    /// Decodes a body.
    pub fn decode(bytes: &[u8]) -> Result<Self, FormatError> {
        let mut input = Reader::new(bytes, "snapshot");
        let input = &mut input;
        let snapshot = Self {
            repository: input.repository()?,
            time: input.time("time")?,
            began: input.time("begin")?,
            ended: input.time("end")?,
            host: input.text("host")?,
            user: input.text("user")?,
            job: input.text("job")?,
            program: input.text("program")?,
            tags: list(input, TAG_COUNT_MAX, 2, "tags", |input| input.text("tag"))?,
            metadata: list(input, TAG_COUNT_MAX, 4, "metadata", |input| {
                Ok((input.text("metadata key")?, input.text("metadata value")?))
            })?,
            paths: list(input, SOURCE_COUNT_MAX, 2, "paths", |input| {
                Ok(input.bytes16(u64::from(u16::MAX), "path")?.to_vec())
            })?,
            sources: list(input, SOURCE_COUNT_MAX, 19, "sources", decode_source)?,
            root: ChunkId(input.array("root tree")?),
            parent: optional_id(input, "parent")?.map(SnapshotId),
            original: optional_id(input, "original")?.map(SnapshotId),
            totals: Totals::decode(input)?,
            features: list(input, FEATURE_COUNT_MAX, 2, "features", |input| input.text("feature"))?,
            seen: input.array("seen")?,
        };
        input.clone().finish()?;
        snapshot.validate()?;
        Ok(snapshot)
    }

    fn validate(&self) -> Result<(), FormatError> {
        require_ascending(&self.tags, "order of tags")?;
        require_ascending(&self.paths, "order of paths")?;
        require_ascending(&self.features, "order of features")?;
        let keys: Vec<&String> = self.metadata.iter().map(|(key, _)| key).collect();
        require_ascending(&keys, "order of metadata")?;
        let digests_hold =
            self.sources.iter().all(|source| source.digest.is_none() == (source.kind == SourceKind::Path));
        if !digests_hold {
            return Err(FormatError::invalid("digest of a source"));
        }
        let is_class = |number: u8| number == CLASS_UNDECIDED || CLASS_NUMBERS.contains(&number);
        match self.sources.iter().all(|source| is_class(source.class)) {
            true => Ok(()),
            false => Err(FormatError::invalid("class of a source")),
        }
    }
}

impl Totals {
    fn as_array(self) -> [u64; 9] {
        [
            self.files,
            self.directories,
            self.others,
            self.unchanged_files,
            self.unread_sources,
            self.read_bytes,
            self.new_chunk_bytes,
            self.stored_bytes,
            self.content_bytes,
        ]
    }

    fn decode(input: &mut Reader<'_>) -> Result<Self, FormatError> {
        let mut next = || input.u64("totals");
        Ok(Self {
            files: next()?,
            directories: next()?,
            others: next()?,
            unchanged_files: next()?,
            unread_sources: next()?,
            read_bytes: next()?,
            new_chunk_bytes: next()?,
            stored_bytes: next()?,
            content_bytes: next()?,
        })
    }
}

fn list<T>(
    input: &mut Reader<'_>,
    limit: u64,
    entry_bytes: usize,
    what: &'static str,
    mut decode: impl FnMut(&mut Reader<'_>) -> Result<T, FormatError>,
) -> Result<Vec<T>, FormatError> {
    let count = input.count16(limit, entry_bytes, what)?;
    (0..count).map(|_| decode(input)).collect()
}

fn optional_id(input: &mut Reader<'_>, what: &'static str) -> Result<Option<[u8; 32]>, FormatError> {
    Ok(if input.option(what)? { Some(input.array(what)?) } else { None })
}

fn encode_source(source: &Source, out: &mut Writer) -> Result<(), FormatError> {
    out.u8(match source.kind {
        SourceKind::Path => 0,
        SourceKind::Stdin => 1,
        SourceKind::Command => 2,
    });
    out.bytes16(&source.name, "source name")?.u8(source.class);
    out.count16(source.command.len(), SOURCE_COUNT_MAX, "command")?;
    for argument in &source.command {
        out.bytes16(argument, "argument")?;
    }
    out.i32(source.exit_status).u64(source.size_bytes);
    out.option(source.digest.as_ref().map(|digest| digest.as_slice()));
    Ok(())
}

fn decode_source(input: &mut Reader<'_>) -> Result<Source, FormatError> {
    let kind = match input.u8("source kind")? {
        0 => SourceKind::Path,
        1 => SourceKind::Stdin,
        2 => SourceKind::Command,
        _ => return Err(FormatError::invalid("source kind")),
    };
    Ok(Source {
        kind,
        name: input.bytes16(u64::from(u16::MAX), "source name")?.to_vec(),
        class: input.u8("class")?,
        command: list(input, SOURCE_COUNT_MAX, 2, "command", |input| {
            Ok(input.bytes16(u64::from(u16::MAX), "argument")?.to_vec())
        })?,
        exit_status: input.i32("exit status")?,
        size_bytes: input.u64("source size")?,
        digest: optional_id(input, "digest")?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_snapshot_reads_back_and_every_cut_one_is_refused() {
        let snapshot = Snapshot {
            repository: RepositoryId([1; 16]),
            time: Time::from_seconds(1),
            began: Time::from_seconds(2),
            ended: Time::from_seconds(3),
            host: "h".into(),
            user: "u".into(),
            job: String::new(),
            program: "snap 0".into(),
            tags: vec!["a".into(), "b".into()],
            metadata: vec![("k".into(), "v".into())],
            paths: vec![b"/srv".to_vec()],
            sources: vec![Source {
                kind: SourceKind::Command,
                name: b"db.sql".to_vec(),
                class: 1,
                command: vec![b"pg_dump".to_vec()],
                exit_status: 0,
                size_bytes: 7,
                digest: Some([5; 32]),
            }],
            root: ChunkId([2; 32]),
            parent: Some(SnapshotId([3; 32])),
            original: None,
            totals: Totals { files: 1, ..Totals::default() },
            features: vec![],
            seen: [4; 32],
        };
        let bytes = snapshot.encode().unwrap();
        assert_eq!(Snapshot::decode(&bytes).unwrap(), snapshot);
        for end in 0..bytes.len() {
            assert!(Snapshot::decode(&bytes[..end]).is_err(), "cut at {end}");
        }
        let unsorted = Snapshot { tags: vec!["b".into(), "a".into()], ..snapshot };
        assert!(unsorted.encode().is_err());
    }
}
