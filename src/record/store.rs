//! Records on disk: JSON Lines, one record a line, each written as soon as its trial ends.
//!
//! A writer that is killed leaves at worst one line cut in half, at the end. Reading names every line that is no record
//! and returns all that are: a broken line costs itself and nothing else. Never panics, whatever the bytes.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::schema::{Record, SCHEMA};

/// A file of records could not be written or read.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error("cannot write records to `{path}`")]
    Write { path: PathBuf, source: io::Error },
    #[error("cannot read records from `{path}`")]
    Read { path: PathBuf, source: io::Error },
    #[error("`{path}` holds no record: expected JSON Lines, in a directory in files that end in .jsonl")]
    NoRecords { path: PathBuf },
}

/// Where a run's records go by default: `DIRECTORY/ID/2026-11-22T09-12-44Z.jsonl`.
#[must_use]
pub fn default_path(directory: &Path, id: &str, now: SystemTime) -> PathBuf {
    // No colons: they are not allowed in file names everywhere, and `scp` takes them for a host.
    let time = humantime::format_rfc3339_seconds(now).to_string().replace(':', "-");
    directory.join(id).join(format!("{time}.jsonl"))
}

/// A file that records are appended to.
#[derive(Debug)]
pub struct Store {
    path: PathBuf,
    file: File,
}

impl Store {
    /// Makes a new file at `path`, and the directories above it; where one is there already, beside it with `-2`, `-3`
    /// and so on before its extension, so that two runs never share a file.
    ///
    /// # Errors
    /// [`StoreError::Write`].
    pub fn create(path: &Path) -> Result<Self, StoreError> {
        let failed = |source| StoreError::Write {
            path: path.to_owned(),
            source,
        };
        if let Some(directory) = path.parent() {
            fs::create_dir_all(directory).map_err(failed)?;
        }
        for count in 1_u32.. {
            let path = numbered(path, count);
            match OpenOptions::new().write(true).create_new(true).open(&path) {
                Ok(file) => return Ok(Self { path, file }),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(failed(error)),
            }
        }
        unreachable!("a directory with 2³² files of one name")
    }

    /// Writes one record as one line, at once.
    ///
    /// # Errors
    /// [`StoreError::Write`].
    pub fn append(&mut self, record: &Record) -> Result<(), StoreError> {
        let write = |file: &mut File| {
            let mut line = serde_json::to_vec(record)?;
            line.push(b'\n');
            file.write_all(&line)
        };
        write(&mut self.file).map_err(|source| StoreError::Write {
            path: self.path.clone(),
            source,
        })
    }

    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}

/// `path` for the first, `path-2` and so on before the extension for those after it.
fn numbered(path: &Path, count: u32) -> PathBuf {
    if count == 1 {
        return path.to_owned();
    }
    let mut name = path.file_stem().unwrap_or_default().to_owned();
    name.push(format!("-{count}"));
    if let Some(extension) = path.extension() {
        name.push(".");
        name.push(extension);
    }
    path.with_file_name(name)
}

/// What was read: every whole record in order, and every line that is none.
#[derive(Debug, Default)]
pub struct Read {
    pub records: Vec<Record>,
    pub problems: Vec<Problem>,
}

/// A line that is no record.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}:{line}: {what}", path.display())]
pub struct Problem {
    pub path: PathBuf,
    /// Counts from 1.
    pub line: usize,
    /// What was expected, and what came.
    pub what: String,
}

/// Reads a file, or every file below a directory that ends in `.jsonl`, in the order of their names.
///
/// # Errors
/// [`StoreError::Read`] and [`StoreError::NoRecords`]; lines that are no records are not errors but problems.
pub fn read(path: &Path) -> Result<Read, StoreError> {
    let mut read = Read::default();
    for file in &files(path)? {
        let bytes = fs::read(file).map_err(failed(file))?;
        read_lines(file, &bytes, &mut read);
    }
    if read.records.is_empty() && read.problems.is_empty() {
        return Err(StoreError::NoRecords { path: path.to_owned() });
    }
    Ok(read)
}

/// The files that [`read`] reads: a file itself, or every one below a directory that ends in `.jsonl`, in the order of their names.
///
/// # Errors
/// [`StoreError::Read`].
pub fn files(path: &Path) -> Result<Vec<PathBuf>, StoreError> {
    if !path.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let mut files = Vec::new();
    collect(path, &mut files).map_err(failed(path))?;
    files.sort();
    Ok(files)
}

fn failed(path: &Path) -> impl FnOnce(io::Error) -> StoreError {
    let path = path.to_owned();
    |source| StoreError::Read { path, source }
}

/// Symbolic links to directories are not followed: they may lead round in a circle.
fn collect(directory: &Path, files: &mut Vec<PathBuf>) -> io::Result<()> {
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let path = entry.path();
        if entry.file_type()?.is_dir() {
            collect(&path, files)?;
        } else if path.extension().is_some_and(|extension| extension == "jsonl") {
            files.push(path);
        }
    }
    Ok(())
}

fn read_lines(path: &Path, bytes: &[u8], read: &mut Read) {
    let before = read.records.len();
    for (index, line) in bytes.split_inclusive(|byte| *byte == b'\n').enumerate() {
        if line.trim_ascii().is_empty() {
            continue;
        }
        match parse(line) {
            Ok(record) => read.records.push(record),
            Err(mut what) => {
                let whole = read.records.len() - before;
                what.push_str(&match whole {
                    0 => "; no whole record comes before it in this file".to_owned(),
                    1 => "; 1 whole record comes before it".to_owned(),
                    _ => format!("; {whole} whole records come before it"),
                });
                read.problems.push(Problem {
                    path: path.to_owned(),
                    line: index + 1,
                    what,
                });
            }
        }
    }
}

/// One line; the error is what was expected and what came.
fn parse(line: &[u8]) -> Result<Record, String> {
    let bytes = line.trim_ascii();
    let json: serde_json::Value = serde_json::from_slice(bytes).map_err(|error| {
        if error.is_eof() {
            format!(
                "expected a whole record, the line ends within one: cut in half after {} bytes",
                bytes.len()
            )
        } else {
            format!(
                "expected a record as JSON, column {} is not: {}",
                error.column(),
                worded(&error)
            )
        }
    })?;
    match json.get("schema") {
        Some(serde_json::Value::String(schema)) if schema == SCHEMA => {}
        Some(schema) => {
            return Err(format!(
                "expected a record of schema \"{SCHEMA}\", found {}",
                brief(schema)
            ));
        }
        None => {
            return Err(format!(
                "expected a record with the key `schema` (\"{SCHEMA}\"), found {}",
                brief(&json)
            ));
        }
    }
    serde_json::from_value(json)
        .map_err(|error| format!("expected a record of schema \"{SCHEMA}\": {}", worded(&error)))
}

/// The error without its place: the line counts from the record's beginning, not the file's.
fn worded(error: &serde_json::Error) -> String {
    let text = error.to_string();
    text.split(" at line ").next().unwrap_or_default().to_owned()
}

fn brief(json: &serde_json::Value) -> String {
    let text = json.to_string();
    match text.char_indices().nth(40) {
        Some((end, _)) => format!("`{}…`", &text[..end]),
        None => format!("`{text}`"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::fixture;
    use proptest::prelude::*;

    fn written(records: &[Record]) -> (tempfile::TempDir, PathBuf) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("results/exhaustion/a.jsonl");
        let mut store = Store::create(&path).unwrap();
        for record in records {
            store.append(record).unwrap();
        }
        (directory, path)
    }

    fn as_json(records: &[Record]) -> serde_json::Value {
        serde_json::to_value(records).unwrap()
    }

    #[test]
    fn records_are_read_as_they_were_written() {
        let records = fixture::active_closer();
        let (_directory, path) = written(&records);
        assert_eq!(
            fs::read(&path).unwrap().iter().filter(|byte| **byte == b'\n').count(),
            4
        );
        let read = read(&path).unwrap();
        assert_eq!(as_json(&read.records), as_json(&records));
        assert_eq!(read.problems, []);
    }

    #[test]
    fn a_record_is_on_disk_before_the_store_is_closed() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a.jsonl");
        let mut store = Store::create(&path).unwrap();
        store.append(&fixture::exhaustion()).unwrap();
        assert_eq!(read(&path).unwrap().records.len(), 1);
    }

    #[test]
    fn a_record_cut_in_half_costs_only_itself() {
        let (_directory, path) = written(&fixture::active_closer());
        let bytes = fs::read(&path).unwrap();
        fs::write(&path, &bytes[..bytes.len() - 500]).unwrap();
        let cut = read(&path).unwrap();
        assert_eq!(cut.records.len(), 3);
        let problem = cut.problems[0].to_string();
        assert!(problem.contains("a.jsonl:4: expected a whole record"), "{problem}");
        assert!(
            problem.contains("cut in half") && problem.ends_with("; 3 whole records come before it"),
            "{problem}"
        );
    }

    #[test]
    fn a_second_store_of_the_same_name_has_a_file_of_its_own() {
        let (_directory, path) = written(&fixture::active_closer());
        let mut second = Store::create(&path).unwrap();
        second.append(&fixture::exhaustion()).unwrap();
        assert_eq!(second.path().file_name().unwrap(), "a-2.jsonl");
        assert_eq!(read(&path).unwrap().records.len(), 4);
        assert_eq!(read(second.path()).unwrap().records.len(), 1);
    }

    #[test]
    fn a_record_of_another_schema_is_refused_by_name() {
        let (_directory, path) = written(&[fixture::exhaustion()]);
        let text = fs::read_to_string(&path).unwrap().replace(SCHEMA, "linger.record/2");
        fs::write(&path, text).unwrap();
        let problem = read(&path).unwrap().problems[0].to_string();
        assert!(
            problem.contains("expected a record of schema \"linger.record/1\", found `\"linger.record/2\"`"),
            "{problem}"
        );
    }

    #[test]
    fn a_line_that_is_no_record_is_told_with_its_number() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a.jsonl");
        fs::write(&path, "\n{\"schema\": \"linger.record/1\"}\nnot json\n[1, 2]\n\u{0}\n").unwrap();
        let problems: Vec<String> = read(&path)
            .unwrap()
            .problems
            .iter()
            .map(|p| format!("{} {}", p.line, p.what))
            .collect();
        assert!(
            problems[0].starts_with("2 expected a record of schema \"linger.record/1\": missing field"),
            "{problems:?}"
        );
        assert!(
            problems[1].starts_with("3 expected a record as JSON, column"),
            "{problems:?}"
        );
        assert!(
            problems[2].starts_with("4 expected a record with the key `schema`"),
            "{problems:?}"
        );
        assert_eq!(problems.len(), 4);
    }

    #[test]
    fn a_directory_is_read_file_by_file_in_the_order_of_names() {
        let directory = tempfile::tempdir().unwrap();
        for (name, repeat) in [("b/2.jsonl", 3), ("b/1.jsonl", 2), ("a.jsonl", 1)] {
            let record = Record {
                repeat,
                ..fixture::exhaustion()
            };
            Store::create(&directory.path().join(name))
                .unwrap()
                .append(&record)
                .unwrap();
        }
        fs::write(directory.path().join("README.md"), "not a record").unwrap();
        let read = read(directory.path()).unwrap();
        assert_eq!(read.records.iter().map(|r| r.repeat).collect::<Vec<_>>(), [1, 2, 3]);
        assert_eq!(read.problems, []);
    }

    #[test]
    fn nothing_to_read_is_an_error() {
        let directory = tempfile::tempdir().unwrap();
        assert!(matches!(read(directory.path()), Err(StoreError::NoRecords { .. })));
        let absent = read(&directory.path().join("absent.jsonl")).unwrap_err();
        assert!(absent.to_string().contains("absent.jsonl"), "{absent}");
        let cause = std::error::Error::source(&absent).unwrap().to_string();
        assert!(cause.contains("No such file"), "{cause}");
    }

    #[test]
    fn the_default_path_has_the_scenario_and_the_time_in_utc() {
        let now = humantime::parse_rfc3339("2026-11-22T09:12:44.9Z").unwrap();
        assert_eq!(
            default_path(Path::new("results"), "exhaustion", now),
            Path::new("results/exhaustion/2026-11-22T09-12-44Z.jsonl")
        );
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            read_lines(Path::new("a.jsonl"), &bytes, &mut Read::default());
        }

        #[test]
        fn a_record_cut_or_damaged_anywhere_is_read_without_a_panic(at in any::<prop::sample::Index>(), byte in any::<u8>()) {
            let mut line = serde_json::to_vec(&fixture::unavailable()).unwrap();
            let at = at.index(line.len());
            let mut read = Read::default();
            read_lines(Path::new("a.jsonl"), &line[..at], &mut read);
            prop_assert_eq!((read.records.len(), read.problems.len()), (0, usize::from(at > 0)));
            line[at] = byte;
            read_lines(Path::new("a.jsonl"), &line, &mut read);
        }
    }
}
