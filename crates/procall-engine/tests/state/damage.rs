use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use procall_engine::Engine;

use crate::support::{Place, method, register, worker};

/// A state with one registration in it.
async fn written(place: &Place) -> Vec<u8> {
    let engine = place.start();
    let worker = worker(&place.address(), "one", "one");
    register(&worker).await.unwrap();
    engine.stop().await;
    std::fs::read(place.state().join("directory.redb")).unwrap()
}

/// What an engine starts with when its file holds this.
async fn start(place: &Place, bytes: &[u8]) -> (Engine, Vec<String>) {
    let state = place.state();
    let _ = std::fs::remove_dir_all(&state);
    std::os::unix::fs::DirBuilderExt::mode(&mut std::fs::DirBuilder::new(), 0o700)
        .create(&state)
        .unwrap();
    std::fs::write(state.join("directory.redb"), bytes).unwrap();
    let engine = place.builder().start().unwrap();
    let kept = place.names("directory.redb.damaged-");
    assert_eq!(engine.warnings().len(), kept.len(), "{:?}", engine.warnings());
    assert!(kept.len() <= 1, "{kept:?}");
    if let Some(kept) = kept.first() {
        assert!(engine.warnings()[0].contains(kept.as_str()), "{:?}", engine.warnings());
        let kept: PathBuf = state.join(kept);
        assert!(same_beginning(&kept, bytes), "what was there is kept");
    }
    (engine, kept)
}

/// The store may mark a file as open before it sees that it is damaged, so only the length is compared.
fn same_beginning(kept: &Path, bytes: &[u8]) -> bool {
    std::fs::metadata(kept).unwrap().len() >= bytes.len() as u64
}

#[tokio::test]
async fn a_file_that_was_cut_anywhere_costs_what_was_in_it_and_no_more() {
    let place = Place::new();
    let whole = written(&place).await;
    let step = whole.len() / 96;
    let mut damaged = 0;
    for len in (1..whole.len()).step_by(step).chain([whole.len() - 1]) {
        let (engine, kept) = start(&place, &whole[..len]).await;
        damaged += kept.len();
        let known = method(&engine, "named.who").await.is_some();
        assert!(known || kept.len() == 1, "at {len}: what is lost is told");
        engine.stop().await;
        let engine = place.start();
        assert!(engine.warnings().is_empty(), "it is told once: {:?}", engine.warnings());
        engine.stop().await;
    }
    assert!(damaged > 48, "most of these are damage: {damaged}");
    let (engine, _) = start(&place, &whole).await;
    assert!(method(&engine, "named.who").await.is_some(), "the whole file is well");
    engine.stop().await;
}

#[tokio::test]
async fn flipped_bytes_never_end_the_engine_nor_pass_for_what_was_written() {
    let place = Place::new();
    let whole = written(&place).await;
    // Every page that holds something is hit several times; empty ones would only repeat each other.
    let used: Vec<usize> = (0..whole.len()).filter(|&at| whole[at] != 0).collect();
    let step = used.len() / 160 + 1;
    for &at in used.iter().step_by(step) {
        let mut bytes = whole.clone();
        bytes[at] ^= 0xff;
        let (engine, kept) = start(&place, &bytes).await;
        let known = method(&engine, "named.who").await;
        assert!(known.is_some() || kept.len() == 1, "byte {at}: what is lost is told");
        engine.stop().await;
    }
}

#[tokio::test]
async fn garbage_is_put_aside() {
    let place = Place::new();
    for bytes in [&b"not a database"[..], &[0; 70_000], &[0xff; 4096]] {
        let (engine, kept) = start(&place, bytes).await;
        assert_eq!(kept.len(), 1);
        assert!(engine.warnings()[0].contains("damaged"), "{:?}", engine.warnings());
        let file = std::fs::File::open(place.state().join(&kept[0])).unwrap();
        let mut first = vec![0; bytes.len()];
        file.read_exact_at(&mut first, 0).unwrap();
        assert_eq!(first, bytes, "it is kept as it was");
        engine.stop().await;
    }
}
