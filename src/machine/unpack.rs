//! Compressed streams, told by their first bytes: gzip, xz, zstd, or none. Modules, packages and kernels come in each.
#![forbid(unsafe_code)]

use std::io::{self, BufRead, BufReader, Read};

use flate2::read::GzDecoder;
use lzma_rust2::XzReader;
use ruzstd::decoding::StreamingDecoder;

/// The plain bytes of a stream, whichever of the known compressions it has.
///
/// # Errors
/// The stream cannot be read, or its header is damaged.
pub(super) fn reader<'a>(packed: impl Read + 'a) -> io::Result<Box<dyn Read + 'a>> {
    let mut packed = BufReader::with_capacity(1 << 16, packed);
    Ok(match packed.fill_buf()? {
        [0x1f, 0x8b, ..] => Box::new(GzDecoder::new(packed)),
        [0xfd, b'7', b'z', b'X', b'Z', ..] => Box::new(XzReader::new(packed, true)),
        [0x28, 0xb5, 0x2f, 0xfd, ..] => Box::new(StreamingDecoder::new(packed).map_err(io::Error::other)?),
        _ => Box::new(packed),
    })
}

/// All the plain bytes.
///
/// # Errors
/// As [`reader`], and where the stream is damaged or cut off.
pub(super) fn bytes(packed: &[u8]) -> io::Result<Vec<u8>> {
    let mut plain = Vec::new();
    reader(packed)?.read_to_end(&mut plain)?;
    Ok(plain)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use std::process::{Command, Stdio};

    /// Packed by the tool that packs them for distributions.
    fn packed_by(tool: &str, plain: &[u8]) -> Vec<u8> {
        let mut child = Command::new(tool)
            .arg("-c")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("this test needs {tool} (apt-get install gzip xz-utils zstd): {error}"));
        child.stdin.take().unwrap().write_all(plain).unwrap();
        child.wait_with_output().unwrap().stdout
    }

    #[test]
    fn each_compression_gives_the_plain_bytes_back_and_a_cut_stream_an_error() {
        let plain: Vec<u8> = (0..20_000u32).flat_map(|n| (n % 977).to_le_bytes()).collect();
        for tool in ["gzip", "xz", "zstd"] {
            let packed = packed_by(tool, &plain);
            assert_eq!(bytes(&packed).unwrap(), plain, "{tool}");
            assert!(bytes(&packed[..packed.len() / 2]).is_err(), "{tool}: half a stream");
        }
        assert_eq!(bytes(b"as it is").unwrap(), b"as it is");
        assert_eq!(bytes(b"").unwrap(), b"");
    }
}
