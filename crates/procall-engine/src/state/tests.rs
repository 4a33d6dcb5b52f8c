use std::os::unix::fs::DirBuilderExt;

use procall::MethodInfo;
use tempfile::TempDir;

use super::*;

fn folder() -> (TempDir, std::path::PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path().join("state");
    std::fs::DirBuilder::new().mode(0o700).create(&state).unwrap();
    (folder, state)
}

fn registration(name: &str, description: &str) -> Arc<Registration> {
    let method = MethodInfo { name: "add".to_owned(), ..MethodInfo::default() };
    Arc::new(Registration {
        name: name.to_owned(),
        description: description.to_owned(),
        methods: vec![method],
        ..Registration::default()
    })
}

fn service(name: &str) -> Key {
    Key::Service(name.into())
}

fn known(state: &std::path::Path) -> Vec<Key> {
    let (memory, warnings) = Memory::open(state).unwrap();
    assert!(warnings.is_empty(), "{warnings:?}");
    memory.all().into_iter().map(|(key, _)| key).collect()
}

#[test]
fn what_was_remembered_last_is_there_again() {
    let (_folder, state) = folder();
    let (memory, _) = Memory::open(&state).unwrap();
    let left = Identity { uid: 1000, id: "left".into() };
    memory.remember(service("calc"), &registration("calc", "first"));
    memory.remember(service("calc"), &registration("calc", "second"));
    memory.remember(Key::Peer(left.clone()), &registration("calc", "of one"));
    memory.close();
    assert_eq!(memory.trouble(), None);
    drop(memory);
    let (memory, _) = Memory::open(&state).unwrap();
    assert_eq!(memory.of(&left).unwrap().description, "of one");
    assert!(memory.of(&Identity { uid: 1001, id: "left".into() }).is_none(), "another user's");
    let all = memory.all();
    let calc = all.iter().find(|(key, _)| *key == service("calc")).unwrap();
    assert_eq!((all.len(), &*calc.1.description), (2, "second"));
}

#[test]
fn the_oldest_are_forgotten_on_disk_too() {
    let (_folder, state) = folder();
    let (memory, _) = Memory::open(&state).unwrap();
    for number in 0..MAX_DOCUMENTS + 50 {
        memory.remember(service(&format!("s{number:05}")), &registration("s", ""));
    }
    assert_eq!(memory.all().len(), MAX_DOCUMENTS);
    drop(memory);
    let known = known(&state);
    assert_eq!(known.len(), MAX_DOCUMENTS);
    assert!(known.contains(&service(&format!("s{:05}", MAX_DOCUMENTS + 49))));
}

#[test]
fn one_that_is_too_long_is_not_remembered() {
    let (_folder, state) = folder();
    let (memory, _) = Memory::open(&state).unwrap();
    memory.remember(service("long"), &registration("long", &"x".repeat(MAX_LEN)));
    memory.remember(service("short"), &registration("short", ""));
    drop(memory);
    assert_eq!(known(&state), [service("short")]);
}

#[test]
fn one_that_is_closed_takes_nothing_more() {
    let (_folder, state) = folder();
    let (memory, _) = Memory::open(&state).unwrap();
    memory.remember(service("calc"), &registration("calc", ""));
    memory.close();
    memory.remember(service("late"), &registration("late", ""));
    assert_eq!(memory.all().len(), 1);
    drop(memory);
    assert_eq!(known(&state), [service("calc")]);
}
