use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};

use procall::ErrorCode;
use redb::{Database, TableDefinition};

use crate::support::Place;

#[tokio::test]
async fn the_directory_and_the_file_are_ours_alone() {
    let place = Place::new();
    let engine = place.start();
    let mode = |path: &std::path::Path| std::fs::metadata(path).unwrap().mode() & 0o7777;
    assert_eq!(mode(&place.state()), 0o700);
    assert_eq!(mode(&place.state().join("directory.redb")), 0o600);
    engine.stop().await;
    std::fs::set_permissions(place.state(), std::fs::Permissions::from_mode(0o750)).unwrap();
    let error = place.builder().start().unwrap_err();
    assert_eq!(error.code(), ErrorCode::PermissionDenied);
    assert!(error.message().contains("chmod 700"), "{error}");
}

#[tokio::test]
async fn what_is_no_directory_is_refused() {
    let place = Place::new();
    std::fs::write(place.state(), "").unwrap();
    assert_eq!(place.builder().start().unwrap_err().code(), ErrorCode::PermissionDenied);
    std::fs::remove_file(place.state()).unwrap();
    symlink(std::env::temp_dir(), place.state()).unwrap();
    assert_eq!(place.builder().start().unwrap_err().code(), ErrorCode::PermissionDenied);
}

#[tokio::test]
async fn a_second_engine_is_told_that_there_is_one() {
    let place = Place::new();
    let engine = place.start();
    let other = Place::new();
    let error = other.builder().state(place.state()).start().unwrap_err();
    assert_eq!(error.code(), ErrorCode::NameTaken);
    assert!(error.message().contains("another engine"), "{error}");
    engine.stop().await;
    other.builder().state(place.state()).start().unwrap().stop().await;
}

#[tokio::test]
async fn a_newer_format_is_left_alone() {
    let place = Place::new();
    place.start().stop().await;
    let file = place.state().join("directory.redb");
    {
        let database = Database::open(&file).unwrap();
        let writing = database.begin_write().unwrap();
        let about: TableDefinition<'_, &str, u64> = TableDefinition::new("about");
        writing.open_table(about).unwrap().insert("format", 2).unwrap();
        writing.commit().unwrap();
    }
    let error = place.builder().start().unwrap_err();
    assert_eq!(error.code(), ErrorCode::VersionMismatch);
    assert!(error.message().contains("format 2"), "{error}");
    assert!(place.names("directory.redb.damaged").is_empty(), "it is not damaged");
}
