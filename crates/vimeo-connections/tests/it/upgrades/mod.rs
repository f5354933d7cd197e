//! Upgrades: the recorded data of each release is opened by this build, and nodes of two versions use one database.

mod fixture;
mod releases;
mod rolling;
