//! Bytes to lines, in constant memory.

/// Longest line; a longer one is cut into pieces of this size.
pub(crate) const MAX_LINE: usize = 8 << 10;

/// Cuts a stream of bytes into lines.
#[derive(Debug, Default)]
pub(super) struct Cutter {
    begun: Vec<u8>,
}

impl Cutter {
    /// Takes bytes and gives lines: the text, and whether the line goes on.
    pub(super) fn feed(&mut self, mut bytes: &[u8], mut line: impl FnMut(&[u8], bool)) {
        while !bytes.is_empty() {
            let room = MAX_LINE - self.begun.len();
            let (piece, rest, ends) =
                match bytes.iter().take(room + 1).position(|&byte| byte == b'\n') {
                    Some(at) => (&bytes[..at], &bytes[at + 1..], true),
                    None => {
                        let (piece, rest) = bytes.split_at(room.min(bytes.len()));
                        (piece, rest, false)
                    }
                };
            bytes = rest;
            if ends {
                self.begun.extend_from_slice(piece);
                line(self.begun.strip_suffix(b"\r").unwrap_or(&self.begun), false);
                self.begun.clear();
            } else if piece.len() == room && !rest.is_empty() {
                self.begun.extend_from_slice(piece);
                let at = character_boundary(&self.begun);
                line(&self.begun[..at], true);
                self.begun.drain(..at);
            } else {
                self.begun.extend_from_slice(piece);
            }
        }
    }

    /// The end of the stream: what was begun is a line too.
    pub(super) fn end(&mut self, mut line: impl FnMut(&[u8], bool)) {
        if !self.begun.is_empty() {
            line(&self.begun, false);
            self.begun.clear();
        }
    }
}

/// Where to cut so that no character of UTF-8 is torn apart.
fn character_boundary(bytes: &[u8]) -> usize {
    let len = bytes.len();
    let start = (len.saturating_sub(4)..len).rev().find(|&at| bytes[at] & 0xc0 != 0x80);
    match start {
        Some(at) if at > 0 && std::str::from_utf8(&bytes[at..]).is_err() && bytes[at] >= 0xc0 => at,
        _ => len,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(chunks: &[&[u8]]) -> Vec<(String, bool)> {
        let (mut cutter, mut lines) = (Cutter::default(), Vec::new());
        let mut keep =
            |line: &[u8], more| lines.push((String::from_utf8_lossy(line).into_owned(), more));
        for chunk in chunks {
            cutter.feed(chunk, &mut keep);
        }
        cutter.end(keep);
        lines
    }

    #[test]
    fn lines_end_where_they_end_however_the_bytes_come() {
        let text = b"one\ntwo\r\n\nlast";
        let whole = cut(&[text]);
        let single: Vec<&[u8]> = text.chunks(1).collect();
        assert_eq!(whole, cut(&single));
        let texts: Vec<&str> = whole.iter().map(|(text, _)| &**text).collect();
        assert_eq!(texts, ["one", "two", "", "last"]);
    }

    #[test]
    fn a_long_line_comes_in_pieces() {
        let long = vec![b'x'; 3 * MAX_LINE + 1];
        let pieces: Vec<(usize, bool)> =
            cut(&[&long, b"\n"]).iter().map(|(text, more)| (text.len(), *more)).collect();
        assert_eq!(pieces, [(MAX_LINE, true), (MAX_LINE, true), (MAX_LINE, true), (1, false)]);
        let exact = vec![b'x'; MAX_LINE];
        assert_eq!(
            cut(&[&exact, b"\n"]).len(),
            1,
            "a line of exactly the longest length is one line"
        );
    }

    #[test]
    fn a_cut_does_not_tear_a_character() {
        let long = "é".repeat(MAX_LINE);
        for shift in ["", "x"] {
            let lines = cut(&[format!("{shift}{long}").as_bytes()]);
            assert!(lines.iter().all(|(text, _)| !text.contains('\u{fffd}')));
        }
    }

    #[test]
    fn garbage_takes_constant_memory() {
        let mut cutter = Cutter::default();
        for _ in 0..100 {
            cutter.feed(&[0x80; 65_536], |line, _| assert!(line.len() <= MAX_LINE));
        }
        assert!(cutter.begun.capacity() <= 2 * MAX_LINE);
    }
}
