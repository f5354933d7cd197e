//! The tests of the whole: the real binary, over real sockets, against the sandbox. One file a subject.

mod harness;
mod journey;
mod tidy;
