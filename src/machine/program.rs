//! Packs programs into the guest: without their symbols, and with the libraries they were linked to, if any.
//!
//! A static program needs nothing. One that is linked dynamically asks for a loader (PT_INTERP); that loader lists what
//! it would map (`--list`, glibc and musl alike), and those files go to the same paths in the guest.
#![forbid(unsafe_code)]

use std::collections::BTreeSet;
use std::env;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::elf::{Elf, X86_64};
use super::initramfs::Initramfs;

/// Users' paths lack the directories of administrators' programs.
const PLACES: [&str; 2] = ["/usr/sbin", "/sbin"];

/// The file of a program of this machine, if it is there: what a guest's program runs, the guest must be given.
#[must_use]
pub fn find(name: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let places = env::split_paths(&path).chain(PLACES.map(PathBuf::from));
    places.map(|place| place.join(name)).find(|program| program.is_file())
}

/// Why a program cannot be the guest's first.
#[derive(Debug, thiserror::Error)]
pub enum ProgramError {
    #[error("cannot read {path}, which is to run inside the guest: {source}")]
    Read { path: PathBuf, source: io::Error },
    #[error("{path} cannot run inside the guest: expected a program for x86-64")]
    NotAProgram { path: PathBuf },
    #[error(
        "the libraries of {path} cannot be listed by its loader {loader}: {why}; build it statically (RUSTFLAGS='-C target-feature=+crt-static')"
    )]
    Libraries { path: PathBuf, loader: String, why: String },
}

/// Adds the program as `/init`, the tools to `/usr/sbin`, and the libraries of all of them once.
pub(super) fn pack(program: &Path, tools: &[PathBuf], archive: &mut Initramfs) -> Result<(), ProgramError> {
    let mut packed = BTreeSet::new();
    with_libraries(program, "init", &mut packed, archive)?;
    for tool in tools {
        let name = tool.file_name().unwrap_or_default().to_string_lossy();
        with_libraries(tool, &format!("usr/sbin/{name}"), &mut packed, archive)?;
    }
    Ok(())
}

/// Adds one program; `packed` are the libraries that are in the archive.
fn with_libraries(
    program: &Path,
    place: &str,
    packed: &mut BTreeSet<String>,
    archive: &mut Initramfs,
) -> Result<(), ProgramError> {
    let bytes = read(program)?;
    let not_a_program = || ProgramError::NotAProgram {
        path: program.to_owned(),
    };
    let elf = Elf::parse(&bytes)
        .filter(|elf| elf.machine() == X86_64)
        .ok_or_else(not_a_program)?;
    if let Some(loader) = elf.interpreter() {
        for library in libraries(program, loader)? {
            let content = without_symbols(&read(Path::new(&library))?);
            if packed.insert(library.clone()) {
                archive.file(library.trim_start_matches('/'), 0o755, &content);
            }
        }
    }
    archive.file(place, 0o755, &without_symbols(&bytes));
    Ok(())
}

fn read(path: &Path) -> Result<Vec<u8>, ProgramError> {
    fs::read(path).map_err(|source| ProgramError::Read {
        path: path.to_owned(),
        source,
    })
}

/// Paths of the loader and of each library.
fn libraries(program: &Path, loader: &str) -> Result<Vec<String>, ProgramError> {
    let failed = |why: String| ProgramError::Libraries {
        path: program.to_owned(),
        loader: loader.to_owned(),
        why,
    };
    let output = Command::new(loader)
        .arg("--list")
        .arg(program)
        .output()
        .map_err(|error| failed(error.to_string()))?;
    if !output.status.success() {
        return Err(failed(String::from_utf8_lossy(&output.stderr).trim().to_owned()));
    }
    let mut paths = parse_list(&String::from_utf8_lossy(&output.stdout)).map_err(failed)?;
    paths.retain(|path| path != loader);
    paths.push(loader.to_owned());
    Ok(paths)
}

/// Lines such as `libc.so.6 => /lib/x86_64-linux-gnu/libc.so.6 (0x7f…)`; the vDSO has no path.
fn parse_list(text: &str) -> Result<Vec<String>, String> {
    if let Some(missing) = text.lines().find(|line| line.contains("not found")) {
        return Err(missing.trim().to_owned());
    }
    let path = |line: &str| {
        let right = line.rsplit_once("=> ").map_or(line, |(_, right)| right).trim();
        let path = right.rsplit_once(" (").map_or(right, |(path, _)| path);
        path.starts_with('/').then(|| path.to_owned())
    };
    Ok(text.lines().filter_map(path).collect())
}

/// What follows the loaded segments (symbols, debug information) is cut off: the kernel and the loader never read it.
fn without_symbols(file: &[u8]) -> Vec<u8> {
    let Some(elf) = Elf::parse(file) else {
        return file.to_vec();
    };
    let mut bytes = file[..elf.loaded_end()].to_vec();
    if bytes.len() >= 64 {
        // The section table is gone: its offset, its length and the index of its names.
        bytes[40..48].fill(0);
        bytes[60..64].fill(0);
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::super::initramfs::tests::read as read_archive;
    use super::*;

    #[test]
    fn the_loaders_list_is_read() {
        let text = "\tlinux-vdso.so.1 (0x7ffc)\n\tlibc.so.6 => /lib/x86_64-linux-gnu/libc.so.6 (0x7f00)\n\t/lib64/ld-linux-x86-64.so.2 (0x7f01)\n";
        assert_eq!(
            parse_list(text).unwrap(),
            ["/lib/x86_64-linux-gnu/libc.so.6", "/lib64/ld-linux-x86-64.so.2"]
        );
        assert_eq!(
            parse_list("\tliba.so => not found\n").unwrap_err(),
            "liba.so => not found"
        );
    }

    #[test]
    fn this_test_is_packed_with_its_loader_and_without_its_symbols() {
        let program = std::env::current_exe().unwrap();
        let mut archive = Initramfs::default();
        pack(&program, std::slice::from_ref(&program), &mut archive).unwrap();
        let files = read_archive(&archive.finish());
        let init = files.iter().find(|file| file.path == "init").unwrap();
        assert!(init.content.len() < fs::metadata(&program).unwrap().len() as usize);
        let bytes = fs::read(&program).unwrap();
        if let Some(loader) = Elf::parse(&bytes).unwrap().interpreter() {
            let loaders = files.iter().filter(|file| file.path == loader.trim_start_matches('/'));
            assert_eq!(loaders.count(), 1, "{loader} is there for both, once");
        }
        let tool = files.iter().find(|file| file.path.starts_with("usr/sbin/")).unwrap();
        assert_eq!(tool.content, init.content);
    }

    #[test]
    fn a_program_is_found_on_the_path_and_one_that_is_nowhere_is_not() {
        assert!(find("sh").is_some_and(|program| program.ends_with("sh")));
        assert_eq!(find("no-such-program-anywhere"), None);
    }

    #[test]
    fn what_is_no_program_is_refused() {
        let error = pack(Path::new("/proc/version"), &[], &mut Initramfs::default())
            .unwrap_err()
            .to_string();
        assert!(error.contains("expected a program for x86-64"), "{error}");
    }
}
