//! Pools inside a tokio runtime: one task reads the connections of all workers.

use std::sync::Arc;

use procall::Hub;
use tokio::runtime::Handle;

use crate::core::Core;

/// Has the current runtime read the pool's connections, if there is one. Without it, as after a failure here, threads that wait read for
/// themselves, and the standby thread reads for everybody else a few milliseconds later.
pub(crate) fn drive(core: &Arc<Core>) {
    if Handle::try_current().is_err() {
        return;
    }
    let Ok(hub) = Hub::new() else { return };
    if let Ok(task) = procall::drive_hub(&hub) {
        match core.attach(&hub) {
            Ok(()) => core.drive_with(task.abort_handle()),
            Err(_) => task.abort(),
        }
    }
}
