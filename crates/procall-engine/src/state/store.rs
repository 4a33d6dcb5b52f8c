//! The file: one commit after the other, each of which is there as a whole or not at all.

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};

use procall::{Error, ErrorCode};
use redb::{
    Database, DatabaseError, ReadableDatabase, ReadableTable, StorageError, TableDefinition,
};

use super::document::{Document, Key};
use super::place::{Place, unusable};

/// What the file says of itself.
const ABOUT: TableDefinition<'_, &str, u64> = TableDefinition::new("about");
/// Documents in JSON.
const REGISTRATIONS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("registrations");
/// The name under which the format of the documents stands in `ABOUT`.
const FORMAT: &str = "format";
/// The format that is written, and the newest that is read.
const NEWEST: u64 = 1;
/// Bytes of the file that may be held in memory.
const CACHE: usize = 4 << 20;

/// The store, open.
#[derive(Debug)]
pub(super) struct Store {
    database: Database,
    place: Place,
}

/// What an opened store gives.
#[derive(Debug)]
pub(super) struct Opened {
    pub(super) store: Store,
    pub(super) documents: HashMap<Key, Document>,
    /// What the user is to know: that a damaged file was put aside.
    pub(super) warnings: Vec<String>,
}

/// Why a file cannot be used.
#[derive(Debug)]
enum Unreadable {
    /// Its content is not what was written.
    Damaged(String),
    /// It may be well; something else is wrong.
    Failed(Error),
}

impl Store {
    /// Opens the store of a directory. A file that is damaged is kept under another name, and an empty one takes its place.
    pub(super) fn open(place: Place) -> Result<Opened, Error> {
        let mut warnings = Vec::new();
        let (database, documents) = match read(&place) {
            Ok(read) => read,
            Err(Unreadable::Failed(error)) => return Err(error),
            Err(Unreadable::Damaged(why)) => {
                let kept = place.put_aside()?;
                warnings.push(format!(
                    "the state was damaged ({why}): it is kept as {}, and the engine starts without it",
                    kept.display()
                ));
                read(&place).map_err(|error| match error {
                    Unreadable::Failed(error) => error,
                    Unreadable::Damaged(why) => Error::new(ErrorCode::Internal, why),
                })?
            }
        };
        Ok(Opened { store: Self { database, place }, documents, warnings })
    }

    /// Writes documents, and removes those without.
    pub(super) fn commit(&self, changes: &[(Key, Option<Document>)]) -> Result<(), Error> {
        self.write(changes).map_err(|error| {
            Error::new(
                ErrorCode::Unavailable,
                format!(
                    "what changed could not be written to {}: {error}",
                    self.place.path().display()
                ),
            )
        })
    }

    fn write(&self, changes: &[(Key, Option<Document>)]) -> Result<(), redb::Error> {
        let writing = self.database.begin_write()?;
        {
            let mut table = writing.open_table(REGISTRATIONS)?;
            for (key, document) in changes {
                let key = key.to_string();
                let text = document.as_ref().map(Document::to_json).transpose();
                // A registration that came over a wire can be written.
                match text.map_err(|error| redb::Error::Corrupted(error.to_string()))? {
                    Some(text) => table.insert(&*key, &*text)?,
                    None => table.remove(&*key)?,
                };
            }
        }
        writing.commit()?;
        Ok(())
    }
}

type Read = (Database, HashMap<Key, Document>);

/// Reads the whole file, whatever it holds.
fn read(place: &Place) -> Result<Read, Unreadable> {
    // The store's own code meets bytes here that anything may have happened to. Should it panic over them, the file is damaged like any other.
    catch_unwind(AssertUnwindSafe(|| read_file(place)))
        .unwrap_or_else(|_| Err(Unreadable::Damaged("it cannot be read at all".to_owned())))
}

fn read_file(place: &Place) -> Result<Read, Unreadable> {
    let file = place.file().map_err(Unreadable::Failed)?;
    let sort = |error: DatabaseError| sorted(place, error);
    let mut database = Database::builder().set_cache_size(CACHE).create_file(file).map_err(sort)?;
    // Every page against its checksum: the file is small, and what is read below is then what was written.
    if !database.check_integrity().map_err(sort)? {
        return Err(Unreadable::Damaged("a part of it is not as it was written".to_owned()));
    }
    let documents = documents(&database).map_err(|error| match error {
        Unread::Format(error) => Unreadable::Failed(error),
        Unread::Store(error) => Unreadable::Damaged(error.to_string()),
        Unread::Document(why) => Unreadable::Damaged(why),
    })?;
    Ok((database, documents))
}

/// Why the content of a file that is well in itself cannot be used.
enum Unread {
    Format(Error),
    Store(redb::Error),
    Document(String),
}

impl<E: Into<redb::Error>> From<E> for Unread {
    fn from(error: E) -> Self {
        Self::Store(error.into())
    }
}

fn documents(database: &Database) -> Result<HashMap<Key, Document>, Unread> {
    let writing = database.begin_write()?;
    {
        let mut about = writing.open_table(ABOUT)?;
        let format = about.get(FORMAT)?.map(|found| found.value());
        match format {
            Some(NEWEST) => {}
            Some(newer) => return Err(Unread::Format(too_new(newer))),
            None => {
                about.insert(FORMAT, NEWEST)?;
            }
        }
        writing.open_table(REGISTRATIONS)?;
    }
    writing.commit()?;
    let reading = database.begin_read()?;
    let table = reading.open_table(REGISTRATIONS)?;
    let mut documents = HashMap::new();
    for entry in table.iter()? {
        let (key, value) = entry?;
        let known = Key::read(key.value()).ok_or_else(|| {
            Unread::Document(format!("\"{}\" is no key", key.value().escape_debug()))
        })?;
        let document: Document = serde_json::from_slice(value.value())
            .map_err(|error| Unread::Document(format!("{known}: {error}")))?;
        documents.insert(known, document);
    }
    Ok(documents)
}

fn too_new(format: u64) -> Error {
    Error::new(
        ErrorCode::VersionMismatch,
        format!(
            "the state has format {format}, and this engine reads up to {NEWEST}: run the newer procall that wrote it, or name another directory"
        ),
    )
}

fn sorted(place: &Place, error: DatabaseError) -> Unreadable {
    match error {
        DatabaseError::Storage(StorageError::Io(error))
            if !matches!(
                error.kind(),
                std::io::ErrorKind::InvalidData | std::io::ErrorKind::UnexpectedEof
            ) =>
        {
            Unreadable::Failed(unusable(place.path(), error))
        }
        DatabaseError::DatabaseAlreadyOpen => Unreadable::Failed(Error::new(
            ErrorCode::NameTaken,
            format!("another process has the state in {} open", place.path().display()),
        )),
        error => Unreadable::Damaged(error.to_string()),
    }
}
