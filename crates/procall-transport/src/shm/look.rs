//! A short look before a sleep.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::control::has_news;
use super::region::Region;

/// How long a look had better last. A call that is answered at once is answered within it, and an answer that takes longer is not worth more of
/// a processor: waking up across processors costs a few times as much.
pub const LOOK: Duration = Duration::from_micros(10);
/// Looks at the words between two looks at the clock.
const ROUND: u32 = 32;

/// Looks whether a link in shared memory has something, without its lock and without a system call.
///
/// It only pays while calls flow and the other side runs on another processor: on the same one it cannot do anything while we look.
///
/// ```
/// use procall_transport::{Link, LinkOptions, shm};
///
/// let (mut left, mut right) = shm::pair(&LinkOptions::default())?;
/// let look = right.look().expect("it is in shared memory");
/// assert!(!look.look(shm::LOOK));
/// left.buffer(2)?.expect("room").copy_from_slice(b"hi");
/// left.commit();
/// left.flush()?;
/// assert!(look.look(shm::LOOK));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Look {
    own: Arc<Region>,
    theirs: Arc<Region>,
}

impl Look {
    pub(super) fn new(own: &Arc<Region>, theirs: &Arc<Region>) -> Self {
        Self { own: own.clone(), theirs: theirs.clone() }
    }

    /// Whether the other side last ran on another processor than this thread does.
    pub fn pays(&self) -> bool {
        self.theirs.control().cpu() != super::ends::processor()
    }

    /// Whether the other side is awake, as far as it says: it takes what is sent without being rung, and may be looking itself.
    pub fn finds_them_awake(&self) -> bool {
        !self.theirs.control().is_asleep()
    }

    /// Whether there is something now.
    pub fn once(&self) -> bool {
        has_news(self.own.control(), self.theirs.control(), self.own.capacity())
    }

    /// Looks for less than a microsecond; whether there is something. For those who have to let others run between their looks.
    pub fn glance(&self) -> bool {
        for _ in 0..ROUND {
            if self.once() {
                return true;
            }
            std::hint::spin_loop();
        }
        false
    }

    /// Looks for about so long, and no longer than it takes to find something; whether there is something.
    pub fn look(&self, time: Duration) -> bool {
        let mut end = None;
        loop {
            if self.glance() {
                return true;
            }
            let now = Instant::now();
            if now >= *end.get_or_insert(now + time) {
                return false;
            }
        }
    }
}
