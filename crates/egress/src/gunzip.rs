//! Decompresses a gzip body chunk by chunk.

use std::io::Write as _;

use flate2::write::MultiGzDecoder;

/// Input per call. Deflate expands one byte to at most about 1,032 bytes, so this limits the memory.
pub(super) const INPUT_BYTES: usize = 1_024;

/// Not a gzip stream, or the checksum does not match.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Corrupt;

/// A gzip decoder.
pub(super) struct Gunzip(MultiGzDecoder<Vec<u8>>);

impl Gunzip {
    pub(super) fn new() -> Self {
        Self(MultiGzDecoder::new(Vec::new()))
    }

    /// Takes at most [`INPUT_BYTES`] and returns the decompressed bytes.
    pub(super) fn push(&mut self, chunk: &[u8]) -> Result<Vec<u8>, Corrupt> {
        debug_assert!(chunk.len() <= INPUT_BYTES);
        self.0.write_all(chunk).map_err(|_| Corrupt)?;
        Ok(std::mem::take(self.0.get_mut()))
    }

    /// Ends the input and returns the remaining bytes, if the stream is complete and its checksum matches.
    pub(super) fn finish(self) -> Result<Vec<u8>, Corrupt> {
        self.0.finish().map_err(|_| Corrupt)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use flate2::Compression;
    use flate2::write::GzEncoder;

    use super::*;

    pub(in super::super) fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn gunzip(compressed: &[u8], chunk_bytes: usize) -> Result<Vec<u8>, Corrupt> {
        let mut gunzip = Gunzip::new();
        let mut all = Vec::new();
        for chunk in compressed.chunks(chunk_bytes) {
            all.extend(gunzip.push(chunk)?);
        }
        all.extend(gunzip.finish()?);
        Ok(all)
    }

    #[test]
    fn compressed_data_is_restored_from_chunks_of_any_size() {
        let film: Vec<u8> =
            (0..100_000_u32).map(|at| u8::try_from((at % 1_000).pow(2) % 251).unwrap()).collect();
        let compressed = gzip(&film);
        for chunk_bytes in [1, 7, 100, INPUT_BYTES] {
            assert!(gunzip(&compressed, chunk_bytes) == Ok(film.clone()), "{chunk_bytes}");
        }
        // Two concatenated streams are one.
        let twice = [gzip(b"one "), gzip(b"film")].concat();
        assert_eq!(gunzip(&twice, 5).unwrap(), b"one film");
    }

    #[test]
    fn a_truncated_or_modified_stream_is_corrupt() {
        let whole = gzip(&[7; 10_000]);
        let mut changed = whole.clone();
        let checksum = changed.len() - 6;
        changed[checksum] ^= 1;
        for bad in
            [&whole[..whole.len() - 1], &whole[..20], changed.as_slice(), b"\x1f\x8b\x08nonsense", b"plain"]
        {
            assert_eq!(gunzip(bad, INPUT_BYTES), Err(Corrupt));
        }
    }

    #[test]
    fn one_chunk_of_a_bomb_is_small() {
        let bomb = gzip(&vec![0; 50_000_000]);
        let mut gunzip = Gunzip::new();
        for chunk in bomb.chunks(INPUT_BYTES) {
            assert!(gunzip.push(chunk).unwrap().len() <= INPUT_BYTES * 1_100 + 65_536);
        }
    }
}
