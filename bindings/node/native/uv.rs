//! The event loop of Node: the one room of this crate that may be unsafe.
//!
//! A [`Watch`] tells JavaScript when a descriptor is readable. libuv does the waiting, on the thread of JavaScript itself: no other thread
//! ever enters JavaScript, and nothing is handed from thread to thread.
//!
//! Three parties hold a watch: libuv between `uv_poll_init` and the callback of `uv_close`, the environment's teardown until its hook has
//! run, and the [`Watch`] that Rust code has. All live on one thread. [`Shared`] is freed in the callback of `uv_close`, the last of them.

#![allow(unsafe_code)]

use std::alloc::{self, Layout};
use std::cell::Cell;
use std::ffi::{c_int, c_void};
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};
use std::ptr;
use std::rc::Rc;

use napi::bindgen_prelude::{Function, JsValue, Result};
use napi::{Env, check_status, sys};

/// `UV_POLL` of `uv_handle_type`; the numbers are part of libuv's stable interface.
const UV_POLL: c_int = 8;
/// `UV_READABLE` of `uv_poll_event`.
const UV_READABLE: c_int = 1;
/// libuv asks for what `malloc` gives.
const ALIGN: usize = 16;

/// A `uv_poll_t`, which only libuv looks into.
#[repr(C)]
struct UvPoll {
    _opaque: [u8; 0],
}

// libuv is part of the Node executable, which exports it to addons.
unsafe extern "C" {
    fn uv_handle_size(kind: c_int) -> usize;
    fn uv_poll_init(uv: *mut sys::uv_loop_s, handle: *mut UvPoll, fd: c_int) -> c_int;
    fn uv_poll_start(
        handle: *mut UvPoll,
        events: c_int,
        callback: extern "C" fn(*mut UvPoll, c_int, c_int),
    ) -> c_int;
    fn uv_handle_set_data(handle: *mut UvPoll, data: *mut c_void);
    fn uv_handle_get_data(handle: *const UvPoll) -> *mut c_void;
    fn uv_close(handle: *mut UvPoll, callback: extern "C" fn(*mut UvPoll));
    fn uv_ref(handle: *mut UvPoll);
    fn uv_unref(handle: *mut UvPoll);
}

/// What libuv's callbacks find behind the handle.
struct Shared {
    env: sys::napi_env,
    /// A strong reference to the function to call; it ends with the environment.
    callback: sys::napi_ref,
    /// Kept open until libuv is done with the handle.
    _fd: OwnedFd,
    /// The hook of the environment's teardown, removed when the handle is closed.
    hook: Cell<sys::napi_async_cleanup_hook_handle>,
    /// Null once teardown has begun: the handle must not be touched any more.
    handle: Rc<Cell<*mut UvPoll>>,
    /// Told that the environment goes.
    ended: Cell<Option<Box<dyn FnOnce()>>>,
}

/// A descriptor that is watched until the environment goes. It starts without keeping the process alive.
#[derive(Debug)]
pub(crate) struct Watch {
    handle: Rc<Cell<*mut UvPoll>>,
    keeps_alive: Cell<bool>,
}

impl Watch {
    /// Calls `callback` whenever `fd` is readable. `ended` runs once, when the environment is torn down.
    pub(crate) fn start(
        env: &Env,
        fd: BorrowedFd<'_>,
        callback: &Function<'_, (), ()>,
        ended: impl FnOnce() + 'static,
    ) -> Result<Self> {
        let uv = env.get_uv_event_loop()?;
        let fd =
            fd.try_clone_to_owned().map_err(|error| napi::Error::from_reason(error.to_string()))?;
        let number = fd.as_raw_fd();
        let mut reference = ptr::null_mut();
        // SAFETY: the environment and the function are those of the call we are in, and `reference` is valid for writing.
        check_status!(unsafe {
            sys::napi_create_reference(env.raw(), callback.raw(), 1, &raw mut reference)
        })?;

        let layout = poll_layout();
        // SAFETY: no uv_poll_t has size 0.
        let handle: *mut UvPoll = unsafe { alloc::alloc_zeroed(layout) }.cast();
        if handle.is_null() {
            alloc::handle_alloc_error(layout);
        }
        // SAFETY: the loop is the one of this thread, the memory is as large as libuv says, and the descriptor is open.
        let status = unsafe { uv_poll_init(uv, handle, number) };
        if status != 0 {
            // SAFETY: allocated above with the same layout; a handle whose initialisation failed is not libuv's.
            unsafe { alloc::dealloc(handle.cast(), layout) };
            return Err(uv_error("watch", status));
        }
        let cell = Rc::new(Cell::new(handle));
        let shared = Box::into_raw(Box::new(Shared {
            env: env.raw(),
            callback: reference,
            _fd: fd,
            hook: Cell::new(ptr::null_mut()),
            handle: cell.clone(),
            ended: Cell::new(Some(Box::new(ended))),
        }));
        // SAFETY: initialised above; `shared` lives until `on_closed`, after which libuv has forgotten the handle.
        unsafe { uv_handle_set_data(handle, shared.cast()) };
        // SAFETY: initialised above.
        unsafe { uv_unref(handle) };
        let mut hook = ptr::null_mut();
        // SAFETY: the environment is live, `shared` stays valid until the hook is removed in `on_closed`, and `hook` is valid for writing.
        let hooked = check_status!(unsafe {
            sys::napi_add_async_cleanup_hook(
                env.raw(),
                Some(on_teardown),
                shared.cast(),
                &raw mut hook,
            )
        });
        // SAFETY: made by `Box::into_raw` above, and not freed before the handle is closed.
        unsafe { &*shared }.hook.set(hook);
        // SAFETY: initialised above; `on_readable` finds `shared` behind it.
        let status = unsafe { uv_poll_start(handle, UV_READABLE, on_readable) };
        if status != 0 || hooked.is_err() {
            cell.set(ptr::null_mut());
            // SAFETY: initialised above and not closed before; `on_closed` frees everything.
            unsafe { uv_close(handle, on_closed) };
            hooked?;
            return Err(uv_error("start to watch", status));
        }
        Ok(Self { handle: cell, keeps_alive: Cell::new(false) })
    }

    /// Says whether the process must stay alive for this watch.
    pub(crate) fn keep_alive(&self, keep: bool) {
        let handle = self.handle.get();
        if handle.is_null() || self.keeps_alive.replace(keep) == keep {
            return;
        }
        if keep {
            // SAFETY: it is not null, so teardown has not begun and the handle is initialised and open; we are on its thread, because
            // an `Rc` cannot leave it.
            unsafe { uv_ref(handle) }
        } else {
            // SAFETY: as above.
            unsafe { uv_unref(handle) }
        }
    }
}

fn uv_error(what: &str, status: c_int) -> napi::Error {
    napi::Error::from_reason(format!(
        "libuv cannot {what} a descriptor: {}",
        std::io::Error::from_raw_os_error(-status)
    ))
}

fn poll_layout() -> Layout {
    // SAFETY: a pure function of a number that libuv knows.
    let size = unsafe { uv_handle_size(UV_POLL) };
    Layout::from_size_align(size, ALIGN).expect("a uv_poll_t has some hundred bytes")
}

/// libuv found the descriptor readable, or broken; JavaScript finds out which.
extern "C" fn on_readable(handle: *mut UvPoll, _status: c_int, _events: c_int) {
    // SAFETY: libuv calls with the handle that it was given.
    let shared = unsafe { uv_handle_get_data(handle) }.cast::<Shared>();
    // SAFETY: set before the first event, and freed only in `on_closed`, after the last.
    let Shared { env, callback, .. } = unsafe { &*shared };
    let env = *env;
    let mut scope = ptr::null_mut();
    // SAFETY: the environment is live while the handle is open, and this is its thread.
    if unsafe { sys::napi_open_handle_scope(env, &raw mut scope) } != sys::Status::napi_ok {
        return;
    }
    let (mut function, mut global) = (ptr::null_mut(), ptr::null_mut());
    // SAFETY: the reference is strong and not deleted while the environment lives.
    let found = unsafe { sys::napi_get_reference_value(env, *callback, &raw mut function) };
    // SAFETY: `global` is valid for writing.
    let global_found = unsafe { sys::napi_get_global(env, &raw mut global) };
    if found == sys::Status::napi_ok && global_found == sys::Status::napi_ok {
        // SAFETY: both values belong to the scope opened above. Without an async context Node takes its default. This also runs the
        // microtasks and ticks that the function leaves behind.
        let called = unsafe {
            sys::napi_make_callback(
                env,
                ptr::null_mut(),
                global,
                function,
                0,
                ptr::null(),
                ptr::null_mut(),
            )
        };
        if called == sys::Status::napi_pending_exception {
            raise(env);
        }
    }
    // SAFETY: opened above.
    unsafe { sys::napi_close_handle_scope(env, scope) };
}

/// Makes the exception that the callback threw an uncaught one, as an exception of any other event would be.
fn raise(env: sys::napi_env) {
    let mut exception = ptr::null_mut();
    // SAFETY: called within the scope of `on_readable`; `exception` is valid for writing.
    let taken = unsafe { sys::napi_get_and_clear_last_exception(env, &raw mut exception) };
    if taken == sys::Status::napi_ok {
        // SAFETY: the exception belongs to that scope.
        unsafe { sys::napi_fatal_exception(env, exception) };
    }
}

/// The environment goes: the loop must be left without our handle.
unsafe extern "C" fn on_teardown(_hook: sys::napi_async_cleanup_hook_handle, data: *mut c_void) {
    // SAFETY: Node calls with the data that was given, which `on_closed` has not freed: it removes this hook first.
    let shared = unsafe { &*data.cast::<Shared>() };
    if let Some(ended) = shared.ended.take() {
        ended();
    }
    let handle = shared.handle.replace(ptr::null_mut());
    if !handle.is_null() {
        // SAFETY: not null, so it is initialised and was not closed before.
        unsafe { uv_close(handle, on_closed) };
    }
}

/// libuv has forgotten the handle.
extern "C" fn on_closed(handle: *mut UvPoll) {
    // SAFETY: libuv calls with the handle that it was given.
    let shared = unsafe { uv_handle_get_data(handle) }.cast::<Shared>();
    // SAFETY: made by `Box::into_raw` in `start`; nothing else uses it now: no event comes any more, and the hook is removed below.
    let shared = unsafe { Box::from_raw(shared) };
    let hook = shared.hook.get();
    if !hook.is_null() {
        // SAFETY: added in `start` and not removed before. This lets the teardown go on, if it is one.
        unsafe { sys::napi_remove_async_cleanup_hook(hook) };
    }
    // SAFETY: allocated in `start` with the same layout.
    unsafe { alloc::dealloc(handle.cast(), poll_layout()) };
}
