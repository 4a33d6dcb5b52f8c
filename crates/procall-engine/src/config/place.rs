//! Where the file is, and whose.

use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use procall::{Error, ErrorCode};

use super::FILE;

/// Bits that let others than the owner write.
const OTHERS_WRITE: u32 = 0o022;

pub(super) fn find(folder: &Path) -> Result<Option<PathBuf>, Error> {
    let folder = std::path::absolute(folder).unwrap_or_else(|_| folder.to_owned());
    let Some(path) = folder.ancestors().map(|above| above.join(FILE)).find(|path| path.is_file())
    else {
        return Ok(None);
    };
    let metadata = std::fs::metadata(&path).map_err(|error| unreadable(&path, error))?;
    let own = rustix::process::geteuid().as_raw();
    let why = if metadata.uid() != own && metadata.uid() != 0 {
        format!("it belongs to user {}", metadata.uid())
    } else if metadata.mode() & OTHERS_WRITE != 0 {
        format!("others can write to it (mode {:04o})", metadata.mode() & 0o7777)
    } else {
        return Ok(Some(path));
    };
    let shown = path.display();
    let message = format!(
        "{shown} says what to run, and {why}; `chmod go-w {shown}` if it is yours, or name it with --config if you trust it"
    );
    Err(Error::new(ErrorCode::PermissionDenied, message))
}

pub(super) fn text(path: &Path, most: u64) -> Result<String, Error> {
    let file = std::fs::File::open(path).map_err(|error| unreadable(path, error))?;
    let mut bytes = Vec::new();
    file.take(most + 1).read_to_end(&mut bytes).map_err(|error| unreadable(path, error))?;
    if bytes.len() as u64 > most {
        return Err(Error::invalid(format!("{} is longer than {most} bytes", path.display())));
    }
    String::from_utf8(bytes).map_err(|error| {
        Error::invalid(format!(
            "{} is no text: it has a byte that is not UTF-8 at {}",
            path.display(),
            error.utf8_error().valid_up_to()
        ))
    })
}

fn unreadable(path: &Path, error: std::io::Error) -> Error {
    Error::invalid(format!("{} cannot be read: {error}", path.display())).with_source(error)
}
