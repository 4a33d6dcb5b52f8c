//! asyncio: one hub for each event loop, and the awaitables that it wakes.
//!
//! The loop watches the hub's descriptor and calls `turn`, so only the loop's own thread ever runs Python code.

mod reply;
mod wait;

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::Waker;

use procall::{Connection, Error};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;

pub(crate) use reply::CallReply;
pub(crate) use wait::{Operation, Wait};

/// Who is woken under a number. Numbers are never used again, so that a late wake reaches nobody else.
enum Woken {
    /// Nobody at the moment.
    Nobody,
    /// A future that an awaitable waits for.
    Future(Py<PyAny>),
    /// A task whose call is no longer wanted.
    Task(Py<PyAny>),
}

/// The connections that one event loop watches.
#[pyclass(frozen, module = "procall._native")]
pub(crate) struct Hub {
    hub: procall::Hub,
    woken: Mutex<Numbers>,
}

#[derive(Default)]
struct Numbers {
    last: u64,
    woken: HashMap<u64, Woken>,
}

impl Numbers {
    fn enter(&mut self, woken: Woken) -> u64 {
        self.last += 1;
        self.woken.insert(self.last, woken);
        self.last
    }
}

impl Hub {
    /// Reads this connection from now on.
    pub(crate) fn attach(&self, connection: &Connection) -> Result<(), Error> {
        self.hub.attach(connection)
    }

    /// Reads the workers' connections from now on.
    pub(crate) fn attach_pool(&self, pool: &procall_pool::Pool) -> Result<(), Error> {
        pool.attach(&self.hub)
    }

    fn numbers(&self) -> MutexGuard<'_, Numbers> {
        self.woken.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn enter(&self) -> u64 {
        self.numbers().enter(Woken::Nobody)
    }

    /// Nobody is woken under this number any more.
    pub(crate) fn leave(&self, number: u64) {
        // What it held may run Python code when it goes, which must not meet the lock.
        let left = self.numbers().woken.remove(&number);
        drop(left);
    }

    fn waker(&self, number: u64) -> Waker {
        self.hub.waker(number)
    }

    fn put(&self, number: u64, next: Woken) -> Option<Woken> {
        self.numbers().woken.get_mut(&number).map(|woken| std::mem::replace(woken, next))
    }

    /// A future that is done when `number` is woken.
    fn future<'py>(&self, py: Python<'py>, number: u64) -> PyResult<Bound<'py, PyAny>> {
        // Asked for each time: a loop that its hub holds would never be freed.
        static RUNNING: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
        let running = RUNNING.import(py, "asyncio", "get_running_loop")?;
        let future = running.call0()?.call_method0(intern!(py, "create_future"))?;
        drop(self.put(number, Woken::Future(future.clone().unbind())));
        Ok(future)
    }

    /// Cancels the task once the waker given to `poll` is woken; the number ends it.
    pub(crate) fn cancel_when(
        &self,
        py: Python<'_>,
        task: Py<PyAny>,
        poll: impl FnOnce(&Waker) -> std::task::Poll<()>,
    ) -> PyResult<u64> {
        let number = self.numbers().enter(Woken::Task(task.clone_ref(py)));
        if poll(&self.waker(number)).is_ready() {
            task.call_method0(py, intern!(py, "cancel"))?;
        }
        Ok(number)
    }
}

#[pymethods]
impl Hub {
    #[new]
    fn new(py: Python<'_>) -> PyResult<Self> {
        let hub = procall::Hub::new().map_err(|error| crate::error::raise(py, &error))?;
        Ok(Self { hub, woken: Mutex::default() })
    }

    fn fileno(&self) -> i32 {
        use std::os::fd::AsRawFd as _;
        self.hub.descriptor().as_raw_fd()
    }

    /// Reads what has arrived and wakes whom it concerns; the loop calls it when the descriptor is readable.
    fn turn(&self, py: Python<'_>) -> PyResult<()> {
        for number in self.hub.turn() {
            match self.put(number, Woken::Nobody) {
                Some(Woken::Future(future)) => {
                    let future = future.bind(py);
                    if !future.call_method0(intern!(py, "done"))?.is_truthy()? {
                        future.call_method1(intern!(py, "set_result"), (py.None(),))?;
                    }
                }
                Some(Woken::Task(task)) => {
                    task.call_method0(py, intern!(py, "cancel"))?;
                }
                Some(Woken::Nobody) | None => {}
            }
        }
        Ok(())
    }
}
