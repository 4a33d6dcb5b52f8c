//! Peers that mean harm: what they do costs them their connection, and others nothing. What they do to the process as a whole is tested where
//! there is one: in the tests of the command line.
// What the two suites share, each uses in part.
#![allow(dead_code)]

#[path = "../common/mod.rs"]
mod common;
mod floods;
#[path = "../engine/raw.rs"]
mod raw;
mod strangers;
#[path = "../engine/support.rs"]
mod support;
