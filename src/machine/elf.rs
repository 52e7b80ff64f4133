//! The little of ELF (64-bit, little-endian) that a guest needs: which machine, which interpreter, where the loaded
//! part ends, and a section by name. Reads untrusted bytes: every offset is checked.
#![forbid(unsafe_code)]

const PT_LOAD: u32 = 1;
const PT_INTERP: u32 = 3;
const PT_NOTE: u32 = 4;
/// `e_machine` of x86-64.
pub(super) const X86_64: u16 = 62;

/// A 64-bit little-endian ELF file.
#[derive(Clone, Copy, Debug)]
pub(super) struct Elf<'a>(&'a [u8]);

struct Segment<'a> {
    kind: u32,
    end: usize,
    bytes: &'a [u8],
}

impl<'a> Elf<'a> {
    /// None where the bytes are no 64-bit little-endian ELF file.
    pub(super) fn parse(bytes: &'a [u8]) -> Option<Self> {
        (bytes.starts_with(b"\x7fELF\x02\x01") && bytes.len() >= 64).then_some(Self(bytes))
    }

    pub(super) fn machine(self) -> u16 {
        self.u16(18).unwrap_or(0)
    }

    /// The dynamic loader that the program asks for; None where it is linked statically.
    pub(super) fn interpreter(self) -> Option<&'a str> {
        let segment = self.segments().find(|segment| segment.kind == PT_INTERP)?;
        std::str::from_utf8(segment.bytes)
            .ok()
            .map(|path| path.trim_end_matches('\0'))
    }

    /// Where the last loaded segment ends: what follows (symbols, debug information) is not needed to run.
    pub(super) fn loaded_end(self) -> usize {
        self.segments()
            .filter(|segment| segment.kind == PT_LOAD)
            .map(|segment| segment.end)
            .max()
            .unwrap_or(self.0.len())
    }

    /// Whether there is a note of this owner and type.
    pub(super) fn has_note(self, owner: &[u8], kind: u32) -> bool {
        self.segments()
            .filter(|segment| segment.kind == PT_NOTE)
            .any(|segment| has_note(segment.bytes, owner, kind))
    }

    pub(super) fn section(self, name: &str) -> Option<&'a [u8]> {
        let names = self.section_at(self.u16(62)?)?.1;
        (0..self.u16(60)?).find_map(|index| {
            let (name_offset, bytes) = self.section_at(index)?;
            let rest = names.get(name_offset..)?;
            (rest.strip_prefix(name.as_bytes())?.first() == Some(&0)).then_some(bytes)
        })
    }

    /// Offset of the section's name, and its bytes.
    fn section_at(self, index: u16) -> Option<(usize, &'a [u8])> {
        let at = self
            .u64(40)?
            .checked_add(usize::from(index) * usize::from(self.u16(58)?))?;
        let (offset, size) = (self.u64(at.checked_add(24)?)?, self.u64(at.checked_add(32)?)?);
        Some((self.u32(at)? as usize, self.0.get(offset..offset.checked_add(size)?)?))
    }

    fn segments(self) -> impl Iterator<Item = Segment<'a>> {
        let (table, size) = (self.u64(32).unwrap_or(0), usize::from(self.u16(54).unwrap_or(0)));
        (0..usize::from(self.u16(56).unwrap_or(0))).filter_map(move |index| {
            let at = table.checked_add(index * size)?;
            let (offset, length) = (self.u64(at.checked_add(8)?)?, self.u64(at.checked_add(32)?)?);
            let end = offset.checked_add(length)?;
            Some(Segment {
                kind: self.u32(at)?,
                end,
                bytes: self.0.get(offset..end)?,
            })
        })
    }

    fn u16(self, at: usize) -> Option<u16> {
        Some(u16::from_le_bytes(self.array(at)?))
    }

    fn u32(self, at: usize) -> Option<u32> {
        Some(u32::from_le_bytes(self.array(at)?))
    }

    fn u64(self, at: usize) -> Option<usize> {
        usize::try_from(u64::from_le_bytes(self.array(at)?)).ok()
    }

    fn array<const N: usize>(self, at: usize) -> Option<[u8; N]> {
        self.0.get(at..at.checked_add(N)?)?.try_into().ok()
    }
}

/// Notes follow one another: lengths of owner and content, type, owner, content, each padded to four bytes.
fn has_note(mut notes: &[u8], owner: &[u8], kind: u32) -> bool {
    while let [a, b, c, d, e, f, g, h, i, j, k, l, rest @ ..] = notes {
        let (owner_length, content_length) = (
            u32::from_le_bytes([*a, *b, *c, *d]),
            u32::from_le_bytes([*e, *f, *g, *h]),
        );
        if u32::from_le_bytes([*i, *j, *k, *l]) == kind && rest.get(..owner_length as usize) == Some(owner) {
            return true;
        }
        let next = u64::from(owner_length).next_multiple_of(4) + u64::from(content_length).next_multiple_of(4);
        notes = usize::try_from(next)
            .ok()
            .and_then(|next| rest.get(next..))
            .unwrap_or_default();
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn this_test_is_an_elf_program_that_ends_before_its_symbols() {
        let bytes = std::fs::read(std::env::current_exe().unwrap()).unwrap();
        let elf = Elf::parse(&bytes).unwrap();
        assert_eq!(elf.machine(), X86_64);
        assert!(elf.section(".text").is_some_and(|text| !text.is_empty()));
        assert!(elf.section(".no-such-section").is_none());
        assert!(elf.loaded_end() < bytes.len());
        assert!(elf.has_note(b"GNU\0", 3), "its build id");
        assert!(!elf.has_note(b"GNU\0", 0x7777));
    }

    #[test]
    fn a_note_is_found_behind_another_and_a_damaged_one_ends_the_search() {
        let note = |owner: &[u8; 4], kind: u8, length: u8| {
            let mut bytes = vec![4, 0, 0, 0, length, 0, 0, 0, kind, 0, 0, 0];
            bytes.extend_from_slice(owner);
            bytes.resize(bytes.len() + usize::from(length).next_multiple_of(4), 0);
            bytes
        };
        let two = [note(b"GNU\0", 3, 5), note(b"Xen\0", 18, 4)].concat();
        assert!(has_note(&two, b"Xen\0", 18));
        assert!(!has_note(&two, b"Xen\0", 3));
        let mut damaged = two;
        damaged[4..8].fill(0xff);
        assert!(!has_note(&damaged, b"Xen\0", 18));
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(mut bytes in proptest::collection::vec(any::<u8>(), 64..512)) {
            bytes[..6].copy_from_slice(b"\x7fELF\x02\x01");
            let elf = Elf::parse(&bytes).unwrap();
            let _ = (elf.interpreter(), elf.loaded_end(), elf.section(".modinfo"), elf.has_note(b"Xen\0", 18));
        }
    }
}
