//! Where a collector is.

use std::fmt;
use std::str::FromStr;

use procall::Error;

/// The path of traces at a collector.
const PATH: &str = "/v1/traces";
/// The port of OTLP over HTTP.
const PORT: u16 = 4318;

/// Where spans are sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Endpoint {
    /// Host and port, as a request names them.
    pub(super) host: String,
    /// For the connection.
    pub(super) target: (String, u16),
    pub(super) path: String,
}

impl FromStr for Endpoint {
    type Err = Error;

    /// `http://HOST[:PORT][/PATH]`; the port is 4318 and the path `/v1/traces` where they are not said.
    fn from_str(text: &str) -> Result<Self, Error> {
        let wrong = |why: &str| {
            Error::invalid(format!(
                "\"{}\" is no endpoint for spans: {why}; such as http://127.0.0.1:4318",
                text.escape_debug()
            ))
        };
        let rest = text.strip_prefix("http://").ok_or_else(|| {
            wrong("it begins with http://, and a collector near by sends them on encrypted")
        })?;
        let uri: axum::http::Uri = text.parse().map_err(|_| wrong("it is no URL"))?;
        let name = uri.host().filter(|host| !host.is_empty());
        let name = name.filter(|_| !rest.contains('@')).ok_or_else(|| wrong("it has no host"))?;
        let port = uri.port_u16().unwrap_or(PORT);
        let path = match uri.path().trim_end_matches('/') {
            "" => PATH.to_owned(),
            path if path.ends_with(PATH) => path.to_owned(),
            path => format!("{path}{PATH}"),
        };
        let plain = name.trim_start_matches('[').trim_end_matches(']').to_owned();
        Ok(Self { host: format!("{name}:{port}"), target: (plain, port), path })
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "http://{}{}", self.host, self.path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_said_is_as_usual() {
        for (text, full) in [
            ("http://127.0.0.1:4318", "http://127.0.0.1:4318/v1/traces"),
            ("http://collector", "http://collector:4318/v1/traces"),
            ("http://[::1]:9/", "http://[::1]:9/v1/traces"),
            ("http://c:1/v1/traces", "http://c:1/v1/traces"),
            ("http://c:1/tenant", "http://c:1/tenant/v1/traces"),
        ] {
            assert_eq!(text.parse::<Endpoint>().unwrap().to_string(), full);
        }
        assert_eq!("http://[::1]:9".parse::<Endpoint>().unwrap().target, ("::1".to_owned(), 9));
        for text in ["https://c:1", "c:4318", "http://", "http://a b", "http://user@c", ""] {
            let error = text.parse::<Endpoint>().unwrap_err();
            assert!(error.message().contains("http://127.0.0.1:4318"), "{error}");
        }
    }
}
