//! A link of the user's, whose panics end the link and nothing else.

use std::io;
use std::os::fd::BorrowedFd;
use std::panic::{AssertUnwindSafe, catch_unwind};

use procall::transport::{Link, LinkError, LinkInfo};

/// A link whose methods may panic. The supervisor's thread reads links too, and if that ended, all workers would end with it.
#[derive(Debug)]
pub(super) struct Sheltered {
    link: Box<dyn Link>,
    /// One of its methods has panicked: what state it is in, nobody knows.
    ruined: bool,
}

impl Sheltered {
    pub(super) fn new(link: Box<dyn Link>) -> Self {
        Self { link, ruined: false }
    }

    fn call<'a, R>(
        &'a mut self,
        run: impl FnOnce(&'a mut dyn Link) -> Result<R, LinkError>,
    ) -> Result<R, LinkError> {
        let Self { link, ruined } = self;
        if std::mem::replace(ruined, true) {
            return Err(broken());
        }
        let result = catch_unwind(AssertUnwindSafe(|| run(link.as_mut())));
        *ruined = result.is_err();
        result.unwrap_or_else(|_| Err(broken()))
    }
}

fn broken() -> LinkError {
    LinkError::Io(io::Error::other("the link panicked"))
}

impl Link for Sheltered {
    fn buffer(&mut self, len: usize) -> Result<Option<&mut [u8]>, LinkError> {
        self.call(|link| link.buffer(len))
    }

    fn commit(&mut self) {
        // What failed here is told by whatever is called next.
        let _ = self.call(|link| {
            link.commit();
            Ok(())
        });
    }

    fn flush(&mut self) -> Result<bool, LinkError> {
        self.call(|link| link.flush())
    }

    fn receive(&mut self) -> Result<Option<&[u8]>, LinkError> {
        self.call(|link| link.receive())
    }

    fn info(&self) -> &LinkInfo {
        self.link.info()
    }

    fn readiness(&self) -> BorrowedFd<'_> {
        self.link.readiness()
    }

    fn close(&mut self) {
        // A link that cannot be closed is closed by its end.
        let _ = self.call(|link| {
            link.close();
            Ok(())
        });
    }
}
