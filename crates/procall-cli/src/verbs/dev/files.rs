//! Which files matter, and when they change.
//!
//! They are looked at again and again instead of asking the kernel to tell: that works on network and shared file systems too, needs no limit
//! to be raised, and costs a few milliseconds a second for the sources of one project.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use tokio::sync::mpsc::{Receiver, Sender, channel};

use super::unwatchable;
use crate::failure::Failure;

/// How often files are looked at.
const LOOK: Duration = Duration::from_millis(200);
/// How long nothing may change before a change is told: editors and version control write many files, and some of them twice.
const QUIET: Duration = Duration::from_millis(100);
/// Entries of one folder, and of those below it, that are looked at.
const MAX_ENTRIES: usize = 10_000;
/// Folders within each other that are looked at.
const MAX_DEPTH: usize = 16;
/// Folders that hold what others wrote; those whose name begins with a dot are left out as well.
const FOREIGN: [&str; 4] = ["node_modules", "__pycache__", "target", "site-packages"];

const PYTHON: &[&str] = &["py"];
const NODE: &[&str] = &["js", "mjs", "cjs", "ts", "mts", "cts"];

/// Changed files, by the place of the file that runs and that they are about.
pub(super) type Changes = BTreeMap<usize, BTreeSet<PathBuf>>;

/// What matters for one file that runs.
#[derive(Debug)]
pub(super) struct Files {
    file: PathBuf,
    /// The folder of its sources, and what they are called; nothing for a program.
    sources: Option<(PathBuf, &'static [&'static str])>,
    /// Files and folders that were named.
    named: Vec<PathBuf>,
}

/// What tells one state of a file from another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamp {
    modified: (i64, i64),
    len: u64,
    inode: u64,
}

impl Stamp {
    fn of(metadata: &Metadata) -> Self {
        let modified = (metadata.mtime(), metadata.mtime_nsec());
        Self { modified, len: metadata.len(), inode: metadata.ino() }
    }
}

type Stamps = BTreeMap<PathBuf, Stamp>;

impl Files {
    /// The file itself, the sources of its language in its folder and below, and what was named.
    pub(super) fn of(file: &Path, named: &[PathBuf]) -> Self {
        let extension = file.extension().map(|text| text.to_string_lossy().to_ascii_lowercase());
        let extension = extension.unwrap_or_default();
        let kinds = [PYTHON, NODE].into_iter().find(|kinds| kinds.contains(&&*extension));
        let folder = match file.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder.to_owned(),
            _ => PathBuf::from("."),
        };
        let sources = kinds.map(|kinds| (folder, kinds));
        Self { file: file.to_owned(), sources, named: named.to_vec() }
    }

    /// The folder whose files are too many.
    pub(super) fn crowded(&self) -> Option<PathBuf> {
        let (folder, kinds) = self.sources.as_ref()?;
        let mut walk = Walk { kinds: Some(kinds), left: MAX_ENTRIES, found: Stamps::new() };
        walk.folder(folder, 0);
        (walk.left == 0).then(|| folder.clone())
    }

    fn stamps(&self) -> Stamps {
        let mut walk = Walk { kinds: None, left: MAX_ENTRIES, found: Stamps::new() };
        walk.path(&self.file);
        for named in &self.named {
            walk.left = MAX_ENTRIES;
            walk.path(named);
        }
        if let Some((folder, kinds)) = &self.sources {
            (walk.kinds, walk.left) = (Some(*kinds), MAX_ENTRIES);
            walk.folder(folder, 0);
        }
        walk.found
    }
}

/// A look at files and folders.
struct Walk {
    /// Of folders, only files that are called so.
    kinds: Option<&'static [&'static str]>,
    left: usize,
    found: Stamps,
}

impl Walk {
    /// A file or folder that was named: whatever it is called. What is not there will perhaps be, and that is a change.
    fn path(&mut self, path: &Path) {
        match std::fs::metadata(path) {
            Ok(metadata) if metadata.is_dir() => self.folder(path, 0),
            Ok(metadata) => {
                self.found.insert(path.to_owned(), Stamp::of(&metadata));
            }
            Err(_) => {}
        }
    }

    /// Links are not followed: they may lead anywhere, and back.
    fn folder(&mut self, folder: &Path, depth: usize) {
        // What cannot be read cannot be run either.
        let Ok(entries) = std::fs::read_dir(folder) else { return };
        for entry in entries.flatten() {
            let name = entry.file_name();
            let name = name.to_string_lossy();
            let Ok(kind) = entry.file_type() else { continue };
            if self.left == 0 {
                return;
            }
            self.left -= 1;
            if name.starts_with('.') {
                continue;
            }
            let path = entry.path();
            if kind.is_dir() {
                let foreign = FOREIGN.contains(&&*name) || path.join("pyvenv.cfg").exists();
                if !foreign && depth < MAX_DEPTH {
                    self.folder(&path, depth + 1);
                }
            } else if self.matters(&path)
                && let Ok(metadata) = entry.metadata()
            {
                self.found.insert(path, Stamp::of(&metadata));
            }
        }
    }

    fn matters(&self, path: &Path) -> bool {
        let Some(kinds) = self.kinds else { return true };
        path.extension().is_some_and(|extension| kinds.iter().any(|kind| extension == *kind))
    }
}

/// Those that are not the same in both, or only in one.
fn differences(before: &Stamps, after: &Stamps) -> BTreeSet<PathBuf> {
    let changed = after.iter().filter(|(path, stamp)| before.get(*path) != Some(stamp));
    let gone = before.iter().filter(|(path, _)| !after.contains_key(*path));
    changed.chain(gone).map(|(path, _)| path.clone()).collect()
}

/// Looks at files on a thread of its own, until nobody wants to know any more.
pub(super) struct Watch {
    changes: Receiver<Changes>,
}

impl Watch {
    /// Tells of changes from now on.
    pub(super) fn start(files: Vec<Files>) -> Result<Self, Failure> {
        let before = files.iter().map(Files::stamps).collect();
        // One that nobody has taken yet makes this thread wait: what changes meanwhile is told with the next one.
        let (sender, changes) = channel(1);
        thread::Builder::new()
            .name("procall-watch".to_owned())
            .spawn(move || look(&files, before, &sender))
            .map_err(unwatchable)?;
        Ok(Self { changes })
    }

    /// The next changes. May be dropped and asked again without losing any.
    pub(super) async fn next(&mut self) -> Changes {
        match self.changes.recv().await {
            Some(changes) => changes,
            // The thread ends only after whoever reads this.
            None => std::future::pending().await,
        }
    }
}

fn look(files: &[Files], mut before: Vec<Stamps>, sender: &Sender<Changes>) {
    let stamps = || files.iter().map(Files::stamps).collect::<Vec<_>>();
    while !sender.is_closed() {
        thread::sleep(LOOK);
        let mut after = stamps();
        if after == before {
            continue;
        }
        loop {
            thread::sleep(QUIET);
            let later = stamps();
            if std::mem::replace(&mut after, later) == after {
                break;
            }
        }
        let changes: Changes = before
            .iter()
            .zip(&after)
            .map(|(before, after)| differences(before, after))
            .enumerate()
            .filter(|(_, changed)| !changed.is_empty())
            .collect();
        before = after;
        // A file that was written and put back as it was is no change.
        if !changes.is_empty() && sender.blocking_send(changes).is_err() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{create_dir, remove_file, write};

    use super::*;

    fn found(files: &Files, folder: &Path) -> Vec<String> {
        let relative = |path: &PathBuf| path.strip_prefix(folder).unwrap().display().to_string();
        files.stamps().keys().map(relative).collect()
    }

    #[test]
    fn sources_of_the_same_language_matter_and_what_others_wrote_does_not() {
        let home = tempfile::tempdir().unwrap();
        let folder = home.path();
        for made in ["shop", "shop/.venv", "shop/env", "shop/node_modules", "shop/__pycache__"] {
            create_dir(folder.join(made)).unwrap();
        }
        write(folder.join("shop/env/pyvenv.cfg"), "").unwrap();
        for path in [
            "calc.py",
            "util.py",
            "page.mjs",
            "notes.txt",
            ".hidden.py",
            "shop/goods.py",
            "shop/.venv/x.py",
            "shop/env/x.py",
            "shop/node_modules/x.py",
            "shop/__pycache__/x.py",
        ] {
            write(folder.join(path), "").unwrap();
        }
        let python = Files::of(&folder.join("calc.py"), &[]);
        assert_eq!(found(&python, folder), ["calc.py", "shop/goods.py", "util.py"]);
        assert_eq!(python.crowded(), None);
        let node = Files::of(&folder.join("page.mjs"), &[]);
        assert_eq!(found(&node, folder), ["page.mjs"]);
        let program = Files::of(&folder.join("notes.txt"), &[folder.join("shop")]);
        assert_eq!(found(&program, folder), ["notes.txt", "shop/goods.py"]);
    }

    #[test]
    fn what_is_written_comes_or_goes_is_a_change() {
        let home = tempfile::tempdir().unwrap();
        let at = |name: &str| home.path().join(name);
        write(at("calc.py"), "1").unwrap();
        write(at("gone.py"), "1").unwrap();
        let files = Files::of(&at("calc.py"), &[]);
        let before = files.stamps();
        assert!(differences(&before, &files.stamps()).is_empty());
        write(at("calc.py"), "22").unwrap();
        write(at("new.py"), "").unwrap();
        remove_file(at("gone.py")).unwrap();
        let changed = differences(&before, &files.stamps());
        assert_eq!(changed, [at("calc.py"), at("gone.py"), at("new.py")].into());
    }

    #[test]
    fn a_burst_is_told_at_once() {
        let home = tempfile::tempdir().unwrap();
        let at = |name: String| home.path().join(name);
        write(at("calc.py".to_owned()), "").unwrap();
        let mut watch = Watch::start(vec![Files::of(&at("calc.py".to_owned()), &[])]).unwrap();
        for number in 0..100 {
            write(at(format!("module_{number}.py")), "x").unwrap();
        }
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let mut seen = BTreeSet::new();
        let mut times = 0;
        while seen.len() < 100 {
            seen.extend(runtime.block_on(watch.next()).remove(&0).unwrap());
            times += 1;
        }
        assert!(times <= 2, "{times}");
    }
}
