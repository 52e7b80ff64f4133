//! Keeps what a machine's console said, beside the records of the trials that ran in it.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// Writes it to `<records without .jsonl>.<kernel>.console`; where that is there already, with `-2` and so on after the
/// kernel: two images may be of one release.
///
/// # Errors
/// It cannot be written.
pub(in super::super) fn keep(console: &str, records: &Path, kernel: &str) -> io::Result<PathBuf> {
    let stem = records.file_stem().unwrap_or_default().to_string_lossy();
    let kernel = kernel.replace(['/', '\\'], "_");
    for count in 1_u32.. {
        let number = if count == 1 { String::new() } else { format!("-{count}") };
        let path = records.with_file_name(format!("{stem}.{kernel}{number}.console"));
        match OpenOptions::new().write(true).create_new(true).open(&path) {
            Ok(mut file) => return file.write_all(console.as_bytes()).map(|()| path),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
        }
    }
    unreachable!("a directory with 2³² files of one name")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_machines_console_has_a_file_beside_the_records() {
        let directory = tempfile::tempdir().unwrap();
        let records = directory.path().join("2026-11-26T08-00-00Z.jsonl");
        let names: Vec<_> = ["3.13.11", "3.13.11", "k/vmlinuz"]
            .iter()
            .map(|kernel| keep("Linux version\n", &records, kernel).unwrap())
            .map(|path| path.file_name().unwrap().to_string_lossy().into_owned())
            .collect();
        let expected = ["3.13.11", "3.13.11-2", "k_vmlinuz"].map(|name| format!("2026-11-26T08-00-00Z.{name}.console"));
        assert_eq!(names, expected);
    }
}
