//! One pool a language.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use procall::{Bytes, Call, Error};
use procall_pool::{Pool, WorkerInfo};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What the Rust worker says of a file.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub(crate) struct Digest {
    pub(crate) sha256: String,
    pub(crate) bytes: u64,
    pub(crate) lines: u64,
    pub(crate) words: u64,
}

/// The pools.
#[derive(Clone)]
pub(crate) struct Workers {
    rust: Pool,
    python: Pool,
    node: Pool,
}

impl Workers {
    pub(crate) async fn start() -> Result<Self, Error> {
        let scripts = Path::new(env!("CARGO_MANIFEST_DIR")).join("workers");
        // All three start at the same time.
        let rust = Pool::spawn(own_sibling("procall-demo-digest")?).name("rust").workers(1).start();
        let python = Pool::spawn(scripts.join("keywords.py")).name("python").workers(2).start();
        let node = Pool::spawn(scripts.join("render.mjs")).name("node").workers(1).start();
        let (rust, python, node) = tokio::try_join!(rust, python, node)?;
        Ok(Self { rust, python, node })
    }

    fn pools(&self) -> [&Pool; 3] {
        [&self.rust, &self.python, &self.node]
    }

    fn infos(&self) -> Vec<WorkerInfo> {
        self.pools().into_iter().flat_map(Pool::workers).collect()
    }

    pub(crate) fn count(&self) -> usize {
        self.infos().len()
    }

    /// The processes that run now.
    pub(crate) fn pids(&self) -> Vec<u32> {
        self.infos().iter().filter_map(|worker| worker.pid).collect()
    }

    /// Restarts a language, in the order of the table.
    pub(crate) fn restarts(&self) -> [u64; 3] {
        [&self.python, &self.node, &self.rust]
            .map(|pool| pool.workers().iter().map(|worker| worker.restarts).sum())
    }

    /// Kills one Python worker, as a crash or an out-of-memory killer would; its name and pid.
    pub(crate) fn kill_one(&self) -> Option<(Arc<str>, u32)> {
        let victim = self.python.workers().into_iter().find(|worker| worker.pid.is_some())?;
        let pid = victim.pid?;
        let process = rustix::process::Pid::from_raw(i32::try_from(pid).ok()?)?;
        rustix::process::kill_process(process, rustix::process::Signal::KILL).ok()?;
        Some((victim.name, pid))
    }

    pub(crate) fn digest(&self, content: Bytes) -> Call<Digest> {
        Call::new(&self.rust, "digest", (content,)).idempotent()
    }

    pub(crate) fn keywords(&self, text: &str) -> Call<Vec<String>> {
        Call::new(&self.python, "keywords", (text, 5))
            .idempotent()
            .deadline(Duration::from_secs(60))
    }

    pub(crate) fn render(&self, markdown: &str) -> Call<String> {
        Call::new(&self.node, "render", (markdown,)).idempotent()
    }

    pub(crate) async fn stop(self) -> Result<(), Error> {
        tokio::try_join!(self.rust.stop(), self.python.stop(), self.node.stop())?;
        Ok(())
    }
}

/// A program beside this one.
fn own_sibling(name: &str) -> Result<PathBuf, Error> {
    let own = std::env::current_exe().map_err(|error| {
        Error::new(procall::ErrorCode::SpawnFailed, "this program does not know where it is")
            .with_source(error)
    })?;
    Ok(own.with_file_name(name))
}
