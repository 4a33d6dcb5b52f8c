//! Who serves what: registrations come, are replaced, and go with their peers.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use procall::{Error, ErrorCode, MethodInfo, Registration};

use super::admission::{Admitted, admit, full_name};
use super::method::{Method, Provider};
use super::peer::Number;
use super::{Core, State, Ticket};
use crate::events::{Event, PeerName};
use crate::facts::Speaks;
use crate::rights::Standing;
use crate::tokens::Pass;

/// Methods that are known although nobody serves them now; beyond that, some are forgotten.
const MAX_AWAY: usize = 4_096;

/// Registrations that a peer may make at once, and how long it takes until it may make another.
const BURST: u32 = 64;
const EACH: Duration = Duration::from_millis(100);

/// How many registrations a peer may make now. One costs us schemas to compile, and all who came for the service a message.
#[derive(Debug)]
pub(super) struct Pace {
    left: u32,
    since: Instant,
}

impl Pace {
    pub(super) fn new(now: Instant) -> Self {
        Self { left: BURST, since: now }
    }

    /// OVERLOADED when it has made too many.
    fn step(&mut self, now: Instant) -> Result<(), Error> {
        let gained = now.saturating_duration_since(self.since).as_nanos() / EACH.as_nanos();
        let gained = u32::try_from(gained).unwrap_or(u32::MAX);
        if gained >= BURST - self.left {
            (self.left, self.since) = (BURST, now);
        } else {
            self.left += gained;
            self.since += EACH * gained;
        }
        match self.left.checked_sub(1) {
            Some(left) => {
                self.left = left;
                Ok(())
            }
            None => Err(Error::new(
                ErrorCode::Overloaded,
                format!("{BURST} registrations in a row are enough; one each {EACH:?} is taken from now on"),
            )
            .with_executed(procall::Executed::No)
            .with_retry_after(EACH)),
        }
    }
}

impl Core {
    /// A peer tells what it serves: all of it counts from now on, in place of what it told before, or none.
    pub(crate) fn register(
        self: &Arc<Self>,
        number: Number,
        registration: Registration,
    ) -> Result<Arc<Registration>, Error> {
        let (builtin, label, pass) = {
            let mut state = self.lock();
            let Some(peer) = state.peers.get_mut(&number) else { return Err(gone()) };
            peer.pace.step(Instant::now())?;
            let speaks = peer.facts.speaks;
            let label = !matches!(speaks, Speaks::Native | Speaks::Inside);
            (speaks == Speaks::Inside, label, peer.pass.clone())
        };
        // Schemas are compiled without the lock: that may take a while.
        let allowed = if builtin { Ok(()) } else { allow(&pass, &registration) };
        let alike = || (!builtin).then(|| self.lock().alike(&registration)).flatten();
        let admitted = match allowed.map(|()| alike()) {
            Ok(Some(admitted)) => Ok(admitted),
            Ok(None) => admit(registration, builtin),
            Err(error) => Err(error),
        };
        let admitted = match admitted {
            Ok(admitted) => admitted,
            Err(error) => {
                let who = self.lock().who(number);
                if let Some(peer) = who {
                    self.events.tell(Event::Refused { peer, why: error.message().to_owned() });
                }
                return Err(error);
            }
        };
        let (known, orphans, key) = {
            let mut state = self.lock();
            state.name_worker(number, &admitted.registration, label)?;
            let before = state.withdraw(number);
            state.offer(number, &admitted);
            // Not earlier: what it still serves is still worth waiting for.
            let orphans = state.strand(number, &before);
            let key = state.key_of(number, &admitted.registration.name);
            (state.who(number), orphans, key)
        };
        if let (Some(memory), Some(key)) = (&self.memory, key)
            && !builtin
        {
            memory.remember(key, &admitted.registration);
        }
        if let Some(peer) = known
            && !builtin
        {
            self.events.tell(Event::Registered {
                peer,
                methods: admitted.methods.iter().map(|(name, _)| name.to_string()).collect(),
                quarantined: admitted.quarantined.iter().map(ToString::to_string).collect(),
            });
        }
        Self::refuse(orphans);
        self.hand_over();
        self.tell_those_who_want(&admitted.registration.name);
        Ok(admitted.registration)
    }

    /// Ends calls that nobody can serve any more.
    pub(super) fn refuse(orphans: Vec<(Arc<Ticket>, Error)>) {
        for (ticket, error) in orphans {
            ticket.handover.resolve(Err(error));
        }
    }
}

impl State {
    /// What became of the same registration of another worker. A service has many workers, which are to share their compiled schemas.
    fn alike(&self, registration: &Registration) -> Option<Admitted> {
        let full = |method: &MethodInfo| full_name(&registration.name, &method.name);
        let last = self.methods.get(&*full(registration.methods.first()?))?.providers.last()?;
        let known = self.peers.get(&last.peer)?.registration.clone()?;
        if *known != *registration {
            return None;
        }
        let offered = |info| {
            let method = self.methods.get(&*full(info))?;
            Some((method.name.clone(), method.provider(last.peer)?.offer.clone()))
        };
        // Those with methods that were left out are looked at again, and told so again.
        let methods = registration.methods.iter().map(offered).collect::<Option<_>>()?;
        Some(Admitted { registration: known, methods, quarantined: Vec::new() })
    }

    pub(crate) fn who(&self, number: Number) -> Option<PeerName> {
        let peer = self.peers.get(&number)?;
        Some(PeerName { id: peer.id.to_string(), name: peer.name.to_string() })
    }

    /// Settles what a worker is called.
    fn name_worker(
        &mut self,
        number: Number,
        registration: &Registration,
        label: bool,
    ) -> Result<(), Error> {
        let Some(peer) = self.peers.get(&number) else { return Err(gone()) };
        if peer.registration.is_some() {
            // It keeps the name it has.
            return Ok(());
        }
        let service = registration.name.as_str();
        let told = peer.connection.peer().map(|peer| peer.name).unwrap_or_default();
        let chosen =
            !label && peer.facts.speaks == Speaks::Native && !told.is_empty() && told != service;
        if chosen {
            if let Some(&holder) = self.names.get(told.as_str())
                && holder != number
                && let Some(holder) = self.peers.get(&holder)
                && holder.owns_name
            {
                return Err(Error::new(
                    ErrorCode::NameTaken,
                    format!("\"{told}\" is the name of another worker ({})", holder.facts.address),
                ));
            }
            self.rename(number, &told, true);
            return Ok(());
        }
        if !service.is_empty() {
            let name =
                if label { self.free_label(service, number) } else { self.free_place(service) };
            self.rename(number, &name, false);
        }
        Ok(())
    }

    /// `calc/1`, `calc/2`: the first that is free.
    fn free_place(&self, service: &str) -> String {
        let mut names = (1_u64..).map(|place| format!("{service}/{place}"));
        names.find(|name| !self.names.contains_key(name.as_str())).unwrap_or_default()
    }

    /// `client`, `client-2`: the first that is free.
    pub(super) fn free_label(&self, label: &str, own: Number) -> String {
        let free = |name: &str| self.names.get(name).is_none_or(|&holder| holder == own);
        if free(label) {
            return label.to_owned();
        }
        let mut names = (2_u64..).map(|at| format!("{label}-{at}"));
        names.find(|name| free(name)).unwrap_or_default()
    }

    pub(super) fn rename(&mut self, number: Number, name: &str, owns: bool) {
        let name: Arc<str> = name.into();
        // Whoever had it without a claim to it gives way.
        if let Some(&holder) = self.names.get(&name)
            && holder != number
        {
            self.names.remove(&name);
            let other = self.free_label(&name, holder);
            let other: Arc<str> =
                if *other == *name { format!("{name}-2").into() } else { other.into() };
            if let Some(peer) = self.peers.get_mut(&holder) {
                peer.name = other.clone();
                self.names.insert(other, holder);
            }
        }
        let Some(peer) = self.peers.get_mut(&number) else { return };
        self.names.remove(&peer.name);
        peer.name = name.clone();
        peer.owns_name = owns;
        self.names.insert(name, number);
    }

    fn offer(&mut self, number: Number, admitted: &Admitted) {
        for (name, offer) in &admitted.methods {
            // What the engine itself answers is never meant by a bare name: `stop` is a worker's method, or nobody's.
            if !name.starts_with(super::admission::RESERVED) {
                self.note_bare(name);
            }
            let method = self
                .methods
                .entry(name.clone())
                .or_insert_with(|| Method::new(name.clone(), offer.clone()));
            method.offer = offer.clone();
            method.guessed = false;
            method.providers.push(Provider { peer: number, offer: offer.clone() });
        }
        if let Some(peer) = self.peers.get_mut(&number) {
            peer.methods = admitted.methods.iter().map(|(name, _)| name.clone()).collect();
            peer.quarantined.clone_from(&admitted.quarantined);
            peer.take(admitted.registration.clone());
        }
    }

    /// A peer serves nothing any more; gives the names of what it served.
    pub(super) fn withdraw(&mut self, number: Number) -> Vec<Arc<str>> {
        let Some(peer) = self.peers.get_mut(&number) else { return Vec::new() };
        let names: Vec<Arc<str>> = std::mem::take(&mut peer.methods).into_iter().collect();
        for name in &names {
            if let Some(method) = self.methods.get_mut(name) {
                method.providers.retain(|provider| provider.peer != number);
            }
        }
        names
    }

    /// Takes out the calls that wait in vain, now that a peer serves these methods no more.
    pub(super) fn strand(
        &mut self,
        number: Number,
        names: &[Arc<str>],
    ) -> Vec<(Arc<Ticket>, Error)> {
        let mut stranded = Vec::new();
        let mut any_away = false;
        let gone = !self.peers.contains_key(&number);
        for name in names {
            let Some(method) = self.methods.get_mut(name) else { continue };
            if method.provider(number).is_some() {
                continue;
            }
            let away = method.is_away();
            let starts = self.sleepers.contains_key(&method.offer.service);
            let tickets = method.waiting.take(|ticket| {
                ticket.only == Some(number)
                    || (away && !starts && ticket.only.is_none() && !ticket.waits)
            });
            if method.waiting.is_empty() {
                self.busy.remove(name);
            }
            for ticket in tickets {
                let error = match ticket.only {
                    Some(_) if gone => lost(),
                    _ => super::calls::no_worker(name),
                };
                stranded.push((ticket, error));
            }
            any_away |= away;
        }
        if any_away {
            self.forget_away(names);
        }
        stranded
    }

    /// Methods that nobody serves are remembered, so that callers learn of it and can wait, but not without end.
    fn forget_away(&mut self, newest: &[Arc<str>]) {
        // All are looked at only once there are so many altogether, and only once for each registration.
        if self.methods.len() <= MAX_AWAY {
            return;
        }
        let newest: HashSet<&Arc<str>> = newest.iter().collect();
        let away: Vec<Arc<str>> = self
            .methods
            .values()
            .filter(|method| {
                method.is_away() && method.waiting.is_empty() && !newest.contains(&method.name)
            })
            .map(|method| method.name.clone())
            .collect();
        let many = (away.len() + newest.len()).saturating_sub(MAX_AWAY);
        for name in away.into_iter().take(many) {
            self.forget(&name);
        }
    }

    pub(super) fn forget(&mut self, name: &Arc<str>) {
        self.methods.remove(name);
        let last = super::last_part(name);
        if let Some(names) = self.bare.get_mut(last) {
            names.remove(name);
            if names.is_empty() {
                self.bare.remove(last);
            }
        }
    }
}

/// Whether a peer may serve all of this.
fn allow(pass: &Pass, registration: &Registration) -> Result<(), Error> {
    let standing = Standing { rights: &pass.rights, token: pass.token.as_deref() };
    if !registration.name.is_empty() {
        standing.register(&registration.name)?;
    }
    let service = &registration.name;
    registration
        .methods
        .iter()
        .try_for_each(|method| standing.register(&full_name(service, &method.name)))
}

fn gone() -> Error {
    Error::new(ErrorCode::Closed, "the connection is over")
}

fn lost() -> Error {
    Error::new(ErrorCode::WorkerLost, "the worker that this call was meant for has gone")
        .with_executed(procall::Executed::No)
}

#[cfg(test)]
mod tests {
    use procall::Side;
    use procall::transport::{LinkOptions, mem};
    use serde_json::json;

    use super::*;
    use crate::facts::Facts;
    use crate::rights::Rights;
    use crate::settings::Settings;
    use crate::tokens::Doors;

    #[test]
    fn after_a_burst_registrations_are_taken_one_by_one() {
        let start = Instant::now();
        let mut pace = Pace::new(start);
        for _ in 0..BURST {
            pace.step(start).unwrap();
        }
        let error = pace.step(start).unwrap_err();
        assert_eq!(error.code(), ErrorCode::Overloaded);
        assert!(error.retry_after().is_some());
        pace.step(start + EACH * 2).unwrap();
        pace.step(start + EACH * 2).unwrap();
        pace.step(start + EACH * 2).unwrap_err();
        for _ in 0..BURST {
            pace.step(start + EACH * 1000).unwrap();
        }
        pace.step(start + EACH * 1000).unwrap_err();
    }

    fn math(version: &str) -> Registration {
        let add = MethodInfo {
            name: "add".to_owned(),
            params_schema: Some(json!({"type": "object"})),
            ..MethodInfo::default()
        };
        let (name, version) = ("math".to_owned(), version.to_owned());
        Registration { name, version, methods: vec![add], ..Registration::default() }
    }

    #[tokio::test]
    async fn workers_that_tell_the_same_share_it() {
        let doors = Doors::new(Vec::new(), Rights::user()).unwrap();
        let core = Core::new(Settings::default(), doors, None);
        let mut links = Vec::new();
        let mut register = |registration| {
            let (near, far) = mem::pair(&LinkOptions::default()).unwrap();
            links.push(near);
            let facts = Facts::inside(Speaks::Native);
            let joined = core.join(Box::new(far), Side::Initiator, facts).unwrap();
            let told = core.register(joined.number, registration).unwrap();
            let offer =
                core.lock().methods["math.add"].provider(joined.number).unwrap().offer.clone();
            (told, offer)
        };
        let (first, offer) = register(math("1"));
        let (again, same) = register(math("1"));
        assert!(Arc::ptr_eq(&first, &again) && Arc::ptr_eq(&offer, &same));
        let (newer, other) = register(math("2"));
        assert!(!Arc::ptr_eq(&first, &newer) && &*other.version == "2");
    }
}
