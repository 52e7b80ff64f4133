//! Finds the kernel inside what the user named: a bzImage, a Debian or Ubuntu package, a directory, or a name of one that
//! is installed or downloaded. All of it is held in memory: nothing is left behind on a disk.
#![forbid(unsafe_code)]

use std::fs;
use std::io;
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};

use super::bzimage::{self, NotBzImage};
use super::modules::ModuleSource;
use super::{deb, kernels};

/// A kernel that can be booted, and its modules.
#[derive(Clone, Debug)]
pub struct KernelImage {
    /// What the user named: a path, or a name as in `linger kernels`.
    pub origin: String,
    /// `uname -r`, as the image says it; None where it does not.
    pub release: Option<String>,
    /// What is booted: the bzImage, or the vmlinux inside it where that can be entered directly.
    pub bytes: Vec<u8>,
    /// Empty where none were found: a kernel may have everything built in.
    pub modules: ModuleSource,
}

/// Why what the user named cannot be booted.
#[derive(Debug, thiserror::Error)]
pub enum ImageError {
    #[error(
        "`{argument}` is no file, no directory and no kernel of this machine (here: {known}); name a vmlinuz, a .deb or a \
         directory, or download one with scripts/kernels"
    )]
    Unknown { argument: String, known: String },
    #[error("the kernel's name is empty; name a vmlinuz, a .deb, a directory, or one that `linger kernels` lists")]
    Nothing,
    #[error("cannot read {path}: {source}")]
    Read { path: PathBuf, source: io::Error },
    #[error("{path} is {found}; expected an x86-64 kernel: a bzImage (vmlinuz), a .deb or a directory with one")]
    NotAKernel { path: PathBuf, found: &'static str },
    #[error("{path} is for {found}; expected a kernel for x86-64 (Debian calls it amd64)")]
    Architecture { path: PathBuf, found: String },
    #[error("{path} ends early: {have} bytes of a kernel of {promised}; copy or download it again")]
    Truncated {
        path: PathBuf,
        have: usize,
        promised: usize,
    },
    #[error("cannot unpack {path}: {source}; the package is damaged or ends early: download it again")]
    Unpack { path: PathBuf, source: io::Error },
    #[error("{path} (package {package}) has no kernel inside; {mend}")]
    NoKernelInPackage {
        path: PathBuf,
        package: String,
        mend: String,
    },
    #[error(
        "{path} has no kernel inside; expected vmlinuz*, boot/vmlinuz-*, [usr/]lib/modules/*/vmlinuz or arch/x86/boot/bzImage"
    )]
    NoKernelInDirectory { path: PathBuf },
    #[error("{path} has {} kernels inside; name one of them: {}", .found.len(), list(.found))]
    Several { path: PathBuf, found: Vec<PathBuf> },
}

/// Opens what the user named. Only a regular file is read: a pipe might never end.
///
/// # Errors
/// Each says what was expected, what came, and what would mend it.
pub fn open(argument: &str) -> Result<KernelImage, ImageError> {
    if argument.is_empty() {
        return Err(ImageError::Nothing);
    }
    let path = Path::new(argument);
    let path = if path.exists() {
        path.to_owned()
    } else {
        by_name(argument)?
    };
    let mut image = open_path(&path)?;
    argument.clone_into(&mut image.origin);
    if let Some(vmlinux) = bzimage::directly_bootable(&image.bytes) {
        image.bytes = vmlinux;
    }
    Ok(image)
}

fn by_name(name: &str) -> Result<PathBuf, ImageError> {
    let here = kernels::found();
    let fits = |kernel: &&kernels::FoundKernel| kernel.name == name || name == format!("vmlinuz-{}", kernel.name);
    here.iter()
        .find(fits)
        .map(|kernel| kernel.path.clone())
        .ok_or_else(|| ImageError::Unknown {
            argument: name.to_owned(),
            known: match here.as_slice() {
                [] => "none".to_owned(),
                some => some
                    .iter()
                    .map(|kernel| kernel.name.as_str())
                    .collect::<Vec<_>>()
                    .join(", "),
            },
        })
}

fn open_path(path: &Path) -> Result<KernelImage, ImageError> {
    if path.is_dir() {
        return open_path(&kernel_in(path)?);
    }
    let read = |source| ImageError::Read {
        path: path.to_owned(),
        source,
    };
    if let Some(found) = no_regular_file(&fs::metadata(path).map_err(read)?.file_type()) {
        let path = path.to_owned();
        return Err(ImageError::NotAKernel { path, found });
    }
    let mut magic = [0; 8];
    let length = io::Read::read(&mut fs::File::open(path).map_err(read)?, &mut magic).map_err(read)?;
    if magic[..length] == *b"!<arch>\n" {
        return open_package(path);
    }
    let bytes = fs::read(path).map_err(read)?;
    let release = inspect(path, &bytes)?;
    let modules = modules_beside(path, release.as_deref()).map_err(read)?;
    Ok(KernelImage {
        origin: path.display().to_string(),
        release,
        bytes,
        modules,
    })
}

/// What it is, where it is neither a regular file nor a directory.
fn no_regular_file(kind: &fs::FileType) -> Option<&'static str> {
    if kind.is_file() {
        None
    } else if kind.is_fifo() {
        Some("a pipe (FIFO)")
    } else if kind.is_socket() {
        Some("a socket")
    } else {
        Some("a device")
    }
}

/// Checks the kernel and gives its release.
fn inspect(path: &Path, bytes: &[u8]) -> Result<Option<String>, ImageError> {
    let path = path.to_owned();
    match bzimage::inspect(bytes) {
        Ok(header) => Ok(header.release),
        Err(NotBzImage::Other(found)) => Err(ImageError::NotAKernel { path, found }),
        Err(NotBzImage::Foreign(found)) => Err(ImageError::Architecture {
            path,
            found: found.to_owned(),
        }),
        Err(NotBzImage::Truncated { promised }) => Err(ImageError::Truncated {
            path,
            have: bytes.len(),
            promised,
        }),
    }
}

/// The kernel of a package. Newer packages are split: the kernel, or its modules, may be in a package beside this one.
fn open_package(path: &Path) -> Result<KernelImage, ImageError> {
    let package = read_package(path)?;
    let Some(bytes) = package.kernel else {
        let beside = package
            .depends
            .iter()
            .filter(|name| may_hold_kernel(name))
            .find_map(|name| beside(path, name));
        return match beside {
            Some(other) => open_package(&other),
            None => Err(no_kernel(path, &package)),
        };
    };
    let release = inspect(path, &bytes)?;
    let mut modules = package.modules;
    if let (true, Some(release)) = (modules.is_empty(), &release)
        && let Some(other) = beside(path, &format!("linux-modules-{release}"))
    {
        modules = read_package(&other)?.modules;
    }
    Ok(KernelImage {
        origin: path.display().to_string(),
        release,
        bytes,
        modules,
    })
}

fn read_package(path: &Path) -> Result<deb::Package, ImageError> {
    let package = deb::read(path).map_err(|source| ImageError::Unpack {
        path: path.to_owned(),
        source,
    })?;
    match package.architecture.as_str() {
        "amd64" | "all" | "" => Ok(package),
        other => Err(ImageError::Architecture {
            path: path.to_owned(),
            found: format!("{other} (a package)"),
        }),
    }
}

fn may_hold_kernel(package: &str) -> bool {
    package.starts_with("linux-image-") || package.starts_with("linux-binary-")
}

fn no_kernel(path: &Path, package: &deb::Package) -> ImageError {
    let mend = match package.depends.iter().find(|name| may_hold_kernel(name)) {
        Some(other) => format!("it needs {other}: put that .deb beside it or name it (apt-get download {other})"),
        None => "expected a linux-image-… package with boot/vmlinuz-…".to_owned(),
    };
    ImageError::NoKernelInPackage {
        path: path.to_owned(),
        package: package.name.clone(),
        mend,
    }
}

/// The file of another package in the same directory: `<name>_<version>_<architecture>.deb`.
fn beside(path: &Path, package: &str) -> Option<PathBuf> {
    let prefix = format!("{package}_");
    let fits = |other: &PathBuf| {
        let name = other.file_name().and_then(|name| name.to_str()).unwrap_or("");
        name.starts_with(&prefix) && name.ends_with(".deb") && other != path
    };
    entries(directory_of(path)).into_iter().rfind(fits)
}

/// The directory that a file lies in. A bare name has an empty parent, which names no directory.
fn directory_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

/// The one kernel of a directory: an unpacked package, a kernel's build tree, `/lib/modules/<release>`.
fn kernel_in(directory: &Path) -> Result<PathBuf, ImageError> {
    let is_kernel = |path: &PathBuf| {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or("");
        path.is_file() && (name == "bzImage" || name == "vmlinuz" || name.starts_with("vmlinuz-"))
    };
    let mut places = vec![
        directory.to_owned(),
        directory.join("boot"),
        directory.join("arch/x86/boot"),
    ];
    places.extend(entries(&directory.join("lib/modules")));
    places.extend(entries(&directory.join("usr/lib/modules")));
    let mut found: Vec<PathBuf> = places
        .iter()
        .flat_map(|place| entries(place))
        .filter(is_kernel)
        .collect();
    // A link such as `vmlinuz -> vmlinuz-6.1` names no further kernel.
    found.sort();
    found.dedup_by_key(|path| fs::canonicalize(&*path).unwrap_or_else(|_| path.clone()));
    match found.len() {
        0 => Err(ImageError::NoKernelInDirectory {
            path: directory.to_owned(),
        }),
        1 => Ok(found.remove(0)),
        _ => Err(ImageError::Several {
            path: directory.to_owned(),
            found,
        }),
    }
}

/// The modules that belong to a vmlinuz: beside it, or in the lib/modules of the tree whose boot/ it lies in.
fn modules_beside(vmlinuz: &Path, release: Option<&str>) -> io::Result<ModuleSource> {
    let vmlinuz = fs::canonicalize(vmlinuz)?;
    let (Some(release), Some(directory)) = (release, vmlinuz.parent()) else {
        return Ok(ModuleSource::default());
    };
    if directory.join("kernel").is_dir() {
        return ModuleSource::in_directory(directory);
    }
    let roots = [directory.parent().unwrap_or(directory), directory, Path::new("/")];
    let places = roots
        .iter()
        .flat_map(|root| [root.join("lib/modules"), root.join("usr/lib/modules")]);
    let found = places.map(|place| place.join(release)).find(|place| place.is_dir());
    found.map_or(Ok(ModuleSource::default()), |place| ModuleSource::in_directory(&place))
}

/// The paths in a directory, in order; none where there is no such directory.
fn entries(directory: &Path) -> Vec<PathBuf> {
    let mut paths: Vec<_> = fs::read_dir(directory)
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path())
        .collect();
    paths.sort();
    paths
}

fn list(paths: &[PathBuf]) -> String {
    paths
        .iter()
        .map(|path| path.display().to_string())
        .collect::<Vec<_>>()
        .join(", ")
}

#[cfg(test)]
mod tests {
    use super::super::bzimage::tests::smallest;
    use super::super::deb::tests::write;
    use super::*;

    fn message(argument: &Path) -> String {
        open(argument.to_str().unwrap()).unwrap_err().to_string()
    }

    #[test]
    fn a_vmlinuz_a_package_and_a_directory_give_the_same_kernel() {
        let directory = tempfile::tempdir().unwrap();
        let kernel = smallest("9.1-test");
        fs::create_dir_all(directory.path().join("tree/boot")).unwrap();
        fs::create_dir_all(directory.path().join("tree/lib/modules/9.1-test/kernel/net")).unwrap();
        fs::write(
            directory.path().join("tree/lib/modules/9.1-test/kernel/net/veth.ko"),
            b"module",
        )
        .unwrap();
        let file = directory.path().join("tree/boot/vmlinuz-9.1-test");
        fs::write(&file, &kernel).unwrap();
        let files: [(&str, &[u8]); 2] = [
            ("./boot/vmlinuz-9.1-test", &kernel),
            ("./lib/modules/9.1-test/kernel/net/veth.ko", b"module"),
        ];
        let package = write(
            directory.path(),
            "Package: linux-image-9.1\nArchitecture: amd64\n",
            &files,
        );
        for argument in [file, package, directory.path().join("tree")] {
            let image = open(argument.to_str().unwrap()).unwrap();
            assert_eq!(image.release.as_deref(), Some("9.1-test"));
            assert_eq!(image.bytes, kernel);
            assert!(!image.modules.is_empty(), "{}", argument.display());
        }
    }

    #[test]
    fn a_split_package_is_put_together_from_its_directory() {
        let directory = tempfile::tempdir().unwrap();
        let kernel = smallest("9.2");
        let meta = write(
            directory.path(),
            "Package: linux-image-9.2\nDepends: kmod, linux-binary-9.2 (= 1)\n",
            &[],
        );
        let alone = message(&meta);
        assert!(alone.contains("apt-get download linux-binary-9.2"), "{alone}");
        write(
            directory.path(),
            "Package: linux-binary-9.2\n",
            &[("./usr/lib/modules/9.2/vmlinuz", &kernel)],
        );
        let module: [(&str, &[u8]); 1] = [("./usr/lib/modules/9.2/kernel/net/veth.ko", b"module")];
        write(directory.path(), "Package: linux-modules-9.2\n", &module);
        let image = open(meta.to_str().unwrap()).unwrap();
        assert_eq!(
            (image.release.as_deref(), image.modules.is_empty()),
            (Some("9.2"), false)
        );
    }

    #[test]
    fn the_parts_of_a_package_that_is_named_by_its_bare_name_are_looked_for_here() {
        assert_eq!(directory_of(Path::new("linux-image-9.2.deb")), Path::new("."));
        assert_eq!(directory_of(Path::new("k/linux-image-9.2.deb")), Path::new("k"));
    }

    #[test]
    fn what_is_no_kernel_is_named_with_what_would_mend_it() {
        let directory = tempfile::tempdir().unwrap();
        let put = |name: &str, bytes: &[u8]| {
            let path = directory.path().join(name);
            fs::write(&path, bytes).unwrap();
            path
        };
        let text = message(&put("notes.txt", b"a text\n"));
        assert!(
            text.contains("notes.txt is a text file; expected an x86-64 kernel"),
            "{text}"
        );
        let cut = message(&put("cut", &smallest("9")[..0x300]));
        assert!(cut.contains("ends early: 768 bytes of a kernel of 1040"), "{cut}");
        let headers = message(&write(
            directory.path(),
            "Package: linux-headers-9\nDepends: linux-kbuild-9\n",
            &[],
        ));
        assert!(headers.contains("expected a linux-image-… package"), "{headers}");
        let arm = message(&write(
            directory.path(),
            "Package: linux-image-9-arm64\nArchitecture: arm64\n",
            &[],
        ));
        assert!(arm.contains("is for arm64 (a package)"), "{arm}");
        let pipe = directory.path().join("pipe");
        nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRWXU).unwrap();
        let pipe = message(&pipe);
        assert!(pipe.contains("pipe is a pipe (FIFO); expected"), "{pipe}");
        assert!(message(Path::new("/dev/null")).contains("/dev/null is a device"));
        assert!(message(Path::new("")).contains("the kernel's name is empty"));
        let unknown = open("6.66-nowhere").unwrap_err().to_string();
        assert!(
            unknown.contains("`6.66-nowhere` is no file, no directory and no kernel of this machine"),
            "{unknown}"
        );
    }

    #[test]
    fn a_directory_with_several_kernels_or_none_asks_for_one() {
        let directory = tempfile::tempdir().unwrap();
        assert!(message(directory.path()).contains("has no kernel inside"));
        fs::write(directory.path().join("vmlinuz-9.1"), smallest("9.1")).unwrap();
        std::os::unix::fs::symlink("vmlinuz-9.1", directory.path().join("vmlinuz")).unwrap();
        assert!(
            open(directory.path().to_str().unwrap()).is_ok(),
            "a link beside its target is one kernel"
        );
        fs::write(directory.path().join("vmlinuz-9.2"), smallest("9.2")).unwrap();
        assert!(message(directory.path()).contains("has 2 kernels inside; name one of them"));
    }
}
