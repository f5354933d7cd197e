//! The tests of the whole: the real binary, over real sockets, against the sandbox. One file a subject.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test that is surprised should fail on the spot"
)]

mod canaries;
mod crashes;
mod disks;
mod exposures;
mod harness;
mod journey;
mod keyrings;
mod load;
mod sealing;
mod secrets;
mod tidy;
