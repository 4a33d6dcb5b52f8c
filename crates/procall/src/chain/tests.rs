use std::collections::HashSet;

use super::*;

fn chain(calls: &[&str]) -> Chain {
    Chain { calls: calls.iter().map(|&call| call.into()).collect() }
}

fn meta(chain: &Chain) -> Vec<u8> {
    let mut bytes = Vec::new();
    chain.write(Writer::new(&mut bytes).map(1).text(CHAIN));
    bytes
}

#[test]
fn a_chain_grows_by_the_call_that_is_served_and_its_places_on_the_way() {
    let first = onward(&[], "a/1".into());
    assert_eq!(first, chain(&["a/1"]));
    let second = onward(&meta(&first), "b/7".into());
    assert_eq!(second, chain(&["a/1", "b/7"]));
    assert!(second.has("a", 1) && second.has("b", 7) && !second.has("b", 1));

    let mut via = Vec::new();
    Writer::new(&mut via).map(1).text(VIA).text("r/3 s/4");
    let through = onward(&via, "c/9".into());
    assert_eq!(through, chain(&["r/3 s/4 c/9"]));
    assert!(through.has("r", 3) && through.has("s", 4) && through.has("c", 9));
    assert!(!through.has("r", 4));
}

#[test]
fn what_is_no_chain_is_not_taken_for_one() {
    for value in [&[0xc0][..], &[0x92, 1, 2], &[0x91], &[0xa1, b'x'], &[]] {
        assert_eq!(Chain::read(value), None, "{value:?}");
    }
    assert_eq!(Chain::of(&[0x93, 1, 2, 3]), None);
    let odd = chain(&["", "/", "a", "a/", "a/x", "a/-1", "ab/1", " a/1"]);
    assert!(odd.has("a", 1), "the last has it behind a space");
    assert!(!chain(&["ab/1", "a/11", "a/1x"]).has("a", 1));
}

#[test]
fn more_than_32_calls_may_not_wait_for_one() {
    let calls =
        |count: usize| Chain { calls: (0..count).map(|n| format!("a/{n}").into()).collect() };
    calls(32).check("f").unwrap();
    let error = calls(33).check("f").unwrap_err();
    assert_eq!((error.code(), error.executed()), (ErrorCode::Deadlock, Executed::No));
    assert_eq!(error.chain().len(), 34);
    assert_eq!(error.chain().last().unwrap(), "f");
    let read = Chain::of(&meta(&calls(1000))).unwrap();
    read.check("f").unwrap_err();
    assert_eq!(read.calls().len(), 33, "no more are kept than it takes to refuse it");
}

/// Numbers that look random and are the same each time (xorshift64*, Vigna 2016).
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize % bound
    }
}

/// Whether a call gets a slot once every call ends that can: those that do not wait for it.
fn gets_a_slot(workers: &[(usize, Vec<usize>)], waits_for_it: &HashSet<usize>) -> bool {
    workers.iter().any(|(slots, calls)| {
        let stay = calls.iter().filter(|call| waits_for_it.contains(call)).count();
        stay < *slots
    })
}

#[test]
fn the_rule_says_of_random_workers_what_comes_of_them_once_others_have_ended() {
    let mut dice = Dice(0x9e37_79b9_7f4a_7c15);
    let (mut cycles, mut others) = (0, 0);
    for _ in 0..200_000 {
        let own: HashSet<usize> = (0..dice.below(6)).collect();
        // Each call of the chain has one slot, or one elsewhere; the rest of the calls are other people's.
        let mut workers: Vec<(usize, Vec<usize>)> =
            (0..1 + dice.below(3)).map(|_| (1 + dice.below(3), Vec::new())).collect();
        for &call in &own {
            let at = dice.below(workers.len() + 1);
            if let Some((slots, calls)) = workers.get_mut(at)
                && calls.len() < *slots
            {
                calls.push(call);
            }
        }
        let mut foreign = 100;
        for (slots, calls) in &mut workers {
            while calls.len() < *slots && dice.below(3) > 0 {
                calls.push(foreign);
                foreign += 1;
            }
        }
        // Other people's calls end one by one, in any order, and the rule is asked at each moment.
        loop {
            let rooms = workers.iter().map(|(slots, calls)| Room {
                slots: *slots,
                taken: calls.len(),
                own: calls.iter().filter(|call| own.contains(call)).count(),
            });
            let said = is_cycle(rooms);
            let hope = gets_a_slot(&workers, &own);
            assert!(!(said && hope), "a false alarm: {workers:?} of {own:?}");
            let left: Vec<(usize, usize)> = workers
                .iter()
                .enumerate()
                .flat_map(|(at, (_, calls))| calls.iter().map(move |&call| (at, call)))
                .filter(|(_, call)| !own.contains(call))
                .collect();
            if left.is_empty() {
                assert_eq!(said, !hope, "at the end it is known: {workers:?} of {own:?}");
                if said {
                    cycles += 1
                } else {
                    others += 1
                }
                break;
            }
            let (at, call) = left[dice.below(left.len())];
            workers[at].1.retain(|&other| other != call);
        }
    }
    assert!(cycles > 1_000 && others > 1_000, "{cycles} {others}");
}
