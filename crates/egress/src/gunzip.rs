//! A body that was compressed with gzip for the transfer, decompressed piece by piece.

use std::io::Write as _;

use flate2::write::MultiGzDecoder;

/// So much is decompressed at once. Deflate makes at most about 1,032 bytes of one: this bounds the memory.
pub(super) const INPUT_BYTES: usize = 1_024;

/// The bytes are no gzip stream, or their checksum does not fit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Corrupt;

/// A decompression in progress.
pub(super) struct Gunzip(MultiGzDecoder<Vec<u8>>);

impl Gunzip {
    pub(super) fn new() -> Self {
        Self(MultiGzDecoder::new(Vec::new()))
    }

    /// Takes at most [`INPUT_BYTES`], and gives what they hold.
    pub(super) fn push(&mut self, piece: &[u8]) -> Result<Vec<u8>, Corrupt> {
        debug_assert!(piece.len() <= INPUT_BYTES);
        self.0.write_all(piece).map_err(|_| Corrupt)?;
        Ok(std::mem::take(self.0.get_mut()))
    }

    /// The end of the input: what is left, if the stream is whole and its checksum fits.
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

    fn gunzip(compressed: &[u8], piece_bytes: usize) -> Result<Vec<u8>, Corrupt> {
        let mut gunzip = Gunzip::new();
        let mut all = Vec::new();
        for piece in compressed.chunks(piece_bytes) {
            all.extend(gunzip.push(piece)?);
        }
        all.extend(gunzip.finish()?);
        Ok(all)
    }

    #[test]
    fn what_was_compressed_comes_back_in_pieces_of_any_size() {
        let film: Vec<u8> =
            (0..100_000_u32).map(|at| u8::try_from((at % 1_000).pow(2) % 251).unwrap()).collect();
        let compressed = gzip(&film);
        for piece_bytes in [1, 7, 100, INPUT_BYTES] {
            assert!(gunzip(&compressed, piece_bytes) == Ok(film.clone()), "{piece_bytes}");
        }
        // Two streams in a row are one.
        let twice = [gzip(b"one "), gzip(b"film")].concat();
        assert_eq!(gunzip(&twice, 5).unwrap(), b"one film");
    }

    #[test]
    fn a_stream_that_is_cut_changed_or_none_is_corrupt() {
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
    fn one_piece_of_a_bomb_is_small() {
        let bomb = gzip(&vec![0; 50_000_000]);
        let mut gunzip = Gunzip::new();
        for piece in bomb.chunks(INPUT_BYTES) {
            assert!(gunzip.push(piece).unwrap().len() <= INPUT_BYTES * 1_100 + 65_536);
        }
    }
}
