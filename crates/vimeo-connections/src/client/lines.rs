//! Reads a response line by line, in bounded memory.

use reqwest::Response;

use super::ClientError;

/// The longest line. An audit event has far fewer bytes.
const LINE_MAX_BYTES: usize = 1024 * 1024;

/// A response of lines.
pub(crate) struct Lines {
    response: Response,
    service: String,
    buffer: LineBuffer,
}

/// Collects bytes until lines are complete.
#[derive(Debug, Default)]
struct LineBuffer(Vec<u8>);

/// A line is longer than any that the service sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct LineTooLong;

impl Lines {
    pub(super) fn new(response: Response, service: String) -> Self {
        Self { response, service, buffer: LineBuffer::default() }
    }

    /// The next complete lines, with their ends, perhaps none yet; `None` after the last.
    pub(crate) async fn next(&mut self) -> Result<Option<Vec<u8>>, ClientError> {
        let service = || self.service.clone();
        let chunk = self
            .response
            .chunk()
            .await
            .map_err(|error| ClientError::Incomplete { service: service(), source: error.without_url() })?;
        match chunk {
            Some(bytes) => match self.buffer.add(&bytes) {
                Ok(lines) => Ok(Some(lines)),
                Err(LineTooLong) => Err(ClientError::TooLarge { service: service() }),
            },
            None if self.buffer.0.is_empty() => Ok(None),
            // The service ends every line.
            None => Err(ClientError::Foreign { service: service(), status: self.response.status().as_u16() }),
        }
    }
}

impl LineBuffer {
    /// The lines that are complete with these bytes.
    fn add(&mut self, bytes: &[u8]) -> Result<Vec<u8>, LineTooLong> {
        let end = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |last| last + 1);
        let (complete, rest) = bytes.split_at(end);
        let mut lines = Vec::new();
        if !complete.is_empty() {
            lines = std::mem::take(&mut self.0);
            lines.extend_from_slice(complete);
        }
        if self.0.len() + rest.len() > LINE_MAX_BYTES {
            return Err(LineTooLong);
        }
        self.0.extend_from_slice(rest);
        Ok(lines)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_complete_however_the_bytes_are_split() {
        let text = "{\"a\":1}\n\n{\"b\":\"é\"}\nincomplete";
        for size in 1..=text.len() {
            let (mut buffer, mut read) = (LineBuffer::default(), Vec::new());
            for part in text.as_bytes().chunks(size) {
                let lines = buffer.add(part).unwrap();
                assert!(lines.is_empty() || lines.ends_with(b"\n"), "{size}");
                read.extend(lines);
            }
            assert_eq!(
                (&*read, &*buffer.0),
                (&b"{\"a\":1}\n\n{\"b\":\"\xc3\xa9\"}\n"[..], &b"incomplete"[..])
            );
        }
    }

    #[test]
    fn a_line_without_an_end_is_not_collected_for_ever() {
        let mut buffer = LineBuffer::default();
        assert_eq!(buffer.add(&vec![b'x'; LINE_MAX_BYTES]), Ok(vec![]));
        assert_eq!(buffer.add(b"x"), Err(LineTooLong));
    }
}
