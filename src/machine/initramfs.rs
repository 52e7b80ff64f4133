//! The guest's first files: a cpio archive in the `newc` format (Documentation/driver-api/early-userspace/buffer-format.rst
//! in the kernel), made in memory. Pure: the same files give the same bytes.
#![forbid(unsafe_code)]

use std::collections::BTreeSet;

const DIRECTORY: u32 = 0o040_755;
const CHARACTER_DEVICE: u32 = 0o020_600;
const REGULAR: u32 = 0o100_000;

/// An archive being written. Parent directories are added as they are needed.
#[derive(Clone, Debug, Default)]
pub struct Initramfs {
    bytes: Vec<u8>,
    inodes: u32,
    directories: BTreeSet<String>,
}

impl Initramfs {
    /// Adds a directory and its parents. Paths are relative to the root and have no leading slash.
    pub fn directory(&mut self, path: &str) {
        for (end, _) in path.match_indices('/').chain([(path.len(), "")]) {
            if end > 0 && self.directories.insert(path[..end].to_owned()) {
                self.entry(&path[..end], DIRECTORY, (0, 0), b"");
            }
        }
    }

    /// Adds a file with these permissions.
    pub fn file(&mut self, path: &str, permissions: u32, content: &[u8]) {
        self.parent(path);
        self.entry(path, REGULAR | permissions, (0, 0), content);
    }

    /// Adds a character device by its major and minor number.
    pub fn device(&mut self, path: &str, number: (u32, u32)) {
        self.parent(path);
        self.entry(path, CHARACTER_DEVICE, number, b"");
    }

    /// The archive, with its end marked.
    #[must_use]
    pub fn finish(mut self) -> Vec<u8> {
        self.entry("TRAILER!!!", 0, (0, 0), b"");
        self.bytes
    }

    fn parent(&mut self, path: &str) {
        if let Some((parent, _)) = path.rsplit_once('/') {
            self.directory(parent);
        }
    }

    fn entry(&mut self, path: &str, mode: u32, device: (u32, u32), content: &[u8]) {
        self.inodes += 1;
        let length = u32::try_from(content.len()).expect("a guest's file is below 4 GiB");
        let name_length = u32::try_from(path.len() + 1).expect("a path is below 4 GiB");
        // inode, mode, uid, gid, links, mtime, size, device of the file (2), device that it is (2), name, checksum
        let fields = [
            self.inodes,
            mode,
            0,
            0,
            1,
            0,
            length,
            0,
            0,
            device.0,
            device.1,
            name_length,
            0,
        ];
        self.bytes.extend_from_slice(b"070701");
        for field in fields {
            self.bytes.extend_from_slice(format!("{field:08X}").as_bytes());
        }
        self.bytes.extend_from_slice(path.as_bytes());
        self.bytes.push(0);
        self.align();
        self.bytes.extend_from_slice(content);
        self.align();
    }

    /// Names and contents begin at multiples of four bytes.
    fn align(&mut self) {
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use proptest::prelude::*;

    #[derive(Debug, PartialEq, Eq)]
    pub(in super::super) struct Entry {
        pub(in super::super) path: String,
        pub(in super::super) mode: u32,
        pub(in super::super) device: (u32, u32),
        pub(in super::super) content: Vec<u8>,
    }

    /// Reads an archive as the kernel does: by the lengths in its headers.
    pub(in super::super) fn read(mut bytes: &[u8]) -> Vec<Entry> {
        let mut entries = Vec::new();
        loop {
            let field = |index: usize| {
                let text = std::str::from_utf8(&bytes[6 + 8 * index..14 + 8 * index]).unwrap();
                u32::from_str_radix(text, 16).unwrap()
            };
            assert_eq!(&bytes[..6], b"070701");
            let (mode, size, name, device) = (field(1), field(6) as usize, field(11) as usize, (field(9), field(10)));
            let path = std::str::from_utf8(&bytes[110..110 + name - 1]).unwrap().to_owned();
            let start = (110 + name).next_multiple_of(4);
            if path == "TRAILER!!!" {
                return entries;
            }
            entries.push(Entry {
                path,
                mode,
                device,
                content: bytes[start..start + size].to_vec(),
            });
            bytes = &bytes[(start + size).next_multiple_of(4)..];
        }
    }

    #[test]
    fn parents_come_before_their_files_and_only_once() {
        let mut archive = Initramfs::default();
        archive.file("lib/x86_64-linux-gnu/libc.so.6", 0o755, b"c");
        archive.file("lib/x86_64-linux-gnu/libm.so.6", 0o755, b"m");
        archive.device("dev/console", (5, 1));
        let entries = read(&archive.finish());
        let paths: Vec<_> = entries.iter().map(|entry| entry.path.as_str()).collect();
        let lib = "lib/x86_64-linux-gnu";
        assert_eq!(
            paths,
            [
                "lib",
                lib,
                &format!("{lib}/libc.so.6"),
                &format!("{lib}/libm.so.6"),
                "dev",
                "dev/console"
            ]
        );
        assert_eq!((entries[5].mode, entries[5].device), (CHARACTER_DEVICE, (5, 1)));
    }

    proptest! {
        #[test]
        fn what_was_written_is_read_back(
            files in proptest::collection::vec(("[a-z]{1,9}", proptest::collection::vec(any::<u8>(), 0..70)), 0..12)
        ) {
            let mut archive = Initramfs::default();
            for (path, content) in &files {
                archive.file(path, 0o644, content);
            }
            let read: Vec<_> = read(&archive.finish()).into_iter().map(|entry| (entry.path, entry.content)).collect();
            prop_assert_eq!(read, files);
        }
    }
}
