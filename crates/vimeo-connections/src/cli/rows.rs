//! Rows of a table of comma-separated values: each read within a limit, and wiped.

use std::io::{self, Read};

use csv_core::{ReadRecordResult, Reader};
use zeroize::Zeroizing;

use super::lines::{LINE_MAX_BYTES, Lines};

/// How many cells of a row are read.
const CELLS_MAX: usize = 100;

/// A row's cells, or what is wrong with it.
pub(super) type Cells = Result<Vec<Zeroizing<String>>, &'static str>;

/// Reads a table row by row.
pub(super) struct Rows<R> {
    lines: Lines<R>,
    reader: Reader,
    cells: Zeroizing<Vec<u8>>,
    ends: [usize; CELLS_MAX],
}

impl<R: Read> Rows<R> {
    pub(super) fn new(lines: Lines<R>) -> Self {
        let cells = Zeroizing::new(vec![0; LINE_MAX_BYTES]);
        Self { lines, reader: Reader::new(), cells, ends: [0; CELLS_MAX] }
    }

    /// The next row and the number of its first line; `None` after the last. Empty lines are no rows.
    pub(super) fn next(&mut self) -> io::Result<Option<(u64, Cells)>> {
        self.reader = Reader::new();
        let (mut first, mut filled, mut ended) = (None, 0, 0);
        loop {
            let Some(line) = self.lines.next()? else {
                return Ok(first.map(|number| (number, Err("has a quotation mark that is not closed"))));
            };
            let number = *first.get_or_insert(line.number);
            let Some(mut bytes) = line.bytes else { return Ok(Some((number, Err("is longer than 64 KiB")))) };
            if filled == 0 && ended == 0 && number == line.number && bytes.trim_ascii().is_empty() {
                first = None;
                continue;
            }
            bytes.push(b'\n');
            let room = self.cells.get_mut(filled..).unwrap_or_default();
            let ends = self.ends.get_mut(ended..).unwrap_or_default();
            let (result, read, more_filled, more_ended) = self.reader.read_record(&bytes, room, ends);
            filled += more_filled;
            ended += more_ended;
            let fault = match result {
                ReadRecordResult::InputEmpty => continue,
                ReadRecordResult::OutputFull => "is longer than 64 KiB",
                ReadRecordResult::OutputEndsFull => "has more than 100 cells",
                ReadRecordResult::Record | ReadRecordResult::End => {
                    let rest = bytes.get(read..).unwrap_or_default();
                    if rest.trim_ascii().is_empty() {
                        return Ok(Some((number, self.take(ended))));
                    }
                    "has a carriage return in its middle"
                }
            };
            return Ok(Some((number, Err(fault))));
        }
    }

    fn take(&mut self, ended: usize) -> Cells {
        let mut begin = 0;
        let cells = self.ends.iter().take(ended).map(|end| {
            let cell = std::str::from_utf8(self.cells.get(begin..*end).unwrap_or_default());
            begin = *end;
            cell.map(|cell| Zeroizing::new(cell.to_owned())).map_err(|_| "is not UTF-8")
        });
        cells.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Vec<(u64, Result<Vec<String>, &'static str>)> {
        let mut rows = Rows::new(Lines::new(text.as_bytes()));
        let mut all = Vec::new();
        while let Some((number, cells)) = rows.next().unwrap() {
            all.push((number, cells.map(|cells| cells.iter().map(|cell| cell.to_string()).collect())));
        }
        all
    }

    fn row(number: u64, cells: &[&str]) -> (u64, Result<Vec<String>, &'static str>) {
        (number, Ok(cells.iter().map(|cell| (*cell).to_owned()).collect()))
    }

    #[test]
    fn rows_are_read_with_the_numbers_of_their_lines() {
        let text = "\u{feff}a,b\r\n\r\n1,\"two\r\nlines, \"\"x\"\"\"\n  \n,\nlast,one";
        let expected = [
            row(1, &["a", "b"]),
            row(3, &["1", "two\r\nlines, \"x\""]),
            row(6, &["", ""]),
            row(7, &["last", "one"]),
        ];
        assert_eq!(read(text), expected);
    }

    #[test]
    fn a_row_that_cannot_be_read_does_not_spoil_the_next() {
        let long = "x".repeat(LINE_MAX_BYTES + 1);
        let wide = ",".repeat(CELLS_MAX);
        for (bad, fault) in [
            (long.as_str(), "is longer than 64 KiB"),
            (&wide, "has more than 100 cells"),
            ("a\rb", "has a carriage return in its middle"),
        ] {
            assert_eq!(read(&format!("{bad}\na,b\n")), [(1, Err(fault)), row(2, &["a", "b"])]);
        }
        assert_eq!(
            read("a,b\n\"c\nd,e\n"),
            [row(1, &["a", "b"]), (2, Err("has a quotation mark that is not closed")),]
        );
    }
}
