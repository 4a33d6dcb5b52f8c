//! asyncio: one hub for each event loop, and the awaitables that it wakes.
//!
//! The loop watches the hub's descriptor and calls `turn`, so only the loop's own thread ever runs Python code.

mod reply;
mod wait;

use std::sync::{Mutex, PoisonError};
use std::task::Waker;

use procall::{Connection, Error};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use slab::Slab;

pub(crate) use reply::CallReply;
pub(crate) use wait::{Operation, Wait};

/// Who is woken under a number.
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
    woken: Mutex<Slab<Woken>>,
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

    fn with<R>(&self, f: impl FnOnce(&mut Slab<Woken>) -> R) -> R {
        f(&mut self.woken.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn enter(&self) -> usize {
        self.with(|woken| woken.insert(Woken::Nobody))
    }

    fn leave(&self, number: usize) {
        let left = self.with(|woken| woken.try_remove(number));
        drop(left);
    }

    fn waker(&self, number: usize) -> Waker {
        self.hub.waker(number as u64)
    }

    fn put(&self, number: usize, next: Woken) -> Option<Woken> {
        self.with(|woken| woken.get_mut(number).map(|slot| std::mem::replace(slot, next)))
    }

    /// A future that is done when `number` is woken.
    fn future<'py>(&self, py: Python<'py>, number: usize) -> PyResult<Bound<'py, PyAny>> {
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
    ) -> PyResult<usize> {
        let number = self.with(|woken| woken.insert(Woken::Task(task.clone_ref(py))));
        if poll(&self.waker(number)).is_ready() {
            task.call_method0(py, intern!(py, "cancel"))?;
        }
        Ok(number)
    }

    /// Nobody is cancelled under this number any more.
    pub(crate) fn forget(&self, number: usize) {
        self.leave(number);
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
            match self.put(number as usize, Woken::Nobody) {
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
