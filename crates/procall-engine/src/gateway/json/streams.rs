//! The credit of streams to and from JSON peers.

/// Towards the peer.
#[derive(Debug)]
pub(super) struct Sending {
    items: u32,
    /// Goes below zero by the one item that crosses the bound.
    bytes: i64,
    /// Items that were sent.
    pub(super) count: u64,
}

impl Sending {
    pub(super) fn new((items, bytes): (u32, u32)) -> Self {
        Self { items, bytes: bytes.into(), count: 0 }
    }

    pub(super) fn has_credit(&self) -> bool {
        self.items > 0 && self.bytes > 0
    }

    pub(super) fn take(&mut self, len: usize) {
        self.items = self.items.saturating_sub(1);
        self.bytes = self.bytes.saturating_sub_unsigned(len as u64);
        self.count += 1;
    }

    /// Sums that overflow saturate: such a peer only hurts itself.
    pub(super) fn grant(&mut self, items: u32, bytes: u32) {
        self.items = self.items.saturating_add(items);
        self.bytes = self.bytes.saturating_add(bytes.into());
    }
}

/// Items that a peer may send before it must wait for credit.
const ITEMS: u32 = 64;
/// Bytes of JSON text that a peer may send before it must wait for credit. The item that crosses the bound is still allowed.
const BYTES: u32 = 1 << 20;

/// From the peer.
#[derive(Debug)]
pub(super) struct Receiving {
    items: u32,
    bytes: i64,
    taken_items: u32,
    taken_bytes: u64,
    /// Items that came.
    pub(super) count: u64,
}

impl Receiving {
    pub(super) fn new() -> Self {
        Self { items: ITEMS, bytes: BYTES.into(), taken_items: 0, taken_bytes: 0, count: 0 }
    }

    /// False when the peer had no credit for the item.
    pub(super) fn receive(&mut self, len: usize) -> bool {
        if self.items == 0 || self.bytes <= 0 {
            return false;
        }
        self.items -= 1;
        self.bytes = self.bytes.saturating_sub_unsigned(len as u64);
        self.count += 1;
        true
    }

    /// An item went on; the credit to grant once half of the window is free again.
    pub(super) fn consumed(&mut self, len: usize) -> Option<(u32, u32)> {
        self.taken_items += 1;
        self.taken_bytes += len as u64;
        if self.taken_items < ITEMS / 2 && self.taken_bytes < u64::from(BYTES / 2) {
            return None;
        }
        let items = std::mem::take(&mut self.taken_items);
        let bytes = u32::try_from(std::mem::take(&mut self.taken_bytes)).unwrap_or(u32::MAX);
        self.items = self.items.saturating_add(items);
        self.bytes = self.bytes.saturating_add(bytes.into());
        Some((items, bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_taken_is_granted_anew() {
        let mut receiving = Receiving::new();
        for _ in 0..ITEMS {
            assert!(receiving.receive(1));
        }
        assert!(!receiving.receive(1));
        let grants: Vec<_> = (0..ITEMS).filter_map(|_| receiving.consumed(1)).collect();
        assert_eq!(grants, [(ITEMS / 2, ITEMS / 2); 2]);
        assert!(receiving.receive(1));
    }

    #[test]
    fn the_item_that_crosses_the_bound_in_bytes_is_allowed() {
        let mut sending = Sending::new((2, 10));
        sending.take(1000);
        assert!(!sending.has_credit());
        sending.grant(0, 2000);
        assert!(sending.has_credit());
        let mut receiving = Receiving::new();
        assert!(receiving.receive(2 * BYTES as usize));
        assert!(!receiving.receive(1));
    }
}
