//! A worker of a test.

use procall::Error;
use tokio::task::JoinHandle;

/// A worker that ends with the test.
pub(crate) struct Worker(pub(crate) JoinHandle<Result<(), Error>>);

impl Drop for Worker {
    fn drop(&mut self) {
        self.0.abort();
    }
}
