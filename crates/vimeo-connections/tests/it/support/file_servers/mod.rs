//! Real file servers that uploads are read from.

pub(crate) mod film;
pub(crate) mod programs;
pub(crate) mod proxy;
pub(crate) mod s3;
