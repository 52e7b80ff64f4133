//! Kernel modules that the guest needs: found, unpacked, and put in the order in which they load.
//!
//! A distribution's kernel has veth and the socket diagnostics as modules. What one needs of another stands in its own
//! `.modinfo` section (`depends=`), which is there without depmod's files: a .deb does not carry modules.dep.
#![forbid(unsafe_code)]

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::elf::Elf;
use super::unpack;

/// What the labs and the observers use. Those that a kernel lacks or has built in are passed over.
pub const WANTED: [&str; 5] = ["ipv6", "af_packet", "veth", "inet_diag", "tcp_diag"];
/// What a router's address translation needs besides: nftables' own part, `nft_chain_nat` (its ancestors of 3.13 to 5.0 are
/// one for each address family), and the expressions of its rules. Without them loaded the kernel asks for modprobe, which
/// a guest does not have.
pub const FOR_NAT: [&str; 8] = [
    "nf_conntrack",
    "nf_tables",
    "nf_tables_ipv4",
    "nf_tables_ipv6",
    "nft_chain_nat",
    "nft_chain_nat_ipv4",
    "nft_chain_nat_ipv6",
    "nft_nat",
];

/// Where modules of the network lie, and what they depend on: nf_conntrack and nf_tables of 4.x to 6.x on libcrc32c.
const PLACES: [&str; 3] = ["kernel/net", "kernel/drivers/net", "kernel/lib"];

/// A module, ready for init_module(2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Module {
    pub name: String,
    pub bytes: Vec<u8>,
}

/// Modules of one kernel, still packed: a name with underscores → where it is.
#[derive(Clone, Debug, Default)]
pub struct ModuleSource(BTreeMap<String, Held>);

#[derive(Clone, Debug)]
enum Held {
    Packed(Vec<u8>),
    File(PathBuf),
}

/// A module that is there and cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ModuleError {
    #[error("cannot read the kernel module `{name}`: {source}; the package or the directory is damaged")]
    Read { name: String, source: io::Error },
    #[error("the kernel module `{name}` is no x86-64 object file; the package or the directory is damaged")]
    NotAnObject { name: String },
}

impl ModuleSource {
    /// The network's modules, and libraries, under `lib/modules/<release>`.
    ///
    /// # Errors
    /// A directory there cannot be read.
    pub fn in_directory(modules: &Path) -> io::Result<Self> {
        let mut source = Self::default();
        let mut pending: Vec<PathBuf> = PLACES.iter().map(|place| modules.join(place)).collect();
        pending.retain(|directory| directory.is_dir());
        while let Some(directory) = pending.pop() {
            for entry in fs::read_dir(directory)? {
                let path = entry?.path();
                if path.is_dir() {
                    pending.push(path);
                } else if let Some(name) = module_name(&path) {
                    source.0.insert(name, Held::File(path));
                }
            }
        }
        Ok(source)
    }

    /// Whether a file of a package is a module that may be needed: one of the network's, or a library.
    pub(super) fn takes(path: &Path) -> bool {
        let text = path.to_string_lossy();
        PLACES.iter().any(|place| text.contains(&format!("/{place}/"))) && module_name(path).is_some()
    }

    pub(super) fn insert(&mut self, path: &Path, packed: Vec<u8>) {
        if let Some(name) = module_name(path) {
            self.0.insert(name, Held::Packed(packed));
        }
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The modules wanted and what they depend on, each after what it needs.
    ///
    /// # Errors
    /// A module is there and cannot be read.
    pub fn load_order(&self, wanted: &[&str]) -> Result<Vec<Module>, ModuleError> {
        let mut order = Vec::new();
        let mut begun = Vec::new();
        for name in wanted {
            self.append(name, &mut begun, &mut order)?;
        }
        Ok(order)
    }

    /// `begun` keeps a circle of dependencies (a damaged file) from going on for ever.
    fn append(&self, name: &str, begun: &mut Vec<String>, order: &mut Vec<Module>) -> Result<(), ModuleError> {
        let (Some(held), false) = (self.0.get(name), begun.iter().any(|other| other == name)) else {
            return Ok(());
        };
        begun.push(name.to_owned());
        let bytes = held.read().map_err(|source| ModuleError::Read {
            name: name.to_owned(),
            source,
        })?;
        for needed in depends(&bytes).ok_or_else(|| ModuleError::NotAnObject { name: name.to_owned() })? {
            self.append(&needed, begun, order)?;
        }
        order.push(Module {
            name: name.to_owned(),
            bytes,
        });
        Ok(())
    }
}

impl Held {
    fn read(&self) -> io::Result<Vec<u8>> {
        match self {
            Self::Packed(packed) => unpack::bytes(packed),
            Self::File(path) => unpack::bytes(&fs::read(path)?),
        }
    }
}

/// `drivers/net/nf-thing.ko.xz` → `nf_thing`: the kernel takes both signs for one.
fn module_name(path: &Path) -> Option<String> {
    let name = path.file_name()?.to_str()?;
    let stem = ["", ".xz", ".gz", ".zst"]
        .iter()
        .find_map(|packing| name.strip_suffix(packing)?.strip_suffix(".ko"))?;
    Some(stem.replace('-', "_"))
}

/// The names in `depends=` of the module's `.modinfo`; None where the bytes are no module.
fn depends(module: &[u8]) -> Option<Vec<String>> {
    let information = Elf::parse(module)?.section(".modinfo")?;
    let listed = information
        .split(|byte| *byte == 0)
        .find_map(|entry| entry.strip_prefix(b"depends="))?;
    let names = std::str::from_utf8(listed)
        .ok()?
        .split(',')
        .filter(|name| !name.is_empty());
    Some(names.map(|name| name.replace('-', "_")).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An ELF file with two sections besides the empty one: `.modinfo` and the names.
    fn module(depends: &str) -> Vec<u8> {
        let information = format!("license=GPL\0depends={depends}\0");
        let names = b"\0.modinfo\0.shstrtab\0";
        let (information_at, names_at) = (64u64, 64 + information.len() as u64);
        let table = names_at + names.len() as u64;
        let mut bytes = vec![0u8; 64];
        bytes[..6].copy_from_slice(b"\x7fELF\x02\x01");
        bytes[40..48].copy_from_slice(&table.to_le_bytes());
        bytes[58] = 64;
        bytes[60] = 3;
        bytes[62] = 2;
        bytes.extend_from_slice(information.as_bytes());
        bytes.extend_from_slice(names);
        for (name, at, length) in [
            (0u32, 0, 0),
            (1, information_at, information.len()),
            (10, names_at, names.len()),
        ] {
            let mut header = [0u8; 64];
            header[..4].copy_from_slice(&name.to_le_bytes());
            header[24..32].copy_from_slice(&at.to_le_bytes());
            header[32..40].copy_from_slice(&(length as u64).to_le_bytes());
            bytes.extend_from_slice(&header);
        }
        bytes
    }

    fn source(modules: &[(&str, &str)]) -> ModuleSource {
        let mut source = ModuleSource::default();
        for (path, depends) in modules {
            source.insert(Path::new(path), module(depends));
        }
        source
    }

    fn names(order: &[Module]) -> Vec<&str> {
        order.iter().map(|module| module.name.as_str()).collect()
    }

    #[test]
    fn a_module_comes_after_what_it_depends_on_and_once() {
        let source = source(&[
            ("net/tcp-diag.ko", "inet-diag"),
            ("net/inet_diag.ko", ""),
            ("net/veth.ko", ""),
        ]);
        let order = source
            .load_order(&["tcp_diag", "inet_diag", "veth", "not_there"])
            .unwrap();
        assert_eq!(names(&order), ["inet_diag", "tcp_diag", "veth"]);
    }

    #[test]
    fn a_circle_of_dependencies_ends() {
        let source = source(&[("a.ko", "b"), ("b.ko", "a")]);
        assert_eq!(names(&source.load_order(&["a"]).unwrap()), ["b", "a"]);
    }

    #[test]
    fn a_file_that_is_no_module_is_told_by_name() {
        let mut source = ModuleSource::default();
        source.insert(Path::new("veth.ko"), b"text".to_vec());
        let error = source.load_order(&WANTED).unwrap_err().to_string();
        assert!(error.contains("`veth` is no x86-64 object file"), "{error}");
    }

    #[test]
    fn only_the_networks_modules_and_libraries_are_taken_from_a_package() {
        assert!(ModuleSource::takes(Path::new(
            "./lib/modules/6.1/kernel/net/ipv4/tcp_diag.ko.xz"
        )));
        assert!(ModuleSource::takes(Path::new(
            "./usr/lib/modules/6.1/kernel/drivers/net/veth.ko"
        )));
        assert!(ModuleSource::takes(Path::new(
            "./lib/modules/6.1/kernel/lib/libcrc32c.ko"
        )));
        assert!(!ModuleSource::takes(Path::new(
            "./lib/modules/6.1/kernel/fs/ext4/ext4.ko"
        )));
        assert!(!ModuleSource::takes(Path::new(
            "./lib/modules/6.1/kernel/net/ipv4/Makefile"
        )));
    }
}
