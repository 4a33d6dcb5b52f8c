//! Calls that a worker is killed with: made again when that does no harm, never otherwise.

mod common;

use common::pool;
use procall::{Call, Encoding, Error, ErrorCode, Executed, Request, start_retrying};
use procall_pool::{Pool, RestartPolicy};
use std::time::Duration;

fn mortal() -> Pool {
    let policy = RestartPolicy { backoff: Duration::from_millis(1), ..RestartPolicy::default() };
    pool().restart(policy).start().wait().unwrap()
}

/// A call as clients make it, with plain text for arguments.
fn call(pool: &Pool, method: &str, ledger: &str, idempotent: bool) -> Result<String, Error> {
    let mut request = Request::new(method, Encoding::Raw, ledger.as_bytes());
    request.options.idempotent = idempotent;
    let reply = start_retrying(&procall::AsChannel::as_channel(pool), request)?.wait()?;
    Ok(String::from_utf8(reply.bytes).unwrap())
}

fn entries(ledger: &std::path::Path) -> usize {
    std::fs::read_to_string(ledger).unwrap().lines().count()
}

#[test]
fn a_call_that_may_have_run_is_not_executed_twice() {
    let (pool, folder) = (mortal(), tempfile::tempdir().unwrap());
    let ledger = folder.path().join("charged");
    let error = call(&pool, "charge", ledger.to_str().unwrap(), false).unwrap_err();
    assert_eq!((error.code(), error.executed()), (ErrorCode::WorkerLost, Executed::Maybe));
    assert_eq!((error.attempts(), entries(&ledger), pool.metrics().retries), (1, 1, 0));
}

#[test]
fn an_idempotent_call_is_made_again_and_ends_well() {
    let (pool, folder) = (mortal(), tempfile::tempdir().unwrap());
    for (method, said) in [("settle", false), ("charge", true)] {
        let ledger = folder.path().join(method);
        assert_eq!(call(&pool, method, ledger.to_str().unwrap(), said).unwrap(), "2");
        assert_eq!(entries(&ledger), 2);
    }
    assert_eq!((pool.metrics().retries, pool.metrics().failed_requests), (2, 2));
}

#[test]
fn a_pool_that_is_drained_is_not_asked_again() {
    let pool = mortal();
    pool.drain().wait().unwrap();
    let error = Call::<()>::new(&pool, "echo", ()).wait().unwrap_err();
    assert_eq!((error.code(), error.attempts()), (ErrorCode::Unavailable, 1));
}
