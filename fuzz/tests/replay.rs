//! Every target over what is known, and over changes of it, on the stable toolchain.
//!
//! `PROCALL_FUZZ_RUNS` says how many changes of each target, 2,000 unless told; `PROCALL_FUZZ_SEED` where they start.

use procall_fuzz::{Change, TARGETS, Target, corpus, seeds};

fn number(name: &str, otherwise: u64) -> u64 {
    let said = std::env::var(name).ok();
    said.map_or(otherwise, |said| said.parse().expect("a number"))
}

fn replay(name: &str) {
    let target = TARGETS.iter().find(|target| target.name == name).expect("a target");
    let mut inputs = seeds(name).expect("the vectors can be read");
    inputs.extend(corpus(name).expect("the corpus can be read"));
    assert!(inputs.len() > 1, "nothing to start from");
    let (runs, seed) = (number("PROCALL_FUZZ_RUNS", 2_000), number("PROCALL_FUZZ_SEED", 1));
    for input in &inputs {
        run(target, input);
    }
    let mut change = Change::new(seed);
    for _ in 0..runs {
        run(target, &change.of(&inputs));
    }
}

fn run(target: &Target, input: &[u8]) {
    let _told = Told(input);
    (target.run)(input);
}

/// Says what the input was when the target panics.
struct Told<'a>(&'a [u8]);

impl Drop for Told<'_> {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            return;
        }
        let digits: String = self.0.iter().map(|byte| format!("{byte:02x}")).collect();
        eprintln!("the input: {digits}");
    }
}

macro_rules! replays {
    ($($name:ident)*) => {
        $(#[test]
        fn $name() {
            replay(stringify!($name));
        })*

        #[test]
        fn each_target_is_replayed() {
            let replayed = [$(stringify!($name)),*];
            assert_eq!(TARGETS.iter().map(|target| target.name).collect::<Vec<_>>(), replayed);
        }
    };
}

replays! { link message json session body json_body buffer schema config engine }
