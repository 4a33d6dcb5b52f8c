//! One of the targets under libFuzzer: the one that `PROCALL_FUZZ_TARGET` names.

#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use procall_fuzz::{TARGETS, Target};

static TARGET: LazyLock<&Target> = LazyLock::new(|| {
    let name = std::env::var("PROCALL_FUZZ_TARGET").unwrap_or_default();
    let named = TARGETS.iter().find(|target| target.name == name);
    named.unwrap_or_else(|| panic!("PROCALL_FUZZ_TARGET=\"{name}\" is none of the targets"))
});

fuzz_target!(|bytes: &[u8]| (TARGET.run)(bytes));
