//! Kernels that can be named: those found on this machine, and those that its package manager offers.
#![forbid(unsafe_code)]

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Where scripts/kernels puts packages, besides the default of `$XDG_CACHE_HOME/linger/kernels`.
pub const DIRECTORY_VARIABLE: &str = "LINGER_KERNELS";

/// A kernel on this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FoundKernel {
    /// What `--kernel` takes: the release, or the name of the package.
    pub name: String,
    pub path: PathBuf,
}

/// A package that the package manager can download.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OfferedKernel {
    pub package: String,
    pub description: String,
}

/// The kernels installed under /boot and /lib/modules, and those downloaded by scripts/kernels, in order of their names.
#[must_use]
pub fn found() -> Vec<FoundKernel> {
    found_in(Path::new("/"), download_directory().as_deref())
}

/// Where scripts/kernels puts what it downloads; None without a home.
#[must_use]
pub fn download_directory() -> Option<PathBuf> {
    if let Some(directory) = env::var_os(DIRECTORY_VARIABLE) {
        return Some(directory.into());
    }
    let cache = env::var_os("XDG_CACHE_HOME")
        .map(PathBuf::from)
        .filter(|path| path.is_absolute());
    Some(
        cache
            .or_else(|| Some(env::home_dir()?.join(".cache")))?
            .join("linger/kernels"),
    )
}

fn found_in(root: &Path, downloads: Option<&Path>) -> Vec<FoundKernel> {
    let mut kernels = Vec::new();
    for (name, path) in entries(&root.join("boot")) {
        if let Some(release) = name.strip_prefix("vmlinuz-") {
            kernels.push(FoundKernel {
                name: release.to_owned(),
                path,
            });
        }
    }
    for (release, path) in entries(&root.join("lib/modules"))
        .into_iter()
        .chain(entries(&root.join("usr/lib/modules")))
    {
        let path = path.join("vmlinuz");
        if path.is_file() && !kernels.iter().any(|kernel| kernel.name == release) {
            kernels.push(FoundKernel { name: release, path });
        }
    }
    for (file, path) in downloads.map(entries).unwrap_or_default() {
        // linux-modules-… only completes another package, and a linux-image-… beside its linux-binary-… is one kernel.
        if let Some((package, _)) = file.strip_suffix(".deb").and_then(|file| file.split_once('_'))
            && (package.starts_with("linux-image-") || package.starts_with("linux-binary-"))
        {
            kernels.push(FoundKernel {
                name: package.to_owned(),
                path,
            });
        }
    }
    kernels.sort_by(|a, b| a.name.cmp(&b.name));
    kernels
}

/// The kernel packages that apt knows.
///
/// # Errors
/// There is no apt-cache here, or it failed: in words.
pub fn offered() -> Result<Vec<OfferedKernel>, String> {
    let output = Command::new("apt-cache")
        .args([
            "search",
            "--names-only",
            "^linux-image-[0-9].*(amd64|amd64-unsigned|generic)$",
        ])
        .output()
        .map_err(|error| format!("apt-cache, which Debian and Ubuntu have, could not be run: {error}"))?;
    if !output.status.success() {
        return Err(format!(
            "apt-cache failed: {}",
            String::from_utf8_lossy(&output.stderr).trim()
        ));
    }
    Ok(parse_offered(&String::from_utf8_lossy(&output.stdout)))
}

/// The newest of each series (6.1, 6.12), in the plain flavour where there is one, newest series first; and how many are
/// left out.
#[must_use]
pub fn newest_of_each_series(offered: &[OfferedKernel]) -> (Vec<&OfferedKernel>, usize) {
    let mut series: BTreeMap<[u32; 2], &OfferedKernel> = BTreeMap::new();
    for kernel in offered {
        let numbers = numbers(&kernel.package);
        let Some(key) = numbers.first_chunk::<2>() else {
            continue;
        };
        // An unsigned kernel has the longer name, and so have the flavours for clouds and for real time.
        let rank = |kernel: &OfferedKernel| (self::numbers(&kernel.package), Reverse(kernel.package.len()));
        match series.get(key) {
            Some(best) if rank(best) >= rank(kernel) => {}
            _ => drop(series.insert(*key, kernel)),
        }
    }
    let left_out = offered.len() - series.len();
    (series.into_values().rev().collect(), left_out)
}

/// The numbers of a package's version: `linux-image-6.12.117+deb12-cloud-amd64` has 6, 12, 117 and 12.
fn numbers(package: &str) -> Vec<u32> {
    let version = package.trim_start_matches(|c: char| !c.is_ascii_digit());
    let parts = version
        .split('-')
        .take_while(|part| part.starts_with(|c: char| c.is_ascii_digit()));
    parts
        .flat_map(|part| part.split(|c: char| !c.is_ascii_digit()))
        .filter_map(|digits| digits.parse().ok())
        .collect()
}

/// Lines of `apt-cache search`: `package - description`.
fn parse_offered(text: &str) -> Vec<OfferedKernel> {
    let mut kernels: Vec<_> = text
        .lines()
        .filter_map(|line| line.split_once(" - "))
        .map(|(package, description)| OfferedKernel {
            package: package.to_owned(),
            description: description.to_owned(),
        })
        .collect();
    kernels.sort_by(|a, b| a.package.cmp(&b.package));
    kernels
}

fn entries(directory: &Path) -> Vec<(String, PathBuf)> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    let mut named: Vec<_> = entries
        .filter_map(|entry| Some((entry.file_name().into_string().ok()?, entry.path())))
        .collect();
    named.sort();
    named
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn installed_and_downloaded_kernels_are_found_once() {
        let root = tempfile::tempdir().unwrap();
        let put = |path: &str| {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, b"").unwrap();
        };
        put("boot/vmlinuz-6.1.0-1-amd64");
        put("boot/initrd.img-6.1.0-1-amd64");
        put("lib/modules/6.1.0-1-amd64/vmlinuz");
        put("usr/lib/modules/7.3.4/vmlinuz");
        put("cache/linux-image-5.10.0-46-amd64-unsigned_5.10.262-1_amd64.deb");
        put("cache/linux-modules-7.3.4_1_amd64.deb");
        let found = found_in(root.path(), Some(&root.path().join("cache")));
        let names: Vec<_> = found.iter().map(|kernel| kernel.name.as_str()).collect();
        assert_eq!(
            names,
            ["6.1.0-1-amd64", "7.3.4", "linux-image-5.10.0-46-amd64-unsigned"]
        );
    }

    #[test]
    fn of_each_series_the_newest_plain_kernel_is_shown() {
        let packages = [
            "linux-image-6.1.0-9-amd64",
            "linux-image-6.1.0-50-amd64",
            "linux-image-6.1.0-50-amd64-unsigned",
            "linux-image-6.1.0-50-cloud-amd64",
            "linux-image-6.12-amd64",
            "linux-image-6.12.117+deb12-rt-amd64",
            "linux-image-6.12.117+deb12-amd64",
            "linux-image-6.8.0-49-generic",
        ];
        let offered = packages.map(|package| OfferedKernel {
            package: package.to_owned(),
            description: String::new(),
        });
        let (newest, left_out) = newest_of_each_series(&offered);
        let names: Vec<_> = newest.iter().map(|kernel| kernel.package.as_str()).collect();
        let expected = [
            "linux-image-6.12.117+deb12-amd64",
            "linux-image-6.8.0-49-generic",
            "linux-image-6.1.0-50-amd64",
        ];
        assert_eq!((names.as_slice(), left_out), (expected.as_slice(), 5));
        assert_eq!(newest_of_each_series(&[]), (vec![], 0));
    }

    #[test]
    fn the_offer_is_read_from_apt_cache() {
        let text = "linux-image-6.1.0-50-amd64 - Linux 6.1 for 64-bit PCs (signed)\nnonsense\n";
        let offered = parse_offered(text);
        assert_eq!(offered.len(), 1);
        assert_eq!(offered[0].package, "linux-image-6.1.0-50-amd64");
    }
}
