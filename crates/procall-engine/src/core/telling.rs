//! Clients that came for a service are told what there is of it, now and whenever that changes.

use std::sync::atomic::Ordering;

use procall::{Connection, Registration};

use super::calls::{AGAIN, IDLE, RUNNING};
use super::peer::Number;
use super::{Core, State};

impl Core {
    /// Tells a client what there is of the service that it came for.
    pub(super) fn tell(&self, number: Number) {
        self.lock().untold.insert(number);
        self.tell_all(send);
    }

    /// The same to all who came for it.
    pub(super) fn tell_those_who_want(&self, service: &str) {
        {
            let mut state = self.lock();
            let State { peers, untold, .. } = &mut *state;
            let wanting = peers.values().filter(|peer| peer.want.as_deref() == Some(service));
            let before = untold.len();
            untold.extend(wanting.map(|peer| peer.number));
            if untold.len() == before {
                return;
            }
        }
        self.tell_all(send);
    }

    /// Tells all who are to be told. Nothing is sent under the lock, so what one thread has read may be old when it is sent: therefore one
    /// thread does it at a time, and others leave word. What is sent last to somebody is what there was last.
    fn tell_all(&self, mut send: impl FnMut(&Connection, &Registration)) {
        if self.telling.swap(AGAIN, Ordering::AcqRel) != IDLE {
            return;
        }
        loop {
            self.telling.store(RUNNING, Ordering::Release);
            while let Some((connection, registration)) = self.next_untold() {
                send(&connection, &registration);
            }
            let idle =
                self.telling.compare_exchange(RUNNING, IDLE, Ordering::AcqRel, Ordering::Acquire);
            if idle.is_ok() {
                return;
            }
        }
    }

    fn next_untold(&self) -> Option<(Connection, Registration)> {
        let mut state = self.lock();
        while let Some(number) = state.untold.pop_first() {
            // One that has gone needs to know nothing.
            let Some(peer) = state.peers.get(&number) else { continue };
            let (connection, want) = (peer.connection.clone(), peer.want.clone());
            return Some((connection, state.registration(want.as_deref())));
        }
        None
    }
}

fn send(connection: &Connection, registration: &Registration) {
    // One that is too long for a message is still told to those who ask for `procall.methods`.
    let _ = connection.register_anew(registration);
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::sync::Arc;

    use procall::transport::{LinkOptions, mem};
    use procall::{Batch, Config, Encoding, MethodInfo, RawService, Request, Side, Started};

    use super::*;
    use crate::facts::{Facts, Speaks};
    use crate::rights::Rights;
    use crate::settings::Settings;
    use crate::tokens::Doors;

    /// A process that serves nothing.
    struct Nothing;

    impl RawService for Nothing {
        fn calls(&self, _: &Connection, _: &Batch) {}
    }

    fn facts() -> Facts {
        Facts::inside(Speaks::Native)
    }

    fn math(methods: &[&str]) -> Registration {
        let method = |name: &&str| MethodInfo { name: (*name).to_owned(), ..MethodInfo::default() };
        let methods = methods.iter().map(method).collect();
        Registration { name: "math".to_owned(), methods, ..Registration::default() }
    }

    #[tokio::test]
    async fn what_a_client_hears_last_is_what_there_was_last() {
        let doors = Doors::new(Vec::new(), Rights::user()).unwrap();
        let core = Core::new(Settings::default(), doors, None);
        let join = |side| {
            let (near, far) = mem::pair(&LinkOptions::default()).unwrap();
            (core.join(Box::new(far), side, facts()).unwrap(), near)
        };
        let (worker, _theirs) = join(Side::Initiator);
        core.register(worker.number, math(&["old"])).unwrap();
        let (joined, link) = join(Side::Acceptor);
        let config = Config { want: "math".to_owned(), ..Config::default() };
        let client =
            procall::serve_raw(Box::new(link), Side::Initiator, config, Arc::new(Nothing)).unwrap();
        poll_fn(|cx| client.poll_peer_registration(cx.waker())).await.unwrap();

        core.lock().untold.insert(joined.number);
        let mut newer = Some(core.clone());
        core.tell_all(|connection, registration| {
            // Between the look and the sending of it, another thread has something newer and comes to its end.
            if let Some(core) = newer.take() {
                let number = worker.number;
                let other = move || core.register(number, math(&["old", "new"])).map(drop);
                std::thread::spawn(other).join().unwrap().unwrap();
            }
            send(connection, registration);
        });
        // What was sent before this answer has arrived.
        let ping = Request::new("procall.ping", Encoding::None, &[]);
        Started::from(client.start(ping).unwrap()).await.unwrap();
        let told = client.peer_registration().unwrap();
        let names: Vec<&str> = told.methods.iter().map(|method| &*method.name).collect();
        assert_eq!(names, ["math.new", "math.old"]);
    }
}
