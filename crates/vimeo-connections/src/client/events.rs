//! Reads server-sent events.

/// The longest line. A job has far fewer bytes.
const LINE_MAX_BYTES: usize = 1024 * 1024;

/// An event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Event {
    /// Its ID, with which a client resumes.
    pub(crate) id: Option<String>,
    pub(crate) data: String,
}

/// Collects bytes until events are complete.
#[derive(Debug, Default)]
pub(crate) struct EventReader {
    line: Vec<u8>,
    id: Option<String>,
    data: Option<String>,
    is_after_carriage_return: bool,
}

/// A line is longer than any that the service sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct LineTooLong;

impl EventReader {
    /// The events that are complete with these bytes.
    pub(crate) fn read(&mut self, bytes: &[u8]) -> Result<Vec<Event>, LineTooLong> {
        let mut events = Vec::new();
        for byte in bytes {
            let was_after = std::mem::replace(&mut self.is_after_carriage_return, *byte == b'\r');
            match byte {
                // The second byte of one line end.
                b'\n' if was_after => {}
                b'\n' | b'\r' => events.extend(self.end_line()),
                _ if self.line.len() >= LINE_MAX_BYTES => return Err(LineTooLong),
                _ => self.line.push(*byte),
            }
        }
        Ok(events)
    }

    fn end_line(&mut self) -> Option<Event> {
        let line = std::mem::take(&mut self.line);
        let line = String::from_utf8_lossy(&line);
        if line.is_empty() {
            let id = self.id.take();
            return self.data.take().map(|data| Event { id, data });
        }
        let (field, value) = line.split_once(':').unwrap_or((&line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "id" => self.id = Some(value.to_owned()),
            "data" => match &mut self.data {
                Some(data) => {
                    data.push('\n');
                    data.push_str(value);
                }
                None => self.data = Some(value.to_owned()),
            },
            // Comments, the retry time, and the name, which is always the same.
            _ => {}
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(id: Option<&str>, data: &str) -> Event {
        Event { id: id.map(str::to_owned), data: data.to_owned() }
    }

    #[test]
    fn events_are_read_however_the_bytes_are_split() {
        let text = "retry: 2000\nevent: job\nid: 1\ndata: {\"a\":1}\n\n: heartbeat\n\nid: 2\r\ndata:x\r\ndata: y\r\n\r\n\
                    data: é\n\nid: 3\n\ndata: incomplete\n";
        let expected = [event(Some("1"), "{\"a\":1}"), event(Some("2"), "x\ny"), event(None, "é")];
        for size in 1..text.len() {
            let mut reader = EventReader::default();
            let events: Vec<_> =
                text.as_bytes().chunks(size).flat_map(|part| reader.read(part).unwrap()).collect();
            assert_eq!(events, expected, "{size}");
        }
    }

    #[test]
    fn a_line_without_an_end_is_not_collected_for_ever() {
        let mut reader = EventReader::default();
        assert_eq!(reader.read(&vec![b'x'; LINE_MAX_BYTES]), Ok(vec![]));
        assert_eq!(reader.read(b"x"), Err(LineTooLong));
    }
}
