//! Whose process is at the other end of a TCP connection on this machine: the kernel's list of sockets says who made each.
//!
//! A peer over the loopback has no credentials as one over a Unix socket has, but its own socket stands in `/proc/net/tcp` or `tcp6`, with the
//! user that made it. Whatever is not clear counts as somebody else's: a list that cannot be read or is too long, a socket that is not in it, is
//! in it twice, is not connected any more, or belongs to nobody, which the kernel shows as user 0.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// The lists. A socket of IPv6 may carry IPv4, so both are looked through.
const LISTS: [&str; 2] = ["/proc/thread-self/net/tcp", "/proc/thread-self/net/tcp6"];
/// Bytes of a list that are read: some 100,000 sockets.
const MAX_LIST: u64 = 16 << 20;
/// The state of a socket that is connected.
const ESTABLISHED: &str = "01";

/// The user who made the socket at `theirs` that is connected to `ours`, both on this machine. It waits for the kernel to write its lists,
/// which takes a millisecond for some thousand sockets.
pub(crate) fn of(theirs: SocketAddr, ours: SocketAddr) -> Option<u32> {
    if !plain(theirs).ip().is_loopback() {
        return None;
    }
    let mut found = None;
    for list in LISTS {
        let file = match File::open(list) {
            Ok(file) => file,
            // A kernel without IPv6 has no such list.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
            Err(_) => return None,
        };
        // One byte more than is read is too long a list: who stands further down is not known.
        let mut list = BufReader::new(file.take(MAX_LIST));
        let owner = owner(&mut list, theirs, ours).ok()?;
        if list.into_inner().limit() == 0 {
            return None;
        }
        match (found, owner) {
            (Some(_), Owner::User(_)) | (_, Owner::Unclear) => return None,
            (None, Owner::User(user)) => found = Some(user),
            (_, Owner::Nobody) => {}
        }
    }
    found
}

#[derive(Debug, PartialEq, Eq)]
enum Owner {
    /// The list has no such socket.
    Nobody,
    User(u32),
    /// It has several, or one of which it cannot be told.
    Unclear,
}

/// The owner of the socket at `theirs` that is connected to `ours`, by a list of the kernel's.
fn owner(list: impl BufRead, theirs: SocketAddr, ours: SocketAddr) -> std::io::Result<Owner> {
    let (theirs, ours) = (plain(theirs), plain(ours));
    let mut found = Owner::Nobody;
    for line in list.lines() {
        let Some(socket) = Socket::read(&line?) else { continue };
        if socket.local != theirs || socket.remote != ours {
            continue;
        }
        found = match (found, socket.user) {
            (Owner::Nobody, Some(user)) => Owner::User(user),
            _ => Owner::Unclear,
        };
    }
    Ok(found)
}

/// One line of a list.
#[derive(Debug, PartialEq, Eq)]
struct Socket {
    local: SocketAddr,
    remote: SocketAddr,
    /// `None` when it is not connected, or when no process has it any more.
    user: Option<u32>,
}

impl Socket {
    /// `sl local remote state queues timer retransmits uid timeout inode …`; `None` for the heading, and for what is no such line.
    fn read(line: &str) -> Option<Self> {
        let mut words = line.split_ascii_whitespace();
        let _number = words.next()?.strip_suffix(':')?;
        let (local, remote) = (address(words.next()?)?, address(words.next()?)?);
        let state = words.next()?;
        let user: u32 = words.nth(3)?.parse().ok()?;
        let inode: u64 = words.nth(1)?.parse().ok()?;
        let alive = state == ESTABLISHED && inode != 0;
        Some(Self { local, remote, user: alive.then_some(user) })
    }
}

/// `0100007F:1F90`: words of four bytes as they lie in memory, and the port as a number.
fn address(text: &str) -> Option<SocketAddr> {
    let (ip, port) = text.split_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    let word = |at: usize| -> Option<[u8; 4]> {
        u32::from_str_radix(ip.get(at..at + 8)?, 16).ok().map(u32::to_ne_bytes)
    };
    let ip = match ip.len() {
        8 => IpAddr::V4(Ipv4Addr::from(word(0)?)),
        32 => {
            let mut bytes = [0; 16];
            for (part, at) in bytes.chunks_exact_mut(4).zip([0, 8, 16, 24]) {
                part.copy_from_slice(&word(at)?);
            }
            IpAddr::V6(Ipv6Addr::from(bytes))
        }
        _ => return None,
    };
    Some(plain(SocketAddr::new(ip, port)))
}

/// An address of IPv4 that is carried by IPv6 as what it is; scopes and flow labels say nothing on the loopback.
fn plain(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

#[cfg(all(test, target_endian = "little"))]
mod tests {
    use std::net::{TcpListener, TcpStream};

    use super::*;

    const HEADING: &str = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode";

    fn line(local: &str, remote: &str, state: &str, uid: u32, inode: u64) -> String {
        format!(
            "{HEADING}\n   4: {local} {remote} {state} 00000000:00000000 00:00000000 00000000  {uid}        0 {inode} 1 0000000000000000 20 4 30 10 -1\n"
        )
    }

    fn found(list: &str, theirs: &str, ours: &str) -> Owner {
        owner(list.as_bytes(), theirs.parse().unwrap(), ours.parse().unwrap()).unwrap()
    }

    #[test]
    fn the_line_of_the_other_end_tells_its_user() {
        let v4 = line("0100007F:C350", "0100007F:1F90", "01", 1000, 77);
        let (theirs, ours) = ("127.0.0.1:50000", "127.0.0.1:8080");
        assert_eq!(found(&v4, theirs, ours), Owner::User(1000));
        assert_eq!(found(&v4, ours, theirs), Owner::Nobody, "that is our own end");
        assert_eq!(found(&v4, "127.0.0.1:50001", ours), Owner::Nobody);
        assert_eq!(found(&v4, "127.0.0.2:50000", ours), Owner::Nobody);
        let one = "00000000000000000000000001000000";
        let v6 = line(&format!("{one}:C350"), &format!("{one}:1F90"), "01", 1001, 77);
        assert_eq!(found(&v6, "[::1]:50000", "[::1]:8080"), Owner::User(1001));
        let mapped = "0000000000000000FFFF00000100007F";
        let carried = line(&format!("{mapped}:C350"), &format!("{mapped}:1F90"), "01", 1002, 77);
        assert_eq!(found(&carried, theirs, ours), Owner::User(1002));
    }

    #[test]
    fn what_is_not_clear_is_nobodys() {
        let (theirs, ours) = ("127.0.0.1:50000", "127.0.0.1:8080");
        let of = |state, uid, inode| line("0100007F:C350", "0100007F:1F90", state, uid, inode);
        for (what, list) in [
            ("waits for its time to pass", of("06", 0, 0)),
            ("is closed by its process", of("05", 0, 0)),
            ("has no process any more", of("01", 0, 0)),
            ("begins only", of("02", 1000, 77)),
            ("is there twice", of("01", 1000, 77) + &of("01", 1000, 78)),
        ] {
            assert_eq!(found(&list, theirs, ours), Owner::Unclear, "one that {what}");
        }
        for broken in [
            "",
            HEADING,
            "   4: 0100007F:C350 0100007F:1F90 01",
            "   4: 0100007F:C350 0100007F:1F90 01 0:0 0:0 0 1000x 0 77",
            "   4: 0100007:C350 0100007F:1F90 01 0:0 0:0 0 1000 0 77",
            "   4: 0100007F:C350 é100007F:1F90 01 0:0 0:0 0 1000 0 77",
            "   4: 0100007F:1C350 0100007F:1F90 01 0:0 0:0 0 1000 0 77",
        ] {
            assert_eq!(found(broken, theirs, ours), Owner::Nobody, "{broken}");
        }
    }

    #[test]
    fn a_connection_of_this_process_is_this_users_until_it_ends() {
        let user = rustix::process::geteuid().as_raw();
        for bind in ["127.0.0.1:0", "[::1]:0"] {
            // A machine without IPv6 has nothing to find there.
            let Ok(listener) = TcpListener::bind(bind) else { continue };
            let ours = listener.local_addr().unwrap();
            let client = TcpStream::connect(ours).unwrap();
            let (_server, theirs) = listener.accept().unwrap();
            assert_eq!(of(theirs, ours), Some(user), "{bind}");
            assert_eq!(of(SocketAddr::new(theirs.ip(), theirs.port() ^ 1), ours), None);
            drop(client);
            assert_eq!(of(theirs, ours), None, "nobody has it any more");
        }
        let far = "192.0.2.1:50000".parse().unwrap();
        assert_eq!(of(far, "127.0.0.1:8080".parse().unwrap()), None);
    }
}
