//! Bytes on a Unix socket: messages come out as a reader of the specification would find them, whatever pieces they came in.

use std::io::Write as _;
use std::os::unix::net::UnixStream;

use procall_transport::unix::UnixLink;
use procall_transport::{Link, LinkError, LinkOptions};

use crate::input::Input;

const MAX: usize = 300;

pub(super) fn run(bytes: &[u8]) {
    let mut input = Input(bytes);
    let choice = input.byte();
    let options = LinkOptions { max_message: MAX, ..LinkOptions::default() };
    let Ok((mut link, other)) = UnixLink::pair_for_child(&options) else { return };
    let mut other = UnixStream::from(other);
    // On its way to shared memory the link reads records too, which may be anything but harmful.
    let shares = choice & 0x80 != 0;
    if shares {
        link.share(choice & 0x40 != 0);
    }
    let step = usize::from(choice & 0x3f).pow(2) + 1;
    let mut found = Vec::new();
    let mut end = None;
    for piece in input.0.chunks(step) {
        if end.is_some() || other.write_all(piece).is_err() {
            break;
        }
        end = receive(&mut link, &mut found);
    }
    drop(other);
    let end = end.or_else(|| receive(&mut link, &mut found)).map(|error| error.to_string());
    assert!(end.is_some(), "a link whose peer has gone says so");
    if !shares {
        let (expected, why) = read(input.0);
        assert_eq!((found, end), (expected, Some(why.to_string())));
    }
}

fn receive(link: &mut UnixLink, found: &mut Vec<Vec<u8>>) -> Option<LinkError> {
    loop {
        match link.receive() {
            Ok(Some(message)) => found.push(message.to_vec()),
            Ok(None) => return None,
            Err(error) => {
                assert!(link.receive().is_err(), "errors are sticky");
                return Some(error);
            }
        }
    }
}

/// The same in ten lines.
fn read(mut bytes: &[u8]) -> (Vec<Vec<u8>>, LinkError) {
    let mut messages = Vec::new();
    while let Some((length, rest)) = bytes.split_first_chunk() {
        let len = u32::from_be_bytes(*length) as usize;
        match rest {
            _ if len == 0 => return (messages, LinkError::Empty),
            _ if len > MAX => return (messages, LinkError::TooLarge { len: len as u64, max: MAX }),
            rest if rest.len() < len => return (messages, LinkError::Truncated),
            rest => messages.push(rest[..len].to_vec()),
        }
        bytes = &rest[len..];
    }
    (messages, if bytes.is_empty() { LinkError::Closed } else { LinkError::Truncated })
}
