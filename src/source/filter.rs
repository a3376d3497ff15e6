//! Which paths to leave out, and which to take.

use std::ffi::OsStr;
use std::io::{self, BufRead, BufReader, Read};
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path};
use std::sync::Arc;

use globset::{Candidate, Glob, GlobBuilder, GlobMatcher, GlobSet, GlobSetBuilder};

use crate::base::escape::escape_name;

/// Most rules of one filter.
const RULE_COUNT_MAX: usize = 65_536;
/// Longest pattern.
const PATTERN_MAX_BYTES: usize = 16_384;
/// Longest file of patterns that is read.
const PATTERN_FILE_MAX_BYTES: u64 = 64 << 20;

/// A pattern cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("bad pattern \"{pattern}\": {reason}")]
pub struct FilterError {
    /// The pattern, escaped for display.
    pub pattern: String,
    /// What is wrong with it.
    pub reason: String,
}

/// One pattern of a [`Filter`] or an [`IncludeSet`].
///
/// - `/a/b`: exactly that path. `a`: any entry of that name. `a/b`: any path that ends so, at whole names.
/// - `*` and `?` stay within a name, `**` spans directories, `[a-z]` and `{x,y}` are choices, `\` takes the
///   meaning from the next character.
/// - A trailing `/` matches directories only; a leading `!` turns the rule around (`\!` for a name that
///   starts so).
/// - Ignoring case concerns ASCII letters only, since names are bytes.
#[derive(Debug, Clone)]
pub struct Rule {
    glob: Glob,
    negated: bool,
    directories_only: bool,
    /// For each directory on the way down a pattern that starts at the root: what it must match. `None` when
    /// anything may lead there.
    way: Option<Way>,
}

#[derive(Debug, Clone)]
struct Way {
    steps: Vec<GlobMatcher>,
    /// The pattern goes on at any depth after the steps.
    open: bool,
}

impl Rule {
    /// Parses one pattern.
    ///
    /// # Errors
    /// When it is empty, too long, not UTF-8 or not a valid pattern.
    pub fn parse(pattern: &OsStr, ignore_case: bool) -> Result<Self, FilterError> {
        let fail = |reason: String| FilterError { pattern: escape_name(pattern.as_bytes()), reason };
        let text = pattern.to_str().ok_or_else(|| fail("it is not UTF-8".into()))?;
        if text.len() > PATTERN_MAX_BYTES {
            return Err(fail(format!("it is longer than {PATTERN_MAX_BYTES} bytes")));
        }
        let (text, negated) = match text.strip_prefix('!') {
            Some(rest) => (rest, true),
            None => (text, false),
        };
        let body = text.trim_end_matches('/');
        if body.is_empty() {
            return Err(fail("it matches nothing".into()));
        }
        let full = if body.starts_with('/') { body.to_owned() } else { format!("**/{body}") };
        let glob = build(&full, ignore_case).map_err(|error| fail(error.kind().to_string()))?;
        let way = body.starts_with('/').then(|| way_to(body, ignore_case)).flatten();
        Ok(Self { glob, negated, directories_only: body.len() < text.len(), way })
    }

    /// Parses a file of patterns: one a line, without the space around it; empty lines and lines that start
    /// with `#` are passed over.
    ///
    /// # Errors
    /// When the file cannot be read or holds more than 64 MiB; with a [`FilterError`] inside when a pattern
    /// is bad.
    pub fn parse_lines(reader: impl Read, ignore_case: bool) -> io::Result<Vec<Self>> {
        let mut rules = Vec::new();
        let mut reader = BufReader::new(reader.take(PATTERN_FILE_MAX_BYTES + 1));
        let mut line = Vec::new();
        let mut total = 0;
        loop {
            line.clear();
            let read = reader.read_until(b'\n', &mut line)?;
            total += read as u64;
            if total > PATTERN_FILE_MAX_BYTES {
                return Err(io::Error::other(format!("it takes more than {PATTERN_FILE_MAX_BYTES} bytes")));
            }
            if read == 0 {
                return Ok(rules);
            }
            let pattern = line.trim_ascii();
            if !pattern.is_empty() && !pattern.starts_with(b"#") {
                let rule = Self::parse(OsStr::from_bytes(pattern), ignore_case);
                rules.push(rule.map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?);
            }
        }
    }

    /// Tells whether something below `directory` could match this pattern.
    fn may_match_below(&self, directory: &Path) -> bool {
        let Some(way) = &self.way else { return true };
        let mut depth = 0;
        let mut ancestors: Vec<&Path> = directory.ancestors().collect();
        ancestors.pop();
        while let Some(ancestor) = ancestors.pop() {
            match way.steps.get(depth) {
                Some(step) if step.is_match(ancestor) => depth += 1,
                Some(_) => return false,
                None => return way.open,
            }
        }
        true
    }
}

fn build(pattern: &str, ignore_case: bool) -> Result<Glob, globset::Error> {
    GlobBuilder::new(pattern)
        .literal_separator(true)
        .backslash_escape(true)
        .case_insensitive(ignore_case)
        .build()
}

/// Returns a matcher for each directory above what `pattern`, which starts at the root, matches. `None` when
/// its slashes may be inside of a choice, where they do not separate names.
fn way_to(pattern: &str, ignore_case: bool) -> Option<Way> {
    if pattern.contains(['{', '[', '\\']) {
        return None;
    }
    let mut steps = Vec::new();
    for (at, _) in pattern.match_indices('/').skip(1) {
        let head = &pattern[..at];
        if head.contains("**") {
            return Some(Way { steps, open: true });
        }
        steps.push(build(head, ignore_case).ok()?.compile_matcher());
    }
    Some(Way { steps, open: pattern.contains("**") })
}

#[derive(Debug, Default)]
struct Rules {
    set: GlobSet,
    rules: Vec<Rule>,
}

impl Rules {
    fn new(rules: Vec<Rule>) -> Result<Self, FilterError> {
        let fail = |reason: String| FilterError { pattern: "all together".into(), reason };
        if rules.len() > RULE_COUNT_MAX {
            return Err(fail(format!("there are more than {RULE_COUNT_MAX}")));
        }
        let mut set = GlobSetBuilder::new();
        for rule in &rules {
            set.add(rule.glob.clone());
        }
        let set = set.build().map_err(|error| fail(error.kind().to_string()))?;
        Ok(Self { set, rules })
    }

    /// Returns what the last rule that matches `path` says, `None` when none does.
    fn verdict(&self, path: &Path, is_dir: bool) -> Option<bool> {
        if self.rules.is_empty() {
            return None;
        }
        let candidate = Candidate::from_bytes(path.as_os_str().as_bytes());
        let matching = self.set.matches_candidate(&candidate);
        let rules = matching.iter().rev().filter_map(|index| self.rules.get(*index));
        rules.filter(|rule| is_dir || !rule.directories_only).map(|rule| !rule.negated).next()
    }
}

/// What to leave out.
///
/// The last rule that matches a path decides. Whoever walks does not enter a directory that is left out, so
/// that a later `!` rule cannot bring back what is below it.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    rules: Arc<Rules>,
}

impl Filter {
    /// Returns a filter of these rules in their order; without rules nothing is left out.
    ///
    /// # Errors
    /// When there are more than 65,536 or they take too much memory together.
    pub fn new(rules: Vec<Rule>) -> Result<Self, FilterError> {
        Ok(Self { rules: Arc::new(Rules::new(rules)?) })
    }

    /// Tells whether to leave out the entry at the absolute `path`. The directories above are not looked at.
    pub fn excludes(&self, path: &Path, is_dir: bool) -> bool {
        self.rules.verdict(path, is_dir).unwrap_or(false)
    }
}

/// What to take: the paths that match and all that is below them; everything when there are no rules.
#[derive(Debug, Clone, Default)]
pub struct IncludeSet {
    rules: Arc<Rules>,
}

impl IncludeSet {
    /// Returns a set of these rules in their order; without rules it selects everything.
    ///
    /// # Errors
    /// When there are more than 65,536 or they take too much memory together.
    pub fn new(rules: Vec<Rule>) -> Result<Self, FilterError> {
        Ok(Self { rules: Arc::new(Rules::new(rules)?) })
    }

    /// Tells whether the entry at the absolute `path` is wanted: what the rules say of it or else of the
    /// nearest directory above it of which they say something.
    pub fn selects(&self, path: &Path, is_dir: bool) -> bool {
        if self.rules.rules.is_empty() {
            return true;
        }
        let mut ancestors = path.ancestors();
        let own = ancestors.next().and_then(|path| self.rules.verdict(path, is_dir));
        own.or_else(|| ancestors.find_map(|path| self.rules.verdict(path, true))).unwrap_or(false)
    }

    /// Tells whether something below the directory at the absolute path `dir` may be wanted. `false` is
    /// certain.
    pub fn may_contain(&self, dir: &Path) -> bool {
        let is_root = !dir.components().any(|part| matches!(part, Component::Normal(_)));
        is_root
            || self.selects(dir, true)
            || self.rules.rules.iter().any(|rule| !rule.negated && rule.may_match_below(dir))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(patterns: &[&str]) -> Vec<Rule> {
        patterns.iter().map(|pattern| Rule::parse(OsStr::new(pattern), false).unwrap()).collect()
    }

    fn excludes(patterns: &[&str], path: &str, is_dir: bool) -> bool {
        Filter::new(rules(patterns)).unwrap().excludes(Path::new(path), is_dir)
    }

    #[test]
    fn the_truth_table_of_patterns_holds() {
        let table: &[(&[&str], &str, bool, bool)] = &[
            (&[], "/a", false, false),
            (&["a"], "/a", false, true),
            (&["a"], "/x/a", true, true),
            (&["a"], "/x/ab", false, false),
            (&["a"], "/a/b", false, false),
            (&["*.log"], "/var/x.log", false, true),
            (&["*.log"], "/var/x.log/y", false, false),
            (&["/a"], "/a", false, true),
            (&["/a"], "/x/a", false, false),
            (&["/a/*"], "/a/b", false, true),
            (&["/a/*"], "/a/b/c", false, false),
            (&["/a/**"], "/a/b/c", false, true),
            (&["/a/**"], "/a", true, false),
            (&["/a/**/z"], "/a/z", false, true),
            (&["/a/**/z"], "/a/b/c/z", false, true),
            (&["b/c"], "/a/b/c", false, true),
            (&["b/c"], "/a/xb/c", false, false),
            (&["b/c"], "/b/c", false, true),
            (&["b/**/d"], "/a/b/x/y/d", false, true),
            (&["**/d"], "/d", false, true),
            (&["a?c"], "/abc", false, true),
            (&["a?c"], "/a/c", false, false),
            (&["[a-c]x"], "/q/bx", false, true),
            (&["[!a-c]x"], "/q/bx", false, false),
            (&["{x,y}.db"], "/y.db", false, true),
            (&["cache/"], "/v/cache", true, true),
            (&["cache/"], "/v/cache", false, false),
            (&["\\*"], "/v/*", false, true),
            (&["\\*"], "/v/x", false, false),
            (&["*.log", "!keep.log"], "/keep.log", false, false),
            (&["!keep.log", "*.log"], "/keep.log", false, true),
            (&["*", "!*.d/"], "/x.d", true, false),
            (&["*", "!*.d/"], "/x.d", false, true),
            (&["\\!a"], "/!a", false, true),
            (&["A"], "/a", false, false),
            (&[".*"], "/x/.git", true, true),
        ];
        for (patterns, path, is_dir, expected) in table {
            assert_eq!(excludes(patterns, path, *is_dir), *expected, "{patterns:?} on {path}");
        }
    }

    #[test]
    fn names_that_are_not_text_match_too() {
        let filter = Filter::new(rules(&["*.bin", "new*line"])).unwrap();
        assert!(filter.excludes(Path::new(OsStr::from_bytes(b"/d\xff/\xfe\x80.bin")), false));
        assert!(filter.excludes(Path::new("/new\nline"), false));
        assert!(!filter.excludes(Path::new(OsStr::from_bytes(b"/\xff")), false));
    }

    #[test]
    fn case_is_ignored_only_where_asked() {
        let rule = |ignore| vec![Rule::parse(OsStr::new("/Tmp/*.LOG"), ignore).unwrap()];
        assert!(Filter::new(rule(true)).unwrap().excludes(Path::new("/tmp/a.Log"), false));
        assert!(!Filter::new(rule(false)).unwrap().excludes(Path::new("/tmp/a.Log"), false));
    }

    #[test]
    fn bad_patterns_are_named_in_one_line() {
        for bad in ["a[", "{a", "", "!", "/", "x\\"] {
            let error = Rule::parse(OsStr::new(bad), false).unwrap_err();
            assert_eq!(error.pattern, escape_name(bad.as_bytes()));
            assert!(!error.to_string().contains('\n'));
        }
        assert!(Rule::parse(OsStr::from_bytes(b"\xff"), false).is_err());
    }

    #[test]
    fn a_file_of_patterns_has_comments_blank_lines_and_negation() {
        let text = b"# comment\n\n  *.tmp \r\n!keep.tmp\n";
        let filter = Filter::new(Rule::parse_lines(&text[..], false).unwrap()).unwrap();
        assert!(filter.excludes(Path::new("/a.tmp"), false));
        assert!(!filter.excludes(Path::new("/keep.tmp"), false));
        assert!(!filter.excludes(Path::new("/# comment"), false));
        let error = Rule::parse_lines(&b"ok\nbad[\n"[..], false).unwrap_err();
        assert!(error.to_string().contains("bad["), "{error}");
    }

    #[test]
    fn an_include_set_selects_matches_and_what_is_below_them() {
        let set = IncludeSet::new(rules(&["/srv/db", "*.conf", "!/srv/db/tmp"])).unwrap();
        for (path, expected) in [
            ("/srv/db", true),
            ("/srv/db/a/b", true),
            ("/srv/db/tmp", false),
            ("/srv/db/tmp/x", false),
            ("/srv/db/tmp/x.conf", true),
            ("/srv", false),
            ("/etc/a.conf", true),
            ("/etc/hosts", false),
        ] {
            assert_eq!(set.selects(Path::new(path), false), expected, "{path}");
        }
        let all = IncludeSet::default();
        assert!(all.selects(Path::new("/x"), false) && all.may_contain(Path::new("/x")));
    }

    #[test]
    fn may_contain_is_false_only_where_nothing_below_can_match() {
        let set = IncludeSet::new(rules(&["/srv/*/data/x", "/var/**/log"])).unwrap();
        for (dir, expected) in [
            ("/", true),
            ("/srv", true),
            ("/srv/a", true),
            ("/srv/a/data", true),
            ("/srv/a/data/x/below", true),
            ("/srv/a/other", false),
            ("/srv/a/data/y", false),
            ("/etc", false),
            ("/var", true),
            ("/var/a/b/c", true),
        ] {
            assert_eq!(set.may_contain(Path::new(dir)), expected, "{dir}");
        }
        assert!(IncludeSet::new(rules(&["name"])).unwrap().may_contain(Path::new("/any/where")));
        assert!(IncludeSet::new(rules(&["/{a/b,c}/d"])).unwrap().may_contain(Path::new("/a/b")));
    }
}
