//! asyncio: one hub for each event loop, and the awaitables that it wakes.
//!
//! The loop watches the hub's descriptor and calls `turn`, so only the loop's own thread ever runs Python code.

mod delivery;
mod reply;
mod wait;

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::Waker;

use procall::{Connection, Error, Started};
use pyo3::exceptions::PyRuntimeError;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;

use self::delivery::Delivery;
use crate::client::Report;

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
    /// A call whose outcome completes a future of another thread's.
    Delivery(Delivery),
}

/// The connections that one event loop watches.
#[pyclass(frozen, module = "procall._native")]
pub(crate) struct Hub {
    hub: procall::Hub,
    /// A weak reference to the event loop that turns it; none for the thread that completes futures.
    of: Option<Py<PyAny>>,
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

    pub(crate) fn attach_with(
        &self,
        attach: &dyn Fn(&procall::Hub) -> Result<(), Error>,
    ) -> Result<(), Error> {
        attach(&self.hub)
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

    /// The running event loop, which must be the one that turns this.
    fn running_loop<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        // Asked for each time: a loop that its hub holds would never be freed.
        static RUNNING: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
        let running = RUNNING.import(py, "asyncio", "get_running_loop")?.call0()?;
        match &self.of {
            Some(of) if !of.bind(py).call0()?.is(&running) => Err(PyRuntimeError::new_err(
                "this client belongs to another event loop: connect, or start the pool, in the loop that uses it",
            )),
            _ => Ok(running),
        }
    }

    pub(crate) fn check_loop(&self, py: Python<'_>) -> PyResult<()> {
        self.running_loop(py).map(|_| ())
    }

    /// Completes the future with the outcome of the call, at once or in a turn. The number takes it back.
    pub(crate) fn deliver(
        &self,
        py: Python<'_>,
        started: Started,
        report: Option<Report>,
        future: Py<PyAny>,
    ) -> PyResult<u64> {
        let number = self.enter();
        let mut delivery = Delivery::new(started, report, future);
        if delivery.turn(py, &self.waker(number)) {
            self.leave(number);
        } else {
            // A turn that begins meanwhile needs the GIL before it looks for the number.
            drop(self.put(number, Woken::Delivery(delivery)));
        }
        Ok(number)
    }

    /// A future that is done when `number` is woken.
    fn future<'py>(&self, py: Python<'py>, number: u64) -> PyResult<Bound<'py, PyAny>> {
        let future = self.running_loop(py)?.call_method0(intern!(py, "create_future"))?;
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
            // A task that never begins would otherwise be kept with its call, and the call's place with both.
            drop(self.put(number, Woken::Nobody));
            task.call_method0(py, intern!(py, "cancel"))?;
        }
        Ok(number)
    }
}

#[pymethods]
impl Hub {
    /// `of` is a weak reference to the event loop that will turn it.
    #[new]
    #[pyo3(signature = (of = None))]
    fn new(py: Python<'_>, of: Option<Py<PyAny>>) -> PyResult<Self> {
        let hub = procall::Hub::new().map_err(|error| crate::error::raise(py, &error))?;
        Ok(Self { hub, of, woken: Mutex::default() })
    }

    /// Takes back a call that was to complete a future, which cancels it; false when it is too late.
    fn withdraw(&self, number: u64) -> bool {
        let mut numbers = self.numbers();
        if !matches!(numbers.woken.get(&number), Some(Woken::Delivery(_))) {
            return false;
        }
        let delivery = numbers.woken.remove(&number);
        drop(numbers);
        drop(delivery);
        true
    }

    /// Whether anybody waits to be woken.
    fn is_wanted(&self) -> bool {
        !self.numbers().woken.is_empty()
    }

    /// Makes the descriptor readable, so that whoever watches it wakes up.
    fn kick(&self) {
        // No number is zero, so nobody else is woken.
        self.hub.waker(0).wake();
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
                Some(Woken::Delivery(mut delivery)) => {
                    if !delivery.turn(py, &self.waker(number)) {
                        drop(self.put(number, Woken::Delivery(delivery)));
                    } else {
                        self.leave(number);
                    }
                }
                Some(Woken::Nobody) | None => {}
            }
        }
        Ok(())
    }
}
