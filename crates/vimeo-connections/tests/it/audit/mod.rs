mod reading;
mod retention;
mod unwritable;
mod verification;
