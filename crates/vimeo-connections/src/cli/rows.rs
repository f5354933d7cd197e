//! Reads rows of a table as spreadsheets write them, separated by `,`, `;` or tabs. Each row is limited in length and
//! wiped after use.

use std::io::{self, Read};

use csv_core::{ReadRecordResult, Reader, ReaderBuilder};
use zeroize::Zeroizing;

use super::lines::{LINE_MAX_BYTES, Lines};

/// Limit for the number of cells in a row.
const CELLS_MAX: usize = 100;

/// The cells of a row, or what is wrong with it.
pub(super) type Cells = Result<Vec<Zeroizing<String>>, &'static str>;

/// Reads a table row by row.
pub(super) struct Rows<R> {
    lines: Lines<R>,
    /// The separator; known after the first line.
    separator: Option<u8>,
    reader: Reader,
    cells: Zeroizing<Vec<u8>>,
    ends: [usize; CELLS_MAX],
}

impl<R: Read> Rows<R> {
    pub(super) fn new(lines: Lines<R>) -> Self {
        let cells = Zeroizing::new(vec![0; LINE_MAX_BYTES]);
        Self { lines, separator: None, reader: Reader::new(), cells, ends: [0; CELLS_MAX] }
    }

    /// The next row and the number of its first line; `None` after the last. Rows with only blank cells are skipped:
    /// spreadsheets write them for rows that were used before.
    pub(super) fn next(&mut self) -> io::Result<Option<(u64, Cells)>> {
        loop {
            match self.read()? {
                Some((_, Ok(cells))) if cells.iter().all(|cell| cell.trim().is_empty()) => {}
                row => return Ok(row),
            }
        }
    }

    fn read(&mut self) -> io::Result<Option<(u64, Cells)>> {
        self.reader = reader(self.separator);
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
            if self.separator.is_none() {
                if let Some(named) = declared_separator(&bytes) {
                    self.separator = Some(named);
                    self.reader = reader(self.separator);
                    first = None;
                    continue;
                }
                self.separator = Some(likely_separator(&bytes));
                self.reader = reader(self.separator);
            }
            bytes.push(b'\n');
            let buffer = self.cells.get_mut(filled..).unwrap_or_default();
            let ends = self.ends.get_mut(ended..).unwrap_or_default();
            let (result, read, more_filled, more_ended) = self.reader.read_record(&bytes, buffer, ends);
            filled += more_filled;
            ended += more_ended;
            let error = match result {
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
            return Ok(Some((number, Err(error))));
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

fn reader(separator: Option<u8>) -> Reader {
    ReaderBuilder::new().delimiter(separator.unwrap_or(b',')).build()
}

/// The separator declared by a line such as `sep=;`, which some spreadsheets write first.
fn declared_separator(line: &[u8]) -> Option<u8> {
    match line.trim_ascii_end().strip_prefix(b"sep=") {
        Some([separator @ (b',' | b';')]) => Some(*separator),
        // The tab was trimmed.
        Some([]) if line.starts_with(b"sep=\t") => Some(b'\t'),
        _ => None,
    }
}

/// The most frequent separator in the header, outside quotation marks.
fn likely_separator(header: &[u8]) -> u8 {
    let count = |separator: u8| {
        let (mut is_quoted, mut count) = (false, 0_usize);
        for byte in header {
            is_quoted ^= *byte == b'"';
            count += usize::from(*byte == separator && !is_quoted);
        }
        count
    };
    // Of equally frequent ones, the last in this list: the comma.
    [b'\t', b';', b','].into_iter().max_by_key(|separator| count(*separator)).unwrap_or(b',')
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
        let expected = [row(1, &["a", "b"]), row(3, &["1", "two\r\nlines, \"x\""]), row(7, &["last", "one"])];
        assert_eq!(read(text), expected);
    }

    #[test]
    fn rows_of_nothing_but_separators_are_skipped() {
        let text = "a,b,c\r\n,,\r\n1,2,3\r\n , ,\r\n\"\",,\r\n,,4\r\n,,\r\n";
        assert_eq!(read(text), [row(1, &["a", "b", "c"]), row(3, &["1", "2", "3"]), row(6, &["", "", "4"])]);
    }

    #[test]
    fn the_separator_is_detected_in_the_header() {
        for (separator, other) in [(',', ';'), (';', ','), ('\t', ',')] {
            let text = format!(
                "\u{feff}a{separator}\"b,;\t\"{separator}c\r\n1{separator}x{other}y{separator}\"z\r\nz\"\r\n"
            );
            let expected = [row(1, &["a", "b,;\t", "c"]), row(2, &["1", &format!("x{other}y"), "z\r\nz"])];
            assert_eq!(read(&text), expected, "{separator:?}");
        }
        assert_eq!(read("a\n1,2\n"), [row(1, &["a"]), row(2, &["1", "2"])], "one column: a comma");
    }

    #[test]
    fn a_line_that_declares_the_separator_is_not_the_header() {
        for (named, separator) in [("sep=;", ';'), ("sep=,", ','), ("sep=\t", '\t')] {
            let text = format!("{named}\r\na{separator}b\r\n1{separator}2\r\n");
            assert_eq!(read(&text), [row(2, &["a", "b"]), row(3, &["1", "2"])], "{named:?}");
        }
        assert_eq!(read("sep=x,b\n"), [row(1, &["sep=x", "b"])]);
    }

    #[test]
    fn an_invalid_row_does_not_affect_the_next() {
        let long = "x".repeat(LINE_MAX_BYTES + 1);
        let wide = ",".repeat(CELLS_MAX);
        for (bad, error) in [
            (long.as_str(), "is longer than 64 KiB"),
            (&wide, "has more than 100 cells"),
            ("a\rb", "has a carriage return in its middle"),
        ] {
            assert_eq!(read(&format!("{bad}\na,b\n")), [(1, Err(error)), row(2, &["a", "b"])]);
        }
        assert_eq!(
            read("a,b\n\"c\nd,e\n"),
            [row(1, &["a", "b"]), (2, Err("has a quotation mark that is not closed")),]
        );
    }
}
