//! Where programs are.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use rustix::fs::{Access, access};

/// Where a name on PATH leads, as the child will see PATH; `None` when nowhere.
pub(super) fn on_path(name: &OsStr, env: &[(OsString, OsString)]) -> Option<PathBuf> {
    let path = variable("PATH", env)?;
    std::env::split_paths(&path)
        .filter(|folder| folder.is_absolute())
        .map(|folder| folder.join(name))
        .find(|candidate| is_executable(candidate))
}

/// A variable as the child will see it; an empty one counts as none.
pub(super) fn variable(name: &str, env: &[(OsString, OsString)]) -> Option<OsString> {
    let given = env.iter().rev().find(|(key, _)| key == name).map(|(_, value)| value.clone());
    given.or_else(|| std::env::var_os(name)).filter(|value| !value.is_empty())
}

pub(super) fn is_executable(file: &Path) -> bool {
    file.is_file() && access(file, Access::EXEC_OK).is_ok()
}
