//! Output without end. In a binary of its own, since it measures the memory of its whole process.

mod common;

use std::time::{Duration, Instant};

use common::{call, pool};

#[test]
fn a_hundred_megabytes_without_a_newline_cost_constant_memory_and_no_time() {
    let pool = pool().start().wait().unwrap();
    let before = resident();
    let begun = Instant::now();
    call(&pool, "flood", "100").unwrap();
    assert!(begun.elapsed() < Duration::from_secs(30), "the worker was never held up");
    let grown = resident().saturating_sub(before);
    assert!(grown < 40 << 20, "{grown} bytes more");
    let lines = pool.output_lines(0, usize::MAX);
    assert!(lines.iter().map(|line| line.text.len()).sum::<usize>() <= 10 << 20);
    assert!(lines.iter().all(|line| line.text.len() <= 8 << 10));
    assert!(lines[0].unfinished);
}

fn resident() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<usize>().unwrap() << 10
}
