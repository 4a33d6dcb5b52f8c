//! What a program of a cell is asked to do.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// What kind of work a cell does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum Workload {
    /// `add(a, b)`: one after the other, then 64 at a time.
    #[default]
    Small,
    /// So many bytes are handed to a handler that touches each page of them and answers with a number.
    Bytes(usize),
    /// A stream of small numbers.
    Stream,
    /// `add` beside so many other methods.
    Methods(usize),
    /// `add` beside so many other connections that are idle.
    Connections(usize),
    /// `add` through an engine where so many workers are registered.
    Workers(usize),
}

impl Workload {
    /// The bytes that a call carries; 0 where it carries none.
    pub const fn bytes(self) -> usize {
        if let Self::Bytes(bytes) = self { bytes } else { 0 }
    }
}

impl fmt::Display for Workload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Small => f.write_str("small"),
            Self::Stream => f.write_str("stream"),
            Self::Bytes(count) => write!(f, "bytes-{count}"),
            Self::Methods(count) => write!(f, "methods-{count}"),
            Self::Connections(count) => write!(f, "connections-{count}"),
            Self::Workers(count) => write!(f, "workers-{count}"),
        }
    }
}

impl FromStr for Workload {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (kind, count) = text.split_once('-').unwrap_or((text, "0"));
        let count = count.parse().map_err(|_| format!("{text} does not end in a number"))?;
        Ok(match kind {
            "small" => Self::Small,
            "stream" => Self::Stream,
            "bytes" => Self::Bytes(count),
            "methods" => Self::Methods(count),
            "connections" => Self::Connections(count),
            "workers" => Self::Workers(count),
            _ => return Err(format!("there is no workload {text}")),
        })
    }
}

/// The arguments of a program of a cell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Task {
    /// `serve-` or `call-`, and after it what.
    pub role: String,
    /// Where to listen or call: the path of a Unix socket, or of a file that tells something else.
    pub path: String,
    /// How long to measure; zero for a server.
    pub window: Duration,
    /// What to do.
    pub workload: Workload,
}

impl Task {
    /// From `ROLE PATH [WINDOW_MS] [WORKLOAD]`.
    ///
    /// # Errors
    ///
    /// Says which argument is missing or wrong.
    pub fn parse(args: impl IntoIterator<Item = String>) -> Result<Self, String> {
        let mut args = args.into_iter();
        let role = args.next().ok_or("a role is needed, as in serve-floor")?;
        let path = args.next().ok_or("a path is needed")?;
        let window = args.next().map_or(Ok(0), |text| {
            text.parse().map_err(|_| format!("{text} is not a number of milliseconds"))
        })?;
        let workload = args.next().map_or(Ok(Workload::Small), |text| text.parse())?;
        Ok(Self { role, path, window: Duration::from_millis(window), workload })
    }

    /// From the arguments of this process.
    ///
    /// # Errors
    ///
    /// As [`Task::parse`].
    pub fn from_args() -> Result<Self, String> {
        Self::parse(std::env::args().skip(1))
    }

    /// The address of a service of ours at the path.
    pub fn address(&self) -> String {
        format!("unix:{}", self.path)
    }

    /// Whether this program serves.
    pub fn serves(&self) -> bool {
        self.role.starts_with("serve-")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_workload_reads_as_it_is_written() {
        for workload in [
            Workload::Small,
            Workload::Stream,
            Workload::Bytes(1 << 20),
            Workload::Methods(10),
            Workload::Connections(1_000),
            Workload::Workers(100),
        ] {
            assert_eq!(workload.to_string().parse(), Ok(workload));
        }
        assert!("bytes-many".parse::<Workload>().is_err());
        assert!("large".parse::<Workload>().is_err());
    }

    #[test]
    fn a_task_has_a_role_and_a_path_at_least() {
        let parse = |text: &str| Task::parse(text.split_whitespace().map(str::to_owned));
        let task = parse("call-x /s 400 bytes-64").unwrap();
        assert_eq!((task.window, task.workload), (Duration::from_millis(400), Workload::Bytes(64)));
        assert_eq!(task.address(), "unix:/s");
        assert!(!task.serves() && parse("serve-x /s").unwrap().serves());
        assert!(parse("serve-x").is_err());
        assert!(parse("call-x /s soon").is_err());
    }
}
