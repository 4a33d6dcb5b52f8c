//! What an engine remembers over its own end: who served what.
//!
//! A thread of its own writes, so that no registration waits for a disk; what comes while it writes goes with the next commit.

mod document;
mod place;
mod store;

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use procall::{Error, ErrorCode, Registration};

pub(crate) use document::{Identity, Key};

use document::Document;
use place::Place;
use store::{Opened, Store};

/// Registrations that are remembered; beyond that, those that were written longest ago are forgotten.
const MAX_DOCUMENTS: usize = 1_024;
/// Bytes of one, and of all together; a longer one is not remembered.
const MAX_LEN: usize = 1 << 20;

/// Who served what, in memory and on disk.
#[derive(Debug)]
pub(crate) struct Memory {
    shared: Arc<Shared>,
    writer: Mutex<Option<JoinHandle<()>>>,
}

#[derive(Debug, Default)]
struct Shared {
    known: Mutex<Known>,
    news: Condvar,
}

#[derive(Debug, Default)]
struct Known {
    documents: HashMap<Key, Document>,
    /// Not written yet.
    changed: HashMap<Key, Option<Document>>,
    /// The last commit failed, and why.
    failed: Option<String>,
    over: bool,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Known> {
        // Nothing under the lock panics half-way.
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Memory {
    /// Takes a directory; gives what the user is to know besides.
    ///
    /// # Errors
    ///
    /// See [`EngineBuilder::state`](crate::EngineBuilder::state).
    pub(crate) fn open(directory: &Path) -> Result<(Self, Vec<String>), Error> {
        let Opened { store, documents, warnings } = Store::open(Place::take(directory)?)?;
        let shared = Arc::new(Shared::default());
        shared.lock().documents = documents;
        let writer = std::thread::Builder::new()
            .name("procall-state".to_owned())
            .spawn({
                let shared = shared.clone();
                move || write(&shared, &store)
            })
            .map_err(|error| {
                Error::new(ErrorCode::Internal, "there is no thread left to write the state")
                    .with_source(error)
            })?;
        Ok((Self { shared, writer: Mutex::new(Some(writer)) }, warnings))
    }

    /// All that is known, the oldest first.
    pub(crate) fn all(&self) -> Vec<(Key, Arc<Registration>)> {
        let known = self.shared.lock();
        let mut all: Vec<(&Key, &Document)> = known.documents.iter().collect();
        all.sort_by_key(|&(key, document)| (document.written, key));
        all.into_iter().map(|(key, known)| (key.clone(), known.registration.clone())).collect()
    }

    /// What somebody served who had this identity.
    pub(crate) fn of(&self, identity: &Identity) -> Option<Arc<Registration>> {
        let known = self.shared.lock();
        known.documents.get(&Key::Peer(identity.clone())).map(|known| known.registration.clone())
    }

    /// Takes note of a registration; it is written soon.
    pub(crate) fn remember(&self, key: Key, registration: &Arc<Registration>) {
        let mut known = self.shared.lock();
        let same = known.documents.get(&key).is_some_and(|had| had.registration == *registration);
        if same || known.over || length(registration) > MAX_LEN {
            return;
        }
        let document = Document::now(registration.clone());
        known.documents.insert(key.clone(), document.clone());
        known.changed.insert(key.clone(), Some(document));
        if known.documents.len() > MAX_DOCUMENTS {
            let others = known.documents.iter().filter(|(other, _)| **other != key);
            let oldest = others.min_by_key(|(key, known)| (known.written, *key));
            if let Some(oldest) = oldest.map(|(key, _)| key.clone()) {
                known.documents.remove(&oldest);
                known.changed.insert(oldest, None);
            }
        }
        drop(known);
        self.shared.news.notify_one();
    }

    /// Why the last attempt to write failed, if it did.
    pub(crate) fn trouble(&self) -> Option<String> {
        self.shared.lock().failed.clone()
    }

    /// Writes what there is, and gives the directory back. It blocks for as long as the disk takes.
    pub(crate) fn close(&self) {
        self.shared.lock().over = true;
        self.shared.news.notify_one();
        let writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(writer) = writer {
            // Its panic was told already, on standard error.
            let _ = writer.join();
        }
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        self.close();
    }
}

/// How long a registration is, roughly: what it is worth to look at.
fn length(registration: &Registration) -> usize {
    struct Count(usize);
    impl std::io::Write for Count {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0 += bytes.len();
            Ok(bytes.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let mut count = Count(0);
    match serde_json::to_writer(&mut count, registration) {
        Ok(()) => count.0,
        Err(_) => usize::MAX,
    }
}

fn write(shared: &Shared, store: &Store) {
    loop {
        let (changes, over) = {
            let mut known = shared.lock();
            while known.changed.is_empty() && !known.over {
                known = shared.news.wait(known).unwrap_or_else(PoisonError::into_inner);
            }
            (std::mem::take(&mut known.changed), known.over)
        };
        let changes: Vec<(Key, Option<Document>)> = changes.into_iter().collect();
        let failed = match changes.is_empty() {
            true => None,
            false => store.commit(&changes).err(),
        };
        let mut known = shared.lock();
        if let Some(error) = &failed {
            // They go with the next commit, unless they have changed again.
            for (key, document) in changes {
                known.changed.entry(key).or_insert(document);
            }
            known.failed = Some(error.message().to_owned());
            if !known.over {
                // A full disk is not asked again before there is news.
                known = shared.news.wait(known).unwrap_or_else(PoisonError::into_inner);
            }
        } else {
            known.failed = None;
        }
        if over || (known.over && known.changed.is_empty()) {
            return;
        }
    }
}

#[cfg(test)]
mod tests;
