//! Packets and the integers and strings in them ("Protocol Basics": three bytes of length, one of sequence, payload).

/// A packet of this length is continued by the next one.
pub(super) const MAX_LENGTH: u32 = 0xff_ffff;
/// Length and sequence number.
pub(super) const HEADER: usize = 4;

/// The payload's length and the sequence number of the packet that the input begins with.
pub(super) fn header(input: &[u8]) -> Option<(u32, u8)> {
    match input {
        [a, b, c, sequence, ..] => Some((u32::from_le_bytes([*a, *b, *c, 0]), *sequence)),
        _ => None,
    }
}

/// Appends one packet with the next sequence number; `payload` appends what is in it.
pub(super) fn write(out: &mut Vec<u8>, sequence: &mut u8, payload: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    out.extend([0, 0, 0, *sequence]);
    payload(out);
    let length = out.len() - start - HEADER;
    debug_assert!(
        length < MAX_LENGTH as usize,
        "a payload of {length} bytes takes several packets"
    );
    out[start..start + 3].copy_from_slice(&(length as u32).to_le_bytes()[..3]);
    *sequence = sequence.wrapping_add(1);
}

/// Appends a length-encoded integer.
pub(super) fn integer(out: &mut Vec<u8>, value: u64) {
    match value {
        0..=250 => out.push(value as u8),
        251..=0xffff => {
            out.push(0xfc);
            out.extend(&value.to_le_bytes()[..2]);
        }
        0x1_0000..=0xff_ffff => {
            out.push(0xfd);
            out.extend(&value.to_le_bytes()[..3]);
        }
        _ => {
            out.push(0xfe);
            out.extend(value.to_le_bytes());
        }
    }
}

/// Appends a length-encoded string.
pub(super) fn string(out: &mut Vec<u8>, bytes: &[u8]) {
    integer(out, bytes.len() as u64);
    out.extend(bytes);
}

/// Reads a payload from its front; None wherever it is too short.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reader<'a>(pub(super) &'a [u8]);

impl<'a> Reader<'a> {
    pub(super) fn bytes(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    pub(super) fn u8(&mut self) -> Option<u8> {
        self.bytes(1).map(|bytes| bytes[0])
    }

    pub(super) fn u16(&mut self) -> Option<u16> {
        self.bytes(2).map(|bytes| u16::from_le_bytes([bytes[0], bytes[1]]))
    }

    pub(super) fn u32(&mut self) -> Option<u32> {
        let bytes = self.bytes(4)?;
        Some(u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]))
    }

    /// A length-encoded integer.
    pub(super) fn integer(&mut self) -> Option<u64> {
        let count = match self.u8()? {
            small @ 0..=250 => return Some(small.into()),
            0xfc => 2,
            0xfd => 3,
            0xfe => 8,
            _ => return None,
        };
        let mut bytes = [0; 8];
        bytes[..count].copy_from_slice(self.bytes(count)?);
        Some(u64::from_le_bytes(bytes))
    }

    /// A length-encoded string.
    pub(super) fn string(&mut self) -> Option<&'a [u8]> {
        let count = usize::try_from(self.integer()?).ok()?;
        self.bytes(count)
    }

    /// A string that ends with NUL.
    pub(super) fn c_string(&mut self) -> Option<&'a [u8]> {
        let end = self.0.iter().position(|&byte| byte == 0)?;
        let taken = self.bytes(end);
        self.bytes(1)?;
        taken
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn an_integer_read_is_the_one_written(value: u64, shift in 0..64) {
            let (value, mut out) = (value >> shift, Vec::new());
            integer(&mut out, value);
            let mut reader = Reader(&out);
            prop_assert_eq!(reader.integer(), Some(value));
            prop_assert!(reader.0.is_empty());
        }
    }

    #[test]
    fn a_packet_has_its_length_and_the_next_sequence_number() {
        let (mut out, mut sequence) = (Vec::new(), 255);
        write(&mut out, &mut sequence, |out| out.extend(b"abc"));
        assert_eq!(out, [3, 0, 0, 255, b'a', b'b', b'c']);
        assert_eq!((header(&out), sequence), (Some((3, 255)), 0));
    }

    #[test]
    fn what_is_too_short_is_none() {
        assert_eq!(Reader(b"\xfc\x01").integer(), None);
        assert_eq!(Reader(b"\x05abc").string(), None);
        assert_eq!(Reader(b"abc").c_string(), None);
        assert_eq!(Reader(b"\xfe\xff\xff\xff\xff\xff\xff\xff\xff").string(), None);
    }
}
