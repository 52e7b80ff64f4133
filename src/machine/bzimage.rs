//! The x86 boot header (Documentation/arch/x86/boot.rst in the kernel): is this a 64-bit kernel, which, and whole? And the
//! vmlinux inside.
#![forbid(unsafe_code)]

use super::elf::Elf;
use super::unpack;

/// What the header says.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Header {
    /// `uname -r`, from the version string; None where the image has none.
    pub(super) release: Option<String>,
}

/// Why bytes are no bzImage that can be booted here.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum NotBzImage {
    /// Something else, in words.
    Other(&'static str),
    /// A kernel, but for this machine.
    Foreign(&'static str),
    /// Bytes that the header promises.
    Truncated { promised: usize },
}

/// `XLF_KERNEL_64`: the kernel has the 64-bit entry point (protocol 2.12, Linux 3.8).
const XLF_KERNEL_64: u8 = 1;

/// The note by which an ELF kernel says that it can be entered directly (`XEN_ELFNOTE_PHYS32_ENTRY`; CONFIG_PVH).
const DIRECT_ENTRY: (&[u8], u32) = (b"Xen\0", 18);

/// The ELF kernel inside, where it can be entered directly: a machine that need not unpack it under emulation boots in
/// half the time. None for compressions that are not known here, and before 5.0: those that have the note (Ubuntu's 4.15)
/// take its caller for Xen and hang.
pub(super) fn directly_bootable(image: &[u8]) -> Option<Vec<u8>> {
    let major: u32 = inspect(image).ok()?.release?.split('.').next()?.parse().ok()?;
    if major < 5 {
        return None;
    }
    let word = |at: usize| Some(u32::from_le_bytes(image.get(at..at + 4)?.try_into().ok()?) as usize);
    let (offset, length) = (setup_bytes(image)?.checked_add(word(0x248)?)?, word(0x24c)?);
    let payload = image.get(offset..offset.checked_add(length)?)?;
    // Where the compression keeps no length of its own (gzip does), the kernel's build appends it.
    let packed = if payload.starts_with(&[0x1f, 0x8b]) {
        payload
    } else {
        payload.get(..length.checked_sub(4)?)?
    };
    let vmlinux = unpack::bytes(packed).ok()?;
    Elf::parse(&vmlinux)?
        .has_note(DIRECT_ENTRY.0, DIRECT_ENTRY.1)
        .then_some(vmlinux)
}

/// The boot sector and the setup code before the kernel proper.
fn setup_bytes(image: &[u8]) -> Option<usize> {
    let sectors = *image.get(0x1f1)?;
    Some((usize::from(if sectors == 0 { 4 } else { sectors }) + 1) * 512)
}

pub(super) fn inspect(bytes: &[u8]) -> Result<Header, NotBzImage> {
    let at = |offset: usize, magic: &[u8]| bytes.get(offset..).is_some_and(|rest| rest.starts_with(magic));
    if !at(0x202, b"HdrS") || !at(0x1fe, &[0x55, 0xaa]) {
        return Err(something_else(bytes));
    }
    if bytes.len() < 0x250 {
        return Err(NotBzImage::Truncated { promised: 0x250 });
    }
    if bytes[0x236] & XLF_KERNEL_64 == 0 {
        return Err(NotBzImage::Foreign("32-bit x86 (or a kernel older than 3.8)"));
    }
    let setup = (usize::from(if bytes[0x1f1] == 0 { 4 } else { bytes[0x1f1] }) + 1) * 512;
    let system = u32::from_le_bytes([bytes[0x1f4], bytes[0x1f5], bytes[0x1f6], bytes[0x1f7]]) as usize * 16;
    if bytes.len() < setup + system {
        return Err(NotBzImage::Truncated {
            promised: setup + system,
        });
    }
    Ok(Header {
        release: release(bytes),
    })
}

/// The version string begins with the release: `6.1.0-50-amd64 (debian-kernel@…) #1 SMP …`.
fn release(bytes: &[u8]) -> Option<String> {
    let offset = usize::from(u16::from_le_bytes([bytes[0x20e], bytes[0x20f]]));
    let text = bytes
        .get(offset + 0x200..)?
        .iter()
        .take(256)
        .take_while(|byte| byte.is_ascii_graphic());
    let release: String = text.map(|byte| char::from(*byte)).collect();
    (offset != 0 && release.starts_with(|first: char| first.is_ascii_digit())).then_some(release)
}

/// Names what the bytes are instead, by the magic numbers that the formats document.
fn something_else(bytes: &[u8]) -> NotBzImage {
    let at = |offset: usize, magic: &[u8]| bytes.get(offset..).is_some_and(|rest| rest.starts_with(magic));
    if bytes.is_empty() {
        NotBzImage::Other("an empty file")
    } else if at(0x38, b"ARM\x64") {
        NotBzImage::Foreign("arm64")
    } else if at(0x38, b"RSC\x05") {
        NotBzImage::Foreign("riscv")
    } else if at(0x24, &[0x18, 0x28, 0x6f, 0x01]) {
        NotBzImage::Foreign("32-bit arm")
    } else if at(4, b"zimg") {
        NotBzImage::Foreign("another machine than x86 (an EFI zboot image)")
    } else if at(0, b"\x7fELF") {
        elf(bytes)
    } else if at(0, b"\xfd7zXZ") || at(0, &[0x1f, 0x8b]) || at(0, &[0x28, 0xb5, 0x2f, 0xfd]) {
        NotBzImage::Other("a compressed file")
    } else if bytes
        .iter()
        .take(4096)
        .all(|byte| byte.is_ascii_graphic() || byte.is_ascii_whitespace())
    {
        NotBzImage::Other("a text file")
    } else {
        NotBzImage::Other("a file of another kind (no boot header `HdrS` at byte 514)")
    }
}

fn elf(bytes: &[u8]) -> NotBzImage {
    match bytes
        .get(18..20)
        .map(|machine| u16::from_le_bytes([machine[0], machine[1]]))
    {
        Some(super::elf::X86_64) => {
            NotBzImage::Other("an ELF file (of a vmlinux, name the arch/x86/boot/bzImage beside it)")
        }
        Some(3) => NotBzImage::Foreign("32-bit x86 (ELF)"),
        Some(40) => NotBzImage::Foreign("32-bit arm (ELF)"),
        Some(183) => NotBzImage::Foreign("arm64 (ELF)"),
        Some(243) => NotBzImage::Foreign("riscv (ELF)"),
        _ => NotBzImage::Foreign("another machine than x86 (ELF)"),
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The least that passes for a kernel: a boot sector, one setup sector, one paragraph of code.
    pub(in super::super) fn smallest(release: &str) -> Vec<u8> {
        let mut bytes = vec![0; 2 * 512 + 16 + 300];
        bytes[0x1f1] = 1;
        bytes[0x1f4] = 1;
        bytes[0x1fe..0x200].copy_from_slice(&[0x55, 0xaa]);
        bytes[0x202..0x206].copy_from_slice(b"HdrS");
        bytes[0x236] = XLF_KERNEL_64;
        bytes[0x20e..0x210].copy_from_slice(&0x100u16.to_le_bytes());
        let text = format!("{release} (someone@somewhere) #1 SMP");
        bytes[0x300..0x300 + text.len()].copy_from_slice(text.as_bytes());
        bytes
    }

    #[test]
    fn a_whole_image_tells_its_release() {
        let header = inspect(&smallest("4.4.0-210-generic")).unwrap();
        assert_eq!(header.release.as_deref(), Some("4.4.0-210-generic"));
    }

    #[test]
    fn a_cut_image_tells_how_long_it_should_be() {
        let mut bytes = smallest("6.1.0");
        bytes[0x1f4..0x1f8].copy_from_slice(&1000u32.to_le_bytes());
        // Two sectors of 512, and 1000 paragraphs of 16 bytes.
        assert_eq!(
            inspect(&bytes),
            Err(NotBzImage::Truncated {
                promised: 1024 + 16_000
            })
        );
    }

    #[test]
    fn other_things_are_called_by_their_names() {
        let mut thirty_two = smallest("6.1.0-686");
        thirty_two[0x236] = 0;
        assert!(matches!(inspect(&thirty_two), Err(NotBzImage::Foreign(name)) if name.starts_with("32-bit x86")));
        let mut arm = vec![0; 4096];
        arm[0x38..0x3c].copy_from_slice(b"ARM\x64");
        assert_eq!(inspect(&arm), Err(NotBzImage::Foreign("arm64")));
        assert_eq!(inspect(b"#!/bin/sh\n"), Err(NotBzImage::Other("a text file")));
        assert_eq!(inspect(b""), Err(NotBzImage::Other("an empty file")));
        let program = std::fs::read(std::env::current_exe().unwrap()).unwrap();
        assert!(matches!(inspect(&program), Err(NotBzImage::Other(name)) if name.starts_with("an ELF")));
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..700), header: bool) {
            let mut bytes = bytes;
            if header && bytes.len() > 0x210 {
                bytes[0x1fe..0x200].copy_from_slice(&[0x55, 0xaa]);
                bytes[0x202..0x206].copy_from_slice(b"HdrS");
            }
            let _ = (inspect(&bytes), directly_bootable(&bytes));
        }
    }
}
