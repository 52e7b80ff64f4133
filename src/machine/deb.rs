//! A Debian package (deb(5)): an `ar` archive of two tar archives. Takes out the kernel, its network modules and what
//! the package says of itself; nothing is written to a disk.
#![forbid(unsafe_code)]

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::Path;

use super::modules::ModuleSource;
use super::unpack;

/// What a package holds for a guest.
#[derive(Debug, Default)]
pub(super) struct Package {
    pub(super) name: String,
    pub(super) architecture: String,
    /// Package names, the first of each list of alternatives.
    pub(super) depends: Vec<String>,
    pub(super) kernel: Option<Vec<u8>>,
    pub(super) modules: ModuleSource,
}

/// Reads a package in one pass.
///
/// # Errors
/// The file is no package, is damaged, or ends early (`UnexpectedEof`).
pub(super) fn read(path: &Path) -> io::Result<Package> {
    let mut archive = ar::Archive::new(BufReader::new(File::open(path)?));
    let mut package = Package::default();
    let mut data_seen = false;
    while let Some(member) = archive.next_entry() {
        let member = member?;
        let name = String::from_utf8_lossy(member.header().identifier()).into_owned();
        if name.starts_with("control.tar") {
            package.read_control(unpack::reader(member)?)?;
        } else if name.starts_with("data.tar") {
            package.read_data(unpack::reader(member)?)?;
            data_seen = true;
        }
    }
    if !data_seen {
        return Err(io::Error::new(
            io::ErrorKind::UnexpectedEof,
            "the package's data.tar is missing",
        ));
    }
    Ok(package)
}

impl Package {
    fn read_control(&mut self, tar: impl Read) -> io::Result<()> {
        for entry in tar::Archive::new(tar).entries()? {
            let mut entry = entry?;
            if entry.path()?.file_name().is_some_and(|name| name == "control") {
                let mut text = String::new();
                entry.read_to_string(&mut text)?;
                self.parse_control(&text);
            }
        }
        Ok(())
    }

    fn parse_control(&mut self, text: &str) {
        for line in text.lines() {
            match line.split_once(": ") {
                Some(("Package", name)) => self.name = name.to_owned(),
                Some(("Architecture", name)) => self.architecture = name.to_owned(),
                Some(("Depends", list)) => {
                    let first_word = |one: &str| one.split_whitespace().next().map(str::to_owned);
                    self.depends = list.split(',').filter_map(first_word).collect();
                }
                _ => {}
            }
        }
    }

    fn read_data(&mut self, tar: impl Read) -> io::Result<()> {
        for entry in tar::Archive::new(tar).entries()? {
            let mut entry = entry?;
            let path = entry.path()?.into_owned();
            if !entry.header().entry_type().is_file() {
                continue;
            }
            let mut bytes = Vec::new();
            if is_kernel(&path) {
                entry.read_to_end(&mut bytes)?;
                self.kernel = Some(bytes);
            } else if ModuleSource::takes(&path) {
                entry.read_to_end(&mut bytes)?;
                self.modules.insert(&path, bytes);
            }
        }
        Ok(())
    }
}

/// `boot/vmlinuz-<release>`, or `usr/lib/modules/<release>/vmlinuz` in packages since Debian 14.
fn is_kernel(path: &Path) -> bool {
    path.file_name()
        .and_then(|name| name.to_str())
        .is_some_and(|name| name == "vmlinuz" || name.starts_with("vmlinuz-"))
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use std::path::PathBuf;

    /// Writes a package with these files, uncompressed.
    pub(in super::super) fn write(directory: &Path, control: &str, files: &[(&str, &[u8])]) -> PathBuf {
        let tar = |files: &[(&str, &[u8])]| {
            let mut builder = tar::Builder::new(Vec::new());
            for (path, content) in files {
                let mut header = tar::Header::new_gnu();
                header.set_size(content.len() as u64);
                header.set_mode(0o644);
                builder.append_data(&mut header, path, *content).unwrap();
            }
            builder.into_inner().unwrap()
        };
        let name = control.lines().next().unwrap().trim_start_matches("Package: ");
        let path = directory.join(format!("{name}_1_amd64.deb"));
        let mut archive = ar::Builder::new(File::create(&path).unwrap());
        let members = [
            ("debian-binary", b"2.0\n".to_vec()),
            ("control.tar", tar(&[("./control", control.as_bytes())])),
            ("data.tar", tar(files)),
        ];
        for (name, content) in members {
            archive
                .append(&ar::Header::new(name.into(), content.len() as u64), content.as_slice())
                .unwrap();
        }
        path
    }

    #[test]
    fn kernel_modules_and_dependencies_are_found() {
        let directory = tempfile::tempdir().unwrap();
        let control = "Package: linux-image-9\nArchitecture: amd64\nDepends: kmod, linux-base (>= 4) | other, a\n";
        let files: [(&str, &[u8]); 3] = [
            ("./boot/vmlinuz-9", b"kernel"),
            ("./lib/modules/9/kernel/net/veth.ko", b"module"),
            ("./lib/modules/9/kernel/fs/ext4.ko", b"module"),
        ];
        let package = read(&write(directory.path(), control, &files)).unwrap();
        assert_eq!(
            (package.name.as_str(), package.architecture.as_str()),
            ("linux-image-9", "amd64")
        );
        assert_eq!(package.depends, ["kmod", "linux-base", "a"]);
        assert_eq!(package.kernel.as_deref(), Some(b"kernel".as_slice()));
        assert!(!package.modules.is_empty());
    }

    #[test]
    fn a_package_that_ends_early_is_an_error() {
        let directory = tempfile::tempdir().unwrap();
        let path = write(directory.path(), "Package: a\n", &[("./boot/vmlinuz-9", &[7; 5000])]);
        let whole = std::fs::read(&path).unwrap();
        for length in [100, whole.len() / 2] {
            std::fs::write(&path, &whole[..length]).unwrap();
            assert!(read(&path).is_err(), "{length} of {} bytes", whole.len());
        }
    }
}
