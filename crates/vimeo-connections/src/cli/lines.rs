//! Reads the lines of a file with unknown content. Each line is limited in length and wiped after use.

use std::io::{self, Read};

use domain::text::without_byte_order_mark;
use zeroize::Zeroizing;

/// Limit for the length of a line, the same as for a request body.
pub(super) const LINE_MAX_BYTES: usize = 64 * 1024;
/// How much is read at once.
const CHUNK_BYTES: usize = 64 * 1024;
/// The byte order marks of UTF-16.
const UTF_16_BYTE_ORDER_MARKS: [&[u8]; 2] = [b"\xff\xfe", b"\xfe\xff"];

/// One line.
pub(super) struct Line {
    /// Starts at 1.
    pub(super) number: u64,
    /// Without its line feed; `None` if it is too long.
    pub(super) bytes: Option<Zeroizing<Vec<u8>>>,
}

/// Reads a source line by line.
pub(super) struct Lines<R> {
    source: R,
    /// Buffered data: the unread part starts at `start` and has `left` bytes.
    chunk: Zeroizing<Vec<u8>>,
    start: usize,
    left: usize,
    number: u64,
}

impl<R: Read> Lines<R> {
    pub(super) fn new(source: R) -> Self {
        Self { source, chunk: Zeroizing::new(vec![0; CHUNK_BYTES]), start: 0, left: 0, number: 0 }
    }

    /// The next line; `None` after the last.
    pub(super) fn next(&mut self) -> io::Result<Option<Line>> {
        // Allocated in full, because a growing vector leaves copies behind.
        let mut bytes = Zeroizing::new(Vec::with_capacity(LINE_MAX_BYTES + 1));
        let (mut is_started, mut is_too_long) = (false, false);
        loop {
            if self.left == 0 {
                self.start = 0;
                self.left = self.fill()?;
                if self.left == 0 && !is_started {
                    return Ok(None);
                }
            }
            is_started = true;
            let unread = self.chunk.get(self.start..self.start + self.left).unwrap_or_default();
            let end = unread.iter().position(|byte| *byte == b'\n');
            let part = unread.get(..end.unwrap_or(unread.len())).unwrap_or_default();
            is_too_long |= bytes.len() + part.len() > LINE_MAX_BYTES;
            if !is_too_long {
                bytes.extend_from_slice(part);
            }
            let taken = part.len() + usize::from(end.is_some());
            let is_last = self.left == 0;
            self.start += taken;
            self.left -= taken;
            if end.is_some() || is_last {
                break;
            }
        }
        self.number += 1;
        if self.number == 1 && UTF_16_BYTE_ORDER_MARKS.iter().any(|mark| bytes.starts_with(mark)) {
            let message = "it is UTF-16; save it as UTF-8 (in a spreadsheet: “CSV UTF-8”)";
            return Err(io::Error::new(io::ErrorKind::InvalidData, message));
        }
        if self.number == 1 {
            let mark = bytes.len() - without_byte_order_mark(&bytes).len();
            bytes.drain(..mark);
        }
        Ok(Some(Line { number: self.number, bytes: (!is_too_long).then_some(bytes) }))
    }

    fn fill(&mut self) -> io::Result<usize> {
        loop {
            match self.source.read(&mut self.chunk) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                result => return result,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &[u8]) -> Vec<(u64, Option<Vec<u8>>)> {
        let mut lines = Lines::new(text);
        let mut all = Vec::new();
        while let Some(line) = lines.next().unwrap() {
            all.push((line.number, line.bytes.map(|bytes| bytes.to_vec())));
        }
        all
    }

    #[test]
    fn every_line_is_read_with_its_number() {
        assert!(read(b"").is_empty());
        let expected = [(1, Some(b"a\r".to_vec())), (2, Some(vec![])), (3, Some(b"b".to_vec()))];
        assert_eq!(read(b"\xef\xbb\xbfa\r\n\nb"), expected);
        assert_eq!(read(b"a\r\n\nb\n"), expected);
    }

    #[test]
    fn utf_16_is_rejected_by_name() {
        for (mark, bytes) in [(b"\xff\xfe", b"a\0\n\0"), (b"\xfe\xff", b"\0a\0\n")] {
            let text = [&mark[..], bytes].concat();
            let Err(error) = Lines::new(&text[..]).next() else { panic!("it was read") };
            assert_eq!(error.kind(), io::ErrorKind::InvalidData);
            assert!(error.to_string().contains("UTF-16"), "{error}");
        }
    }

    #[test]
    fn a_line_that_is_too_long_does_not_affect_the_next() {
        for (length, fits) in
            [(LINE_MAX_BYTES, true), (LINE_MAX_BYTES + 1, false), (5 * LINE_MAX_BYTES, false)]
        {
            let text = [vec![b'x'; length].as_slice(), b"\nb"].concat();
            let lines = read(&text);
            assert_eq!((lines.len(), lines[0].1.is_some()), (2, fits), "{length}");
            assert_eq!(lines[1], (2, Some(b"b".to_vec())));
        }
    }
}
