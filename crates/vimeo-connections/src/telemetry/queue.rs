//! A queue of log lines for a background thread, so that a blocked output does not block requests. Lines that do not
//! fit are dropped, counted, and reported in their place.

use std::io::{self, ErrorKind, Write};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Capacity of the queue. The batch being written comes on top, so that at most twice this is used.
const CAPACITY_BYTES: usize = 4 * 1024 * 1024;
/// How long the writer waits for more lines, so that one system call writes many.
const GATHER_TIME: Duration = Duration::from_millis(2);
/// How long the writer waits before retrying if the output accepts nothing.
const RETRY_TIME: Duration = Duration::from_millis(10);

/// Formats the line that reports lost lines, with its line end.
pub(super) type LossReport = fn(u64) -> Vec<u8>;

/// A bounded queue of complete lines. Clones share it.
#[derive(Clone)]
pub(super) struct Queue(Arc<Shared>);

struct Shared {
    state: Mutex<State>,
    /// Signalled when there is something to write, or for a flush.
    filled: Condvar,
    /// Signalled when a batch was written.
    written: Condvar,
    capacity_bytes: usize,
    report: LossReport,
}

#[derive(Default)]
struct State {
    lines: Vec<u8>,
    /// Lines lost after `lines`.
    lost: u64,
    /// How many batches were taken, and how many were written or dropped.
    taken: u64,
    done: u64,
    /// Waiting flushes: lines are written without delay.
    flushes: usize,
    /// The writer waits for lines.
    is_idle: bool,
}

impl State {
    fn is_empty(&self) -> bool {
        self.lines.is_empty() && self.lost == 0
    }
}

impl Queue {
    /// A queue whose lines a background thread writes to `output`.
    pub(super) fn start(output: impl Write + Send + 'static, report: LossReport) -> io::Result<Self> {
        let queue = Self::with_capacity(CAPACITY_BYTES, report);
        let writer = queue.clone();
        std::thread::Builder::new().name("log".to_owned()).spawn(move || writer.write_to(output))?;
        Ok(queue)
    }

    fn with_capacity(capacity_bytes: usize, report: LossReport) -> Self {
        let (state, filled, written) = (Mutex::default(), Condvar::new(), Condvar::new());
        Self(Arc::new(Shared { state, filled, written, capacity_bytes, report }))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a line with its line end. Never blocks on the output.
    pub(super) fn push(&self, line: &[u8]) {
        let mut state = self.state();
        // No line is added after a lost one, so that the report is in the right place.
        if state.lost > 0 || state.lines.len().saturating_add(line.len()) > self.0.capacity_bytes {
            state.lost = state.lost.saturating_add(1);
            return;
        }
        state.lines.extend_from_slice(line);
        if state.is_idle {
            state.is_idle = false;
            self.0.filled.notify_one();
        }
    }

    /// Waits until all lines added so far are written; `false` after `timeout`.
    pub(super) fn flush(&self, timeout: Duration) -> bool {
        let deadline = Instant::now() + timeout;
        let mut state = self.state();
        let batch = state.taken + u64::from(!state.is_empty());
        state.flushes += 1;
        self.0.filled.notify_one();
        while state.done < batch {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            let waited = self.0.written.wait_timeout(state, left);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        state.flushes -= 1;
        state.done >= batch
    }

    fn write_to(&self, output: impl Write) {
        let mut output = Output { sink: output, lost: 0, is_in_line: false };
        loop {
            let lines = self.take();
            output.write(&lines, self.0.report);
            self.state().done += 1;
            self.0.written.notify_all();
        }
    }

    /// Waits for lines and returns all of them, with a report of lost ones.
    fn take(&self) -> Vec<u8> {
        let mut state = self.state();
        while state.is_empty() {
            state.is_idle = true;
            state = self.0.filled.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        state.is_idle = false;
        if state.flushes == 0 {
            let waited = self.0.filled.wait_timeout(state, GATHER_TIME);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        let mut lines = std::mem::take(&mut state.lines);
        let lost = std::mem::take(&mut state.lost);
        state.taken += 1;
        if lost > 0 {
            lines.extend_from_slice(&(self.0.report)(lost));
        }
        lines
    }
}

impl Write for Queue {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        if !line.is_empty() {
            self.push(line);
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The output, and what it did not accept.
struct Output<W> {
    sink: W,
    /// Lines lost since the output last accepted something.
    lost: u64,
    /// The output has an incomplete line.
    is_in_line: bool,
}

impl<W: Write> Output<W> {
    /// Writes lines. Those that the output does not accept are counted, and reported once it accepts data again.
    fn write(&mut self, lines: &[u8], report: LossReport) {
        if self.lost > 0 || self.is_in_line {
            let mut first = if self.is_in_line { b"\n".to_vec() } else { Vec::new() };
            if self.lost > 0 {
                first.extend_from_slice(&report(self.lost));
            }
            if self.write_all(&first) > 0 {
                self.lost = self.lost.saturating_add(count_lines(lines));
                return;
            }
            self.lost = 0;
        }
        let left = self.write_all(lines);
        let refused = lines.get(lines.len() - left..).unwrap_or_default();
        self.lost = self.lost.saturating_add(count_lines(refused));
    }

    /// Returns the number of bytes that were not accepted.
    fn write_all(&mut self, bytes: &[u8]) -> usize {
        let mut rest = bytes;
        while !rest.is_empty() {
            match self.sink.write(rest) {
                Ok(0) => break,
                Ok(count) => {
                    let (taken, left) = rest.split_at(count.min(rest.len()));
                    self.is_in_line = taken.last() != Some(&b'\n');
                    rest = left;
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                // The output is shared with a program that made it non-blocking.
                Err(error) if error.kind() == ErrorKind::WouldBlock => std::thread::sleep(RETRY_TIME),
                Err(_) => break,
            }
        }
        rest.len()
    }
}

fn count_lines(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0, |count, byte| count + u64::from(*byte == b'\n'))
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    fn report(lost: u64) -> Vec<u8> {
        format!("lost {lost}\n").into_bytes()
    }

    /// An output that accepts what the test allows, write by write.
    struct ControlledOutput {
        answers: mpsc::Receiver<io::Result<usize>>,
        taken: Arc<Mutex<Vec<u8>>>,
    }

    impl Write for ControlledOutput {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            // The test has ended: accept nothing more.
            let count = self.answers.recv().unwrap_or_else(|_| Err(ErrorKind::BrokenPipe.into()))?;
            let count = count.min(bytes.len());
            self.taken.lock().unwrap().extend_from_slice(&bytes[..count]);
            Ok(count)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    type Answers = mpsc::Sender<io::Result<usize>>;

    fn output() -> (ControlledOutput, Answers, Arc<Mutex<Vec<u8>>>) {
        let (sender, answers) = mpsc::channel();
        let taken = Arc::new(Mutex::new(Vec::new()));
        (ControlledOutput { answers, taken: taken.clone() }, sender, taken)
    }

    fn text(taken: &Mutex<Vec<u8>>) -> String {
        String::from_utf8(taken.lock().unwrap().clone()).unwrap()
    }

    #[test]
    fn a_blocked_output_delays_no_line_and_lost_lines_are_reported_in_their_place() {
        let queue = Queue::with_capacity(20, report);
        let (output, allow, taken) = output();
        let writer = queue.clone();
        std::thread::spawn(move || writer.write_to(output));
        queue.push(b"first\n");
        assert!(!queue.flush(Duration::from_millis(50)), "the output takes nothing yet");
        // The batch with the first line is being written; these wait, and the last two do not fit.
        for line in ["second\n", "third\n", "fourth\n", "x\n", "fifth\n"] {
            queue.push(line.as_bytes());
        }
        allow.send(Ok(3)).unwrap();
        allow.send(Ok(100)).unwrap();
        allow.send(Ok(100)).unwrap();
        assert!(queue.flush(Duration::from_mins(1)));
        queue.push(b"sixth\n");
        allow.send(Ok(100)).unwrap();
        assert!(queue.flush(Duration::from_mins(1)));
        assert_eq!(text(&taken), "first\nsecond\nthird\nfourth\nlost 2\nsixth\n");
    }

    #[test]
    fn lines_that_an_output_does_not_accept_are_counted_and_reported_later() {
        let (output, allow, taken) = output();
        let mut output = Output { sink: output, lost: 0, is_in_line: false };
        let full = || Err(ErrorKind::StorageFull.into());
        let write = |output: &mut Output<ControlledOutput>, lines: &str, answers: Vec<io::Result<usize>>| {
            for answer in answers {
                allow.send(answer).unwrap();
            }
            output.write(lines.as_bytes(), report);
        };
        write(&mut output, "one\n", vec![Ok(100)]);
        // The disk is full in the middle of a line.
        write(&mut output, "two\nthree\nfour\n", vec![Ok(6), full()]);
        write(&mut output, "five\n", vec![full()]);
        write(&mut output, "six\n", vec![Err(ErrorKind::Interrupted.into()), Ok(100), Ok(100)]);
        write(&mut output, "seven\n", vec![Err(ErrorKind::WouldBlock.into()), Ok(100)]);
        assert_eq!(text(&taken), "one\ntwo\nth\nlost 3\nsix\nseven\n");
    }

    #[test]
    fn a_flush_waits_for_all_earlier_lines() {
        let (output, allow, taken) = output();
        let queue = Queue::start(output, report).unwrap();
        assert!(queue.flush(Duration::ZERO), "there is nothing to wait for");
        for _ in 0..100 {
            allow.send(Ok(100_000)).unwrap();
        }
        for number in 0..1_000 {
            queue.push(format!("{number}\n").as_bytes());
        }
        assert!(queue.flush(Duration::from_mins(1)));
        assert!(text(&taken).ends_with("\n998\n999\n"));
    }
}
