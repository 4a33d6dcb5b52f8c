//! The files of the job.

use std::path::{Path, PathBuf};

use procall::{Error, ErrorCode};

/// Files above this are left out: the demo is about calls, not about disks.
const MAX_LEN: u64 = 1 << 20;

/// Every file below a folder that its `.gitignore` does not exclude, in a fixed order.
pub(crate) fn find(folder: &Path) -> Result<Vec<PathBuf>, Error> {
    if !folder.is_dir() {
        return Err(Error::new(
            ErrorCode::InvalidArgument,
            format!("{} is not a folder", folder.display()),
        ));
    }
    let mut files: Vec<PathBuf> = ignore::WalkBuilder::new(folder)
        .build()
        .filter_map(Result::ok)
        .filter(|entry| entry.file_type().is_some_and(|kind| kind.is_file()))
        .filter(|entry| entry.metadata().is_ok_and(|found| found.len() <= MAX_LEN))
        .map(ignore::DirEntry::into_path)
        .collect();
    files.sort();
    Ok(files)
}

/// Whether Node renders it.
pub(crate) fn is_markdown(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "md")
}
