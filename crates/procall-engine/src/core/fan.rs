//! One call to all who serve a method.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;

use futures_util::future::join_all;
use procall::wire::Writer;
use procall::{
    CallId, Connection, Encoded, Encoding, Error, ErrorCode, Executed, Shape, Started, json,
};

use super::peer::Number;
use super::ticket::{Aim, Arrived};
use super::wishes::Wishes;
use super::{Core, Ticket};

/// Workers that one call may go to.
const MOST: usize = 1_024;

impl Core {
    /// Calls all who serve a method. The answer is an array with one map a worker: `worker`, `ok`, and `result` or `error`; that some fail is no
    /// failure of the whole.
    pub(super) fn fan_out(
        self: &Arc<Self>,
        client: Number,
        connection: &Connection,
        id: CallId,
        method: &str,
        arrived: Arrived<'_>,
        wishes: &Wishes<'_>,
    ) -> Result<(), Error> {
        if arrived.incoming.shape() != Shape::Unary {
            return Err(Error::invalid("a call to all workers cannot have streams"));
        }
        let asked: Vec<(Arc<str>, Result<Started, Error>)> = {
            let (tickets, from) = {
                let mut state = self.lock();
                let (method, _) = state.resolve(client, method, Shape::Unary)?;
                let from = state.peers.get(&client).map(|peer| peer.id.clone()).unwrap_or_default();
                let serving =
                    state.methods.get(&method).into_iter().flat_map(|method| &method.providers);
                let workers: Vec<(Number, Arc<str>)> = serving
                    .filter_map(|provider| {
                        let peer = state.peers.get(&provider.peer)?;
                        Some((peer.number, peer.name.clone()))
                    })
                    .take(MOST)
                    .collect();
                if workers.is_empty() {
                    return Err(super::calls::no_worker(&method));
                }
                let tickets = workers.into_iter().map(|(number, name)| {
                    let aim = Aim { key: None, only: Some(number) };
                    let method = method.clone();
                    (name, aim, method)
                });
                (tickets.collect::<Vec<_>>(), from)
            };
            let start = |(name, aim, method): (Arc<str>, Aim, Arc<str>)| {
                let from = (client, &*from);
                let ticket = Ticket::new(self.number(), from, method, arrived.clone(), wishes, aim);
                (name, self.begin(&Arc::new(ticket)))
            };
            tickets.into_iter().map(start).collect()
        };
        tokio::spawn(gather(connection.clone(), id, asked));
        Ok(())
    }
}

/// Waits for all answers, or until nobody wants them any more.
async fn gather(
    connection: Connection,
    id: CallId,
    asked: Vec<(Arc<str>, Result<Started, Error>)>,
) {
    let answers = join_all(asked.into_iter().map(|(worker, started)| async move {
        let answer = match started {
            Ok(started) => started.await,
            Err(error) => Err(error),
        };
        (worker, answer)
    }));
    let mut answers = std::pin::pin!(answers);
    let gathered = poll_fn(|cx| {
        if connection.poll_cancelled(id, cx.waker()).is_ready() {
            return Poll::Ready(None);
        }
        answers.as_mut().poll(cx).map(Some)
    })
    .await;
    match gathered {
        Some(answers) => connection.reply(id, table(&answers)),
        // Dropping the calls cancels them.
        None => {
            let error = Error::new(ErrorCode::Cancelled, "the caller gave the call up");
            connection.fail(id, &error.with_executed(Executed::Maybe));
        }
    }
}

fn table(answers: &[(Arc<str>, Result<Encoded, Error>)]) -> Encoded {
    let mut bytes = Vec::new();
    Writer::new(&mut bytes).array(answers.len());
    for (worker, answer) in answers {
        match answer.as_ref().map_err(Clone::clone).and_then(as_msgpack) {
            Ok(value) => {
                let mut writer = Writer::new(&mut bytes);
                writer
                    .map(3)
                    .text("worker")
                    .text(worker)
                    .text("ok")
                    .raw(&[0xc3])
                    .text("result")
                    .raw(&value);
            }
            Err(error) => {
                let mut writer = Writer::new(&mut bytes);
                writer.map(3).text("worker").text(worker).text("ok").raw(&[0xc2]).text("error");
                writer.map(3).text("code").text(error.code().name());
                writer.text("executed").text(&error.executed().to_string());
                writer.text("message").text(error.message());
            }
        }
    }
    Encoded::new(Encoding::Msgpack, bytes)
}

fn as_msgpack(value: &Encoded) -> Result<Vec<u8>, Error> {
    match value.encoding {
        Encoding::None => Ok(vec![0xc0]),
        Encoding::Json => json::from_json(&value.bytes)
            .map_err(|error| Error::new(ErrorCode::InvalidResult, error.to_string())),
        Encoding::Raw => {
            let mut bytes = Vec::new();
            Writer::new(&mut bytes).bin(&value.bytes);
            Ok(bytes)
        }
        _ => Ok(value.bytes.clone()),
    }
}
