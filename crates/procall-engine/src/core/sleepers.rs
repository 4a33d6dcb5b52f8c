//! Services that the engine starts when they are called: their calls wait meanwhile.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Instant;

use procall::{Error, ErrorCode, Executed, MethodInfo, similar};
use tokio::sync::Notify;

use super::admission::Admitted;
use super::method::{Method, Offer};
use super::peer::Number;
use super::{Core, State, Ticket};
use crate::workers::Seen;

/// Names that are called before it is known which of them there are, for each service; then OVERLOADED.
const MAX_GUESSES: usize = 256;

/// A service that the engine starts.
#[derive(Debug)]
pub(crate) struct Sleeper {
    pub(crate) phase: Phase,
    /// Wakes whoever starts it.
    wake: Arc<Notify>,
    /// Methods that were called, or are said to be there, before it ever ran.
    guesses: BTreeSet<Arc<str>>,
    /// Those of them that are said to be there.
    listed: BTreeSet<Arc<str>>,
    /// Somebody asks for it without calling it.
    asked: bool,
    /// Somebody asks for it although its pause is not over: its failures count no more.
    anew: bool,
    /// Its workers.
    pub(crate) seen: Seen,
}

/// What a service that the engine starts is doing.
#[derive(Debug, Clone)]
pub(crate) enum Phase {
    /// A call starts it.
    Asleep,
    Starting,
    Awake,
    /// It finishes what it has; calls wait until it has started again.
    Stopping,
    /// It could not be started, and is not tried again before then.
    Failed {
        again: Instant,
        why: Error,
    },
}

impl Phase {
    pub(crate) fn says(&self) -> &'static str {
        match self {
            Self::Asleep => "asleep",
            Self::Starting => "starting",
            Self::Awake => "running",
            Self::Stopping => "stopping",
            Self::Failed { .. } => "failed",
        }
    }
}

impl Sleeper {
    /// Why a call cannot wait for it now.
    pub(super) fn refuses(&self) -> Option<Error> {
        match &self.phase {
            Phase::Failed { again, why } if *again > Instant::now() => Some(why.clone()),
            _ => None,
        }
    }
}

impl Core {
    /// From now on calls of this service wait for `wake` to start it.
    pub(crate) fn declare(
        &self,
        seen: &Seen,
        service: &str,
        methods: &[String],
        wake: Arc<Notify>,
    ) {
        let service: Arc<str> = service.into();
        let mut state = self.lock();
        let sleeper = Sleeper {
            phase: Phase::Asleep,
            wake,
            guesses: BTreeSet::new(),
            listed: BTreeSet::new(),
            asked: false,
            anew: false,
            seen: seen.clone(),
        };
        state.sleepers.insert(service.clone(), sleeper);
        for method in methods {
            let full: Arc<str> = match method.contains('.') {
                true => method.as_str().into(),
                false => format!("{service}.{method}").into(),
            };
            if !state.methods.contains_key(&full) {
                state.add_guess(&service, full.clone());
                if let Some(sleeper) = state.sleepers.get_mut(&service) {
                    sleeper.listed.insert(full);
                }
            }
        }
    }

    /// A call waits for this method: whoever can start its service hears of it.
    pub(super) fn wake(&self, method: &Arc<str>) {
        let wanted = {
            let state = self.lock();
            if state.sleepers.is_empty() {
                return;
            }
            state.sleeper_wanted(method)
        };
        if let Some(wanted) = wanted {
            wanted.notify_one();
        }
    }

    pub(crate) fn set_phase(&self, service: &str, phase: Phase) {
        if let Some(sleeper) = self.lock().sleepers.get_mut(service) {
            sleeper.phase = phase;
        }
        self.phases.notify_waiters();
    }

    /// Starts a service, unless it runs already, and waits until it does.
    ///
    /// # Errors
    ///
    /// NOT_FOUND when there is none; NO_WORKER with the reason when it does not come up, or did not before and its pause is not over.
    pub(crate) async fn start_service(&self, service: &str) -> Result<(), Error> {
        self.start_or(service, false).await
    }

    /// The same, but one that failed is tried at once, and its earlier failures do not make its next pause longer.
    pub(crate) async fn start_anew(&self, service: &str) -> Result<(), Error> {
        self.start_or(service, true).await
    }

    async fn start_or(&self, service: &str, mut anew: bool) -> Result<(), Error> {
        loop {
            let mut changed = std::pin::pin!(self.phases.notified());
            // From now on no change is missed.
            changed.as_mut().enable();
            let wake = {
                let mut state = self.lock();
                let Some(sleeper) = state.sleepers.get_mut(service) else {
                    return Err(state.no_service(service));
                };
                if matches!(sleeper.phase, Phase::Awake) {
                    return Ok(());
                }
                match (&sleeper.phase, sleeper.refuses()) {
                    (_, Some(_)) if anew => {
                        // Calls that come from now on wait, too.
                        sleeper.phase = Phase::Starting;
                        sleeper.anew = true;
                        anew = false;
                    }
                    (_, Some(error)) => return Err(error),
                    // What comes of this start is the answer.
                    (Phase::Starting, None) => anew = false,
                    _ => {}
                }
                sleeper.asked = true;
                sleeper.wake.clone()
            };
            wake.notify_one();
            changed.await;
        }
    }

    /// Whether a service is to be started before its pause is over.
    pub(crate) fn is_wanted_anew(&self, service: &str) -> bool {
        self.lock().sleepers.get(service).is_some_and(|sleeper| sleeper.anew)
    }

    /// A service is being started. Whether that is as if it had not failed before.
    pub(crate) fn starting(&self, service: &str) -> bool {
        let anew = self.lock().sleepers.get_mut(service).is_some_and(|sleeper| {
            sleeper.phase = Phase::Starting;
            std::mem::take(&mut sleeper.anew)
        });
        self.phases.notify_waiters();
        anew
    }

    /// Whether a service runs.
    pub(crate) fn is_awake(&self, service: &str) -> bool {
        let state = self.lock();
        state.sleepers.get(service).is_some_and(|sleeper| matches!(sleeper.phase, Phase::Awake))
    }

    /// Whether calls wait for a service that is not there.
    pub(crate) fn is_wanted(&self, service: &str) -> bool {
        let state = self.lock();
        let asked = state.sleepers.get(service).is_some_and(|sleeper| sleeper.asked);
        asked
            || state.busy.iter().filter_map(|name| state.methods.get(name)).any(|method| {
                *method.offer.service == *service && method.is_away() && !method.waiting.is_empty()
            })
    }

    /// A service runs: what was called and is not there ends with NOT_FOUND.
    pub(crate) fn awake(&self, service: &str) {
        let mut orphans = Vec::new();
        {
            let mut state = self.lock();
            let Some(sleeper) = state.sleepers.get_mut(service) else { return };
            sleeper.phase = Phase::Awake;
            sleeper.asked = false;
            for name in std::mem::take(&mut sleeper.guesses) {
                let Some(method) = state.methods.get_mut(&name).filter(|method| method.guessed)
                else {
                    continue;
                };
                let waiting = method.waiting.take(|_| true);
                state.busy.remove(&name);
                state.forget(&name);
                let near = similar(&name, state.methods.keys().map(|name| &**name));
                let hint = match &*near {
                    [] => String::new(),
                    names => format!("; did you mean {}?", names.join(" or ")),
                };
                let message = format!("{service} has no method \"{name}\"{hint}");
                let error = Error::new(ErrorCode::NotFound, message).with_candidates(near);
                orphans.extend(waiting.into_iter().map(|ticket| (ticket, error.clone())));
            }
            orphans.extend(state.unserved(service));
        }
        Self::refuse(orphans);
        self.phases.notify_waiters();
    }

    /// A service could not be started: the calls that wait for it are told why, but for those that want to wait.
    pub(crate) fn not_started(&self, service: &str, why: &Error, again: Instant) {
        let mut orphans: Vec<(Arc<Ticket>, Error)> = Vec::new();
        {
            let mut state = self.lock();
            if let Some(sleeper) = state.sleepers.get_mut(service) {
                sleeper.phase = Phase::Failed { again, why: why.clone() };
                sleeper.asked = false;
            }
            let State { methods, busy, .. } = &mut *state;
            busy.retain(|name| {
                let Some(method) = methods.get_mut(name) else { return false };
                if *method.offer.service == *service && method.is_away() {
                    let refused = method.waiting.take(|ticket| !ticket.waits);
                    orphans.extend(refused.into_iter().map(|ticket| (ticket, why.clone())));
                }
                !method.waiting.is_empty()
            });
            state.forget_guesses(service);
        }
        Self::refuse(orphans);
        self.phases.notify_waiters();
    }

    /// Gives a peer of the engine's own this name, if nobody claims it for himself.
    pub(crate) fn call_it(&self, number: Number, name: &str) {
        let mut state = self.lock();
        let name = state.free_label(name, number);
        state.rename(number, &name, false);
    }

    /// Gives a worker nothing new from now on.
    pub(crate) fn let_go(&self, number: Number) {
        if let Some(peer) = self.lock().peers.get_mut(&number) {
            peer.going = true;
        }
    }

    /// Calls that a worker has in hand, and those it was given in all.
    pub(crate) fn work_of(&self, number: Number) -> (u32, u64) {
        let state = self.lock();
        state.peers.get(&number).map_or((0, 0), |peer| (peer.in_flight, peer.calls))
    }
}

impl State {
    /// The full name of a method that nobody has told of, but that a service may have which can be started.
    pub(super) fn guess(&mut self, client: Number, name: &str) -> Option<Result<Arc<str>, Error>> {
        if self.sleepers.is_empty() {
            return None;
        }
        let named = name.match_indices('.').rev().find_map(|(at, _)| {
            self.sleepers.get_key_value(&name[..at]).map(|(service, _)| service.clone())
        });
        let (service, full) = match named {
            Some(service) => (service, Arc::from(name)),
            None => {
                let want = self.peers.get(&client)?.want.clone()?;
                let full: Arc<str> = Arc::from(format!("{want}.{name}"));
                (want, full)
            }
        };
        let sleeper = self.sleepers.get(&service)?;
        if let Some(error) = sleeper.refuses() {
            return Some(Err(error));
        }
        if matches!(sleeper.phase, Phase::Awake) {
            return None;
        }
        if sleeper.guesses.len() >= MAX_GUESSES {
            let message = format!("too many names are called while {service} starts");
            return Some(Err(
                Error::new(ErrorCode::Overloaded, message).with_executed(Executed::No)
            ));
        }
        self.add_guess(&service, full.clone());
        Some(Ok(full))
    }

    /// Calls of a service that runs now, but not in the version that they want.
    fn unserved(&mut self, service: &str) -> Vec<(Arc<Ticket>, Error)> {
        let mut unserved = Vec::new();
        let Self { methods, busy, .. } = self;
        busy.retain(|name| {
            let Some(method) = methods.get_mut(name) else { return false };
            if *method.offer.service != *service || method.is_away() {
                return true;
            }
            let Method { providers, waiting, .. } = method;
            let fits = |ticket: &Ticket| providers.iter().any(|known| ticket.may_go_to(known));
            let left =
                waiting.take(|ticket| ticket.only.is_none() && !ticket.waits && !fits(ticket));
            unserved.extend(left.into_iter().map(|ticket| {
                let error = super::calls::no_version(&ticket);
                (ticket, error)
            }));
            !waiting.is_empty()
        });
        unserved
    }

    /// Names that were called in vain, and that nobody waits for any more.
    fn forget_guesses(&mut self, service: &str) {
        let Some(sleeper) = self.sleepers.get_mut(service) else { return };
        let methods = &self.methods;
        let vain = |name: &Arc<str>| {
            methods.get(name).is_none_or(|method| !method.guessed || method.waiting.is_empty())
        };
        let Sleeper { guesses, listed, .. } = sleeper;
        let (gone, kept) = std::mem::take(guesses)
            .into_iter()
            .partition(|name| vain(name) && !listed.contains(name));
        *guesses = kept;
        let gone: BTreeSet<Arc<str>> = gone;
        for name in gone {
            if self.methods.get(&name).is_some_and(|method| method.guessed) {
                self.forget(&name);
            }
        }
    }

    /// Whether a method is more than a name that somebody has called.
    pub(crate) fn is_known(&self, method: &Method) -> bool {
        let listed = |sleeper: &Sleeper| sleeper.listed.contains(&method.name);
        !method.guessed || self.sleepers.get(&method.offer.service).is_some_and(listed)
    }

    fn add_guess(&mut self, service: &Arc<str>, full: Arc<str>) {
        let offer = Offer {
            info: MethodInfo { name: full.to_string(), ..MethodInfo::default() },
            service: service.clone(),
            version: "".into(),
            params: None,
            result: None,
        };
        let mut method = Method::new(full.clone(), Arc::new(offer));
        method.guessed = true;
        self.methods.insert(full.clone(), method);
        self.note_bare(&full);
        if let Some(sleeper) = self.sleepers.get_mut(service) {
            sleeper.guesses.insert(full);
        }
    }

    /// Takes note of methods that somebody served once.
    pub(super) fn know(&mut self, admitted: &Admitted) {
        for (name, offer) in &admitted.methods {
            self.note_bare(name);
            // What was written last counts.
            self.methods.insert(name.clone(), Method::new(name.clone(), offer.clone()));
        }
    }

    fn sleeper_wanted(&self, method: &Arc<str>) -> Option<Arc<Notify>> {
        let method = self.methods.get(method)?;
        if !method.is_away() || method.waiting.is_empty() {
            return None;
        }
        self.sleepers.get(&method.offer.service).map(|sleeper| sleeper.wake.clone())
    }

    /// Who is to start what is wanted of these methods.
    pub(super) fn wanted_sleepers(&self, methods: &[Arc<str>]) -> Vec<Arc<Notify>> {
        if self.sleepers.is_empty() {
            return Vec::new();
        }
        methods.iter().filter_map(|method| self.sleeper_wanted(method)).collect()
    }
}
