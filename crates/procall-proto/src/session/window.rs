//! Credit: how much more of a stream may be sent.

/// The sender's side of a stream.
#[derive(Debug)]
pub(crate) struct SendWindow {
    items: u32,
    /// Goes below zero by the one item that crosses the bound.
    bytes: i64,
    count: u64,
    ended: bool,
    /// Whether somebody waits for credit.
    wanted: bool,
}

impl SendWindow {
    pub(crate) fn new(items: u32, bytes: u32) -> Self {
        Self { items, bytes: bytes.into(), count: 0, ended: false, wanted: false }
    }

    pub(crate) fn is_open(&self) -> bool {
        !self.ended
    }

    /// Takes credit for one item; false, and remembered, when there is none.
    pub(crate) fn take(&mut self, len: usize) -> bool {
        if self.items == 0 || self.bytes <= 0 {
            self.wanted = true;
            return false;
        }
        self.items -= 1;
        self.bytes -= len as i64;
        self.count += 1;
        true
    }

    pub(crate) fn has_credit(&mut self) -> bool {
        let credit = self.items > 0 && self.bytes > 0;
        self.wanted |= !credit;
        credit
    }

    /// Adds credit; true when somebody waited for it. Sums that overflow saturate: such a peer only hurts itself.
    pub(crate) fn grant(&mut self, items: u32, bytes: u32) -> bool {
        self.items = self.items.saturating_add(items);
        self.bytes = self.bytes.saturating_add(bytes.into());
        let woken = self.wanted && !self.ended && self.items > 0 && self.bytes > 0;
        self.wanted &= !woken;
        woken
    }

    /// Ends the stream and says how many items it had.
    pub(crate) fn end(&mut self) -> u64 {
        self.ended = true;
        self.count
    }
}

/// The receiver's side of a stream.
#[derive(Debug)]
pub(crate) struct RecvWindow {
    items: u32,
    bytes: i64,
    taken_items: u32,
    taken_bytes: u64,
    window_items: u32,
    window_bytes: u32,
    count: u64,
    ended: bool,
}

impl RecvWindow {
    pub(crate) fn new(items: u32, bytes: u32) -> Self {
        Self {
            items,
            bytes: bytes.into(),
            taken_items: 0,
            taken_bytes: 0,
            window_items: items,
            window_bytes: bytes,
            count: 0,
            ended: false,
        }
    }

    /// Accounts for an item that arrives; false when the peer had no credit for it or had ended its stream.
    pub(crate) fn receive(&mut self, len: u64) -> bool {
        if self.items == 0 || self.bytes <= 0 || self.ended {
            return false;
        }
        self.items -= 1;
        self.bytes = self.bytes.saturating_sub_unsigned(len);
        self.count += 1;
        true
    }

    /// The peer ended its stream; false when its count is not ours or it had ended before.
    pub(crate) fn end(&mut self, count: u64) -> bool {
        let first = !self.ended;
        self.ended = true;
        first && self.count == count
    }

    /// Accounts for items that were taken; the credit to grant once half the window is free again.
    pub(crate) fn consumed(&mut self, items: u32, bytes: usize) -> Option<(u32, u32)> {
        self.taken_items = self.taken_items.saturating_add(items);
        self.taken_bytes = self.taken_bytes.saturating_add(bytes as u64);
        let due = self.taken_items >= self.window_items.div_ceil(2)
            || self.taken_bytes >= u64::from(self.window_bytes.div_ceil(2));
        if !due || self.ended {
            return None;
        }
        let items = std::mem::take(&mut self.taken_items);
        let bytes = u32::try_from(std::mem::take(&mut self.taken_bytes)).unwrap_or(u32::MAX);
        self.items = self.items.saturating_add(items);
        self.bytes = self.bytes.saturating_add(bytes.into());
        Some((items, bytes))
    }
}
