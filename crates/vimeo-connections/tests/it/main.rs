//! The tests of the whole: the real binary, over real sockets, against the sandbox. One file a subject.

mod bad_requests;
mod callers;
mod edges;
mod harness;
mod http;
mod journey;
mod operator;
mod running;
mod tidy;
