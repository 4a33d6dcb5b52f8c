//! What a call costs at least in a runtime: 32 bytes there and back on tokio's current-thread runtime.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;

use procall_bench_load::{Figures, Task, measure};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{Mutex, Notify, oneshot};

type Failure = Box<dyn std::error::Error>;

const FRAME: usize = 32;

/// Echoes whatever is there, with one write for each read.
pub(crate) async fn serve(path: &str) -> Result<(), Failure> {
    let listener = UnixListener::bind(path)?;
    println!("ready");
    let (mut stream, _) = listener.accept().await?;
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let len = stream.read(&mut buffer).await?;
        if len == 0 {
            return Ok(());
        }
        stream.write_all(&buffer[..len]).await?;
    }
}

/// One call at a time on the stream itself; who comes meanwhile waits.
pub(crate) async fn call_raw(task: &Task) -> Result<Figures, Failure> {
    let stream = Rc::new(Mutex::new(UnixStream::connect(&task.path).await?));
    let measured = measure(task.window, move |n| {
        let stream = stream.clone();
        async move {
            let mut frame = [n as u8; FRAME];
            let mut stream = stream.lock().await;
            stream.write_all(&frame).await.expect("the server reads");
            stream.read_exact(&mut frame).await.expect("the server answers");
        }
    });
    Ok(measured.await?.into())
}

type Waiting = Rc<RefCell<HashMap<u64, oneshot::Sender<()>>>>;

/// Calls with numbers: whatever was asked for meanwhile goes out with one write, and answers find who waits for them.
pub(crate) async fn call_mux(task: &Task) -> Result<Figures, Failure> {
    let (mut input, mut output) = UnixStream::connect(&task.path).await?.into_split();
    let waiting = Waiting::default();
    let outgoing = Rc::new(RefCell::new(Vec::new()));
    let wanted = Rc::new(Notify::new());
    let local = tokio::task::LocalSet::new();
    let (answers, asked, wake) = (waiting.clone(), outgoing.clone(), wanted.clone());
    local.spawn_local(async move {
        loop {
            wake.notified().await;
            let batch: Vec<u8> = asked.take();
            output.write_all(&batch).await.expect("the server reads");
        }
    });
    local.spawn_local(async move {
        let mut buffer = vec![0; 64 * 1024];
        let mut filled = 0;
        loop {
            let len = input.read(&mut buffer[filled..]).await.expect("the server answers");
            filled += len;
            let whole = filled / FRAME * FRAME;
            for frame in buffer[..whole].chunks_exact(FRAME) {
                let id = u64::from_le_bytes(*frame.first_chunk().expect("a frame is longer"));
                if let Some(caller) = answers.borrow_mut().remove(&id) {
                    // Nobody gives up here.
                    let _ = caller.send(());
                }
            }
            buffer.copy_within(whole..filled, 0);
            filled -= whole;
        }
    });
    let next = Rc::new(Cell::new(0));
    let measured = measure(task.window, move |_| {
        let (waiting, outgoing) = (waiting.clone(), outgoing.clone());
        let (wanted, next) = (wanted.clone(), next.clone());
        async move {
            let id: u64 = next.get();
            next.set(id + 1);
            let (done, answered) = oneshot::channel();
            waiting.borrow_mut().insert(id, done);
            let mut frame = [0; FRAME];
            frame[..8].copy_from_slice(&id.to_le_bytes());
            outgoing.borrow_mut().extend_from_slice(&frame);
            wanted.notify_one();
            answered.await.expect("an answer comes");
        }
    });
    Ok(local.run_until(measured).await?.into())
}
