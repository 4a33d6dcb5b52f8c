//! A link written from nothing: length-prefixed frames over TCP, every byte scrambled on its way.
//!
//! Scrambling stands for whatever your own link does to the bytes: encrypt them, compress them, send them over a cable that nobody else
//! has. What a link has to keep to is said in the documentation of [`Link`]; the tests of that contract run on this one too.

use std::fmt;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::os::fd::{AsFd, BorrowedFd};

use super::transport::readiness::Readiness;
use super::transport::{Link, LinkError, LinkInfo, LinkOptions};

/// Bytes of the length in front of each frame.
const PREFIX: usize = 4;
/// Read in one go.
const GULP: usize = 64 << 10;
/// A buffer that is empty and larger than this is given back.
const KEPT: usize = 256 << 10;

/// Frames over TCP, scrambled.
pub struct ScrambledLink {
    // Before the stream, so that it never watches a closed descriptor.
    readiness: Readiness,
    stream: TcpStream,
    /// What has arrived, in clear. The frame handed out last ends at `taken`.
    arrived: Vec<u8>,
    taken: usize,
    /// What is to be sent, scrambled, from `sent` on.
    queued: Vec<u8>,
    sent: usize,
    /// Where the frame begins that was lent and not committed.
    lent: Option<usize>,
    max_queued: usize,
    info: LinkInfo,
    /// What ended sending, and what ended everything.
    mute: Option<LinkError>,
    dead: Option<LinkError>,
}

fn scramble(bytes: &mut [u8]) {
    bytes.iter_mut().for_each(|byte| *byte ^= 0b0101_1010);
}

impl ScrambledLink {
    /// A link over a connected stream.
    pub fn new(stream: TcpStream, options: &LinkOptions) -> io::Result<Self> {
        // A link never waits, and small frames leave at once.
        stream.set_nonblocking(true)?;
        stream.set_nodelay(true)?;
        let address = format!("scrambled:{}", stream.peer_addr()?);
        let max_message = options.max_message.min(u32::MAX as usize);
        Ok(Self {
            readiness: Readiness::new(stream.as_fd())?,
            stream,
            arrived: Vec::new(),
            taken: 0,
            queued: Vec::new(),
            sent: 0,
            lent: None,
            // A queue that is empty always has room for one frame.
            max_queued: options.max_queued.max(1),
            info: LinkInfo::new("scrambled", max_message).with_address(address),
            mute: None,
            dead: None,
        })
    }

    fn check_sending(&self) -> Result<(), LinkError> {
        self.dead.as_ref().or(self.mute.as_ref()).map_or(Ok(()), |error| Err(error.again()))
    }

    /// Where the next frame lies, once it is whole.
    fn next_frame(&self) -> Result<Option<(usize, usize)>, LinkError> {
        let Some((prefix, rest)) = self.arrived[self.taken..].split_first_chunk::<PREFIX>() else {
            return Ok(None);
        };
        let (len, max) = (u32::from_be_bytes(*prefix) as usize, self.info.max_message);
        // Refused before anything is allocated for it.
        if len == 0 {
            return Err(LinkError::Empty);
        }
        if len > max {
            return Err(LinkError::TooLarge { len: len as u64, max });
        }
        let start = self.taken + PREFIX;
        Ok((rest.len() >= len).then_some((start, start + len)))
    }

    /// Reads what there is, a gulp at most: `None` when nothing is there, 0 at the end.
    fn read(&mut self) -> Result<Option<usize>, LinkError> {
        // What was handed out is done with: its owner is asking for the next frame.
        self.arrived.drain(..std::mem::take(&mut self.taken));
        if self.arrived.is_empty() && self.arrived.capacity() > KEPT {
            self.arrived = Vec::new();
        }
        let old = self.arrived.len();
        self.arrived.resize(old + GULP, 0);
        let read = self.stream.read(&mut self.arrived[old..]);
        let len = *read.as_ref().unwrap_or(&0);
        self.arrived.truncate(old + len);
        scramble(&mut self.arrived[old..]);
        match read {
            Ok(len) => Ok(Some(len)),
            Err(error) => match error.kind() {
                ErrorKind::WouldBlock => Ok(None),
                ErrorKind::Interrupted => self.read(),
                // The peer went without reading everything: for what it sent, this is the end.
                ErrorKind::ConnectionReset | ErrorKind::BrokenPipe => Ok(Some(0)),
                _ => Err(LinkError::Io(error)),
            },
        }
    }

    fn die(&mut self, error: LinkError) -> LinkError {
        self.dead = Some(error.again());
        // What lies unread would turn our end of file into a reset, and the peer would lose what it has not read yet.
        let _ = self.stream.shutdown(Shutdown::Write);
        let mut unread = [0; 4096];
        for _ in 0..256 {
            if !matches!(self.stream.read(&mut unread), Ok(1..)) {
                break;
            }
        }
        let _ = self.stream.shutdown(Shutdown::Both);
        error
    }
}

impl Link for ScrambledLink {
    fn buffer(&mut self, len: usize) -> Result<Option<&mut [u8]>, LinkError> {
        self.check_sending()?;
        if len == 0 {
            return Err(LinkError::Empty);
        }
        if len > self.info.max_message {
            return Err(LinkError::TooLarge { len: len as u64, max: self.info.max_message });
        }
        // A frame that was lent before and never committed is forgotten.
        if let Some(start) = self.lent.take() {
            self.queued.truncate(start);
        }
        if self.queued.len() - self.sent >= self.max_queued {
            return Ok(None);
        }
        let start = self.queued.len();
        let prefix = u32::try_from(len).unwrap_or(u32::MAX);
        self.queued.extend_from_slice(&prefix.to_be_bytes());
        self.queued.resize(start + PREFIX + len, 0);
        self.lent = Some(start);
        Ok(Some(&mut self.queued[start + PREFIX..]))
    }

    fn commit(&mut self) {
        if let Some(start) = self.lent.take() {
            scramble(&mut self.queued[start..]);
        }
    }

    fn flush(&mut self) -> Result<bool, LinkError> {
        self.check_sending()?;
        let end = self.lent.unwrap_or(self.queued.len());
        while self.sent < end {
            match self.stream.write(&self.queued[self.sent..end]) {
                Ok(len) => self.sent += len,
                Err(error) => match error.kind() {
                    ErrorKind::WouldBlock => break,
                    ErrorKind::Interrupted => {}
                    kind => {
                        // Sending is over; what the peer sent before it went can still be received.
                        let error = match kind {
                            ErrorKind::BrokenPipe | ErrorKind::ConnectionReset => LinkError::Closed,
                            _ => LinkError::Io(error),
                        };
                        self.mute = Some(error.again());
                        self.readiness.want_room(self.stream.as_fd(), false)?;
                        return Err(error);
                    }
                },
            }
        }
        let done = self.sent == end;
        if done && self.lent.is_none() {
            self.queued.clear();
            self.sent = 0;
            if self.queued.capacity() > KEPT {
                self.queued = Vec::new();
            }
        }
        self.readiness.want_room(self.stream.as_fd(), !done)?;
        Ok(done)
    }

    fn receive(&mut self) -> Result<Option<&[u8]>, LinkError> {
        if let Some(error) = &self.dead {
            return Err(error.again());
        }
        let (start, end) = loop {
            match self.next_frame() {
                Ok(Some(frame)) => break frame,
                Ok(None) => {}
                Err(error) => return Err(self.die(error)),
            }
            match self.read() {
                Ok(None) => return Ok(None),
                Ok(Some(0)) if self.arrived.is_empty() => return Err(self.die(LinkError::Closed)),
                Ok(Some(0)) => return Err(self.die(LinkError::Truncated)),
                Ok(Some(_)) => {}
                Err(error) => return Err(self.die(error)),
            }
        };
        self.taken = end;
        Ok(Some(&self.arrived[start..end]))
    }

    fn info(&self) -> &LinkInfo {
        &self.info
    }

    fn readiness(&self) -> BorrowedFd<'_> {
        self.readiness.as_fd()
    }

    fn close(&mut self) {
        if self.dead.is_none() {
            self.die(LinkError::Closed);
        }
    }
}

/// Sizes only: what people send each other does not belong into logs.
impl fmt::Debug for ScrambledLink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ScrambledLink")
            .field("info", &self.info)
            .field("arrived", &self.arrived.len())
            .field("queued", &self.queued.len())
            .finish_non_exhaustive()
    }
}
