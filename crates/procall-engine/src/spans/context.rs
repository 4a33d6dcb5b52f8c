//! The W3C trace context, as calls bring it in the metadata `traceparent`.

/// A trace, and where in it a call was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Trace {
    pub(crate) id: u128,
    /// The span of whoever calls; `None` for the first of a trace.
    pub(crate) parent: Option<u64>,
    /// Somebody keeps the spans of this trace.
    pub(crate) sampled: bool,
}

impl Trace {
    /// A trace that begins here.
    pub(super) fn new() -> Self {
        Self { id: uuid::Uuid::new_v4().as_u128(), parent: None, sampled: true }
    }

    /// `00-` and 32, 16 and 2 hexadecimal digits in lower case. Later versions may have more to say after that.
    pub(crate) fn read(text: &str) -> Option<Self> {
        let mut parts = text.split('-');
        let version = digits(parts.next()?, 2)?;
        let id = digits(parts.next()?, 32)?;
        let parent = digits(parts.next()?, 16)?;
        let flags = digits(parts.next()?, 2)?;
        let more = parts.next().is_some();
        if version == 0xff || version == 0 && more || id == 0 || parent == 0 {
            return None;
        }
        let parent = u64::try_from(parent).ok()?;
        Some(Self { id, parent: Some(parent), sampled: flags & 1 == 1 })
    }

    /// The same for whoever is called by this span.
    pub(super) fn onward(&self, span: u64) -> String {
        format!("00-{:032x}-{span:016x}-{:02x}", self.id, u8::from(self.sampled))
    }
}

fn digits(text: &str, len: usize) -> Option<u128> {
    let digit = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    match text.len() == len && text.bytes().all(digit) {
        true => u128::from_str_radix(text, 16).ok(),
        false => None,
    }
}

/// An id for a span; never 0, which means none.
pub(super) fn id() -> u64 {
    let (high, low) = uuid::Uuid::new_v4().as_u64_pair();
    (high ^ low).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trace_goes_on_with_another_parent() {
        let text = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        let trace = Trace::read(text).unwrap();
        assert_eq!((trace.parent, trace.sampled), (Some(0x00f0_67aa_0ba9_02b7), true));
        assert_eq!(trace.onward(7), "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000007-01");
        assert!(!Trace::read(&text.replace("-01", "-02")).unwrap().sampled);
        assert!(Trace::read(&format!("01{}-later", &text[2..])).is_some());
    }

    #[test]
    fn what_is_no_trace_begins_none() {
        for text in [
            "",
            "00-1",
            "00-ab-cd-01",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "00-+bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        ] {
            assert_eq!(Trace::read(text), None, "{text}");
        }
    }
}
