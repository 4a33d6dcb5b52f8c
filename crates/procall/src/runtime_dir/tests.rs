use std::fs;
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::os::unix::net::UnixListener;

use tempfile::TempDir;

use super::*;

/// A user that nobody is.
const STRANGER: u32 = 54_321;

fn own() -> u32 {
    rustix::process::geteuid().as_raw()
}

/// A directory in which the runtime directory is to be.
fn base() -> (TempDir, Place) {
    let base = tempfile::tempdir().unwrap();
    let place = Place::of(Some(base.path().into()), None).unwrap();
    (base, place)
}

fn chmod(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

/// Both ways to the directory refuse it, and name what to do.
#[track_caller]
fn refuses(place: &Place, fix: &str) {
    for error in [place.open().unwrap_err(), place.make().unwrap_err()] {
        assert_eq!(error.code(), ErrorCode::PermissionDenied, "{error}");
        assert!(error.message().contains(fix), "\"{fix}\" is not in: {error}");
        assert!(error.message().contains(&*place.base.to_string_lossy()), "no path: {error}");
    }
}

#[test]
fn it_is_made_for_this_user_alone() {
    let (base, place) = base();
    assert!(place.open().unwrap().is_none(), "nothing is made by looking");
    let made = place.make().unwrap();
    assert_eq!(made.path, base.path().join("procall"));
    assert_eq!(fs::metadata(&made.path).unwrap().permissions().mode() & 0o7777, 0o700);
    assert_eq!(made.socket("calc"), base.path().join("procall/calc.sock"));
    assert!(place.open().unwrap().is_some());
    place.make().unwrap();
}

#[test]
fn without_xdg_runtime_dir_it_is_below_home() {
    let home = tempfile::tempdir().unwrap();
    for unset in [None, Some(OsString::new())] {
        let place = Place::of(unset, Some(home.path().into())).unwrap();
        assert_eq!(place.make().unwrap().path, home.path().join(".procall/run"));
    }
}

#[test]
fn a_base_that_is_missing_is_made_for_this_user_alone() {
    let outer = tempfile::tempdir().unwrap();
    let place = Place::of(Some(outer.path().join("run/user").into()), None).unwrap();
    assert!(place.open().unwrap().is_none());
    place.make().unwrap();
    let mode = fs::metadata(outer.path().join("run/user")).unwrap().permissions().mode();
    assert_eq!(mode & 0o7777, 0o700);
}

#[test]
fn neither_variable_is_refused() {
    for unset in [None, Some(OsString::new())] {
        let error = Place::of(unset.clone(), unset).unwrap_err();
        assert_eq!(error.code(), ErrorCode::InvalidArgument);
        assert!(error.message().contains("neither XDG_RUNTIME_DIR nor HOME"), "{error}");
    }
}

#[test]
fn relative_paths_are_refused() {
    let error = Place::of(Some("run".into()), Some("/home/me".into())).unwrap_err();
    assert!(error.message().contains("set it to an absolute path"), "{error}");
    let error = Place::of(None, Some("me".into())).unwrap_err();
    assert!(error.message().starts_with("HOME is \"me\""), "{error}");
}

#[test]
fn a_link_to_a_directory_of_ones_own_is_refused() {
    let (base, place) = base();
    fs::create_dir(base.path().join("elsewhere")).unwrap();
    chmod(&base.path().join("elsewhere"), 0o700);
    symlink(base.path().join("elsewhere"), base.path().join("procall")).unwrap();
    refuses(&place, "is a symbolic link");
}

#[test]
fn a_link_to_a_directory_of_others_is_refused() {
    let (base, place) = base();
    symlink("/tmp", base.path().join("procall")).unwrap();
    refuses(&place, "remove it (`rm ");
}

#[test]
fn a_dangling_link_is_refused() {
    let (base, place) = base();
    symlink(base.path().join("nowhere"), base.path().join("procall")).unwrap();
    refuses(&place, "is a symbolic link");
    assert!(!base.path().join("nowhere").exists(), "nothing is made through the link");
}

#[test]
fn a_link_on_the_way_is_refused() {
    let home = tempfile::tempdir().unwrap();
    fs::create_dir(home.path().join("elsewhere")).unwrap();
    symlink(home.path().join("elsewhere"), home.path().join(".procall")).unwrap();
    refuses(&Place::of(None, Some(home.path().into())).unwrap(), "is a symbolic link");
}

#[test]
fn modes_that_let_others_in_are_refused() {
    let (base, place) = base();
    fs::create_dir(base.path().join("procall")).unwrap();
    for mode in [0o777, 0o770, 0o755, 0o750, 0o701, 0o1777] {
        chmod(&base.path().join("procall"), mode);
        refuses(&place, "`chmod 700 ");
    }
    chmod(&base.path().join("procall"), 0o700);
    place.make().unwrap();
}

#[test]
fn other_things_in_its_place_are_refused() {
    let (base, place) = base();
    let path = base.path().join("procall");

    fs::write(&path, "").unwrap();
    refuses(&place, "is a file, not a directory");
    fs::remove_file(&path).unwrap();

    let directory = fs::File::open(base.path()).unwrap();
    rustix::fs::mknodat(directory, "procall", FileType::Fifo, Mode::RWXU, 0).unwrap();
    refuses(&place, "is a named pipe, not a directory");
    fs::remove_file(&path).unwrap();

    let _socket = UnixListener::bind(&path).unwrap();
    refuses(&place, "is a socket, not a directory");
}

#[test]
fn a_base_that_is_no_directory_is_refused() {
    let outer = tempfile::tempdir().unwrap();
    fs::write(outer.path().join("file"), "").unwrap();
    let place = Place::of(Some(outer.path().join("file").into()), None).unwrap();
    refuses(&place, "set XDG_RUNTIME_DIR");
}

#[test]
fn a_base_that_others_can_write_is_refused() {
    let (base, place) = base();
    place.make().unwrap();
    for mode in [0o777, 0o770, 0o702] {
        chmod(base.path(), mode);
        refuses(&place, "`chmod go-w ");
    }
    // Where only owners may rename, others may write: /tmp is such a one.
    chmod(base.path(), 0o1777);
    place.make().unwrap();
}

#[test]
fn a_directory_of_another_user_is_refused() {
    let facts = Facts { kind: FileType::Directory, uid: STRANGER, mode: 0o700 };
    let error = check(Path::new("/run/x"), facts, 1000).unwrap_err();
    assert!(error.message().contains("belongs to user 54321, not to user 1000"), "{error}");
    assert!(error.message().contains("set XDG_RUNTIME_DIR"), "{error}");
    check_parent(Path::new("/run/x"), facts, 1000).unwrap_err();

    // A directory of root is not the user's own, but root may be trusted with the one above it.
    let root = Facts { uid: 0, ..facts };
    check(Path::new("/run/x"), root, 1000).unwrap_err();
    check_parent(Path::new("/run/x"), root, 1000).unwrap();
}

#[test]
fn directories_that_were_given_away_are_refused() {
    if own() != 0 {
        // Only root can give directories away; the rule itself is tested above.
        return;
    }
    let (base, place) = base();
    fs::create_dir(base.path().join("procall")).unwrap();
    chmod(&base.path().join("procall"), 0o700);
    chown(base.path().join("procall"), Some(STRANGER), None).unwrap();
    refuses(&place, "belongs to user 54321, not to user 0");

    chown(base.path().join("procall"), Some(0), None).unwrap();
    chown(base.path(), Some(STRANGER), None).unwrap();
    refuses(&place, "belongs to user 54321, not to user 0");
}

#[test]
fn names_are_those_of_sockets() {
    let (base, place) = base();
    let directory = place.make().unwrap();
    for name in ["b.sock", "a.sock", "a.sock.lock", ".sock", "note"] {
        fs::write(base.path().join("procall").join(name), "").unwrap();
    }
    assert_eq!(directory.names().unwrap(), ["a", "b"]);
}
