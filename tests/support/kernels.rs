//! Debian's kernels, as scripts/kernels downloads them; the first time this takes the network.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;

const MANIFEST: &str = env!("CARGO_MANIFEST_DIR");
/// Cloud kernels are half the size, and boot quicker, than those for hardware.
const FLAVOUR: &str = "cloud-amd64";

pub static KERNEL_6_1: LazyLock<PathBuf> = LazyLock::new(|| download("6.1"));
pub static KERNEL_5_10: LazyLock<PathBuf> = LazyLock::new(|| download("5.10"));

/// The package of a line of kernels: what is there already, else what scripts/kernels downloads.
fn download(version: &str) -> PathBuf {
    let directory = linger::machine::kernels::download_directory().expect("a home or LINGER_KERNELS");
    let fits = |path: &PathBuf| {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or("");
        name.starts_with(&format!("linux-image-{version}.")) && name.contains(FLAVOUR) && name.ends_with(".deb")
    };
    let there = || {
        fs::read_dir(&directory)
            .into_iter()
            .flatten()
            .flatten()
            .map(|entry| entry.path())
            .find(fits)
    };
    there().unwrap_or_else(|| {
        let output = Command::new(Path::new(MANIFEST).join("scripts/kernels"))
            .args(["--flavour", FLAVOUR, version])
            .output()
            .expect("scripts/kernels runs");
        let complaint = String::from_utf8_lossy(&output.stderr);
        there().unwrap_or_else(|| {
            panic!("this test boots Debian's {version}, and `scripts/kernels --flavour {FLAVOUR} {version}` failed: {complaint}")
        })
    })
}
