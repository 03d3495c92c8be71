//! Where a server is, and whether a secret may go there.

use std::{fmt, net::IpAddr};

use tonic::transport::Uri;

use crate::Error;

/// An address as it was given. One that may have a password in it is never printed.
#[derive(Clone)]
pub(crate) struct Given(String);

impl Given {
    pub(crate) fn new(address: &str) -> Self {
        Self(address.to_owned())
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it names a user, maybe with a password.
    fn names_a_user(&self) -> bool {
        self.0.contains('@')
    }
}

impl fmt::Debug for Given {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.names_a_user() {
            f.write_str("an address with a user")
        } else {
            self.0.fmt(f)
        }
    }
}

/// Where a server is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Address(Uri);

impl Address {
    /// From `HOST:PORT`, `http://HOST:PORT` or `https://HOST:PORT`. Without a scheme it is encrypted if
    /// `encrypted` says so, as settings for TLS do.
    ///
    /// # Errors
    /// [`Error::Setup`] if it is none of these.
    pub(crate) fn parse(given: &Given, encrypted: bool) -> Result<Self, Error> {
        if given.names_a_user() {
            let problem = "has an @, and so a user or a password, which are sent nowhere; give \
                           https://HOST:PORT, and a token with `token`";
            return Err(Error::setup("address", problem));
        }
        let text = given.as_str();
        let wrong = |problem: String| Error::setup("address", format!("{text:?} {problem}"));
        let scheme = if encrypted { "https" } else { "http" };
        let full = if text.contains("://") {
            text.to_owned()
        } else {
            format!("{scheme}://{text}")
        };
        let uri: Uri = full
            .parse()
            .map_err(|error| wrong(format!("is no address ({error}); give https://HOST:PORT")))?;
        match uri.scheme_str() {
            Some("http") if encrypted => Err(wrong(
                "is not encrypted, but there are settings for TLS; give https://HOST:PORT"
                    .to_owned(),
            )),
            Some("http" | "https") if uri.path() == "/" && uri.query().is_none() => Ok(Self(uri)),
            Some("http" | "https") => Err(wrong(
                "has more than a host and a port; give https://HOST:PORT alone".to_owned(),
            )),
            _ => Err(wrong("is neither http:// nor https://".to_owned())),
        }
    }

    pub(crate) fn uri(&self) -> &Uri {
        &self.0
    }

    /// Whether what goes there is encrypted.
    pub(crate) fn is_encrypted(&self) -> bool {
        self.0.scheme_str() == Some("https")
    }

    /// Whether what goes there can be read by nobody on the way: it is encrypted, or stays on this
    /// machine.
    pub(crate) fn is_private(&self) -> bool {
        self.is_encrypted() || self.0.host().is_some_and(is_loopback)
    }
}

fn is_loopback(host: &str) -> bool {
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let address = host.parse::<IpAddr>();
    host.eq_ignore_ascii_case("localhost") || address.is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str, encrypted: bool) -> Result<Address, Error> {
        Address::parse(&Given::new(text), encrypted)
    }

    #[test]
    fn a_password_in_an_address_is_refused_and_never_printed() {
        for text in [
            "ada:secret@pools.example:1",
            "https://ada:secret@h/",
            "secret@",
        ] {
            let error = parse(text, false).unwrap_err().to_string();
            let printed = format!("{error} {:?}", Given::new(text));
            assert!(!printed.contains("secret"), "{printed}");
            assert!(error.contains("`token`"), "{error}");
        }
        let plain = Given::new("127.0.0.1:7070");
        assert_eq!(format!("{plain:?}"), "\"127.0.0.1:7070\"");
    }

    #[test]
    fn an_address_may_leave_out_its_scheme() {
        for (text, encrypted, uri) in [
            ("127.0.0.1:7070", false, "http://127.0.0.1:7070/"),
            ("pools.example:7070", true, "https://pools.example:7070/"),
            ("https://pools.example", false, "https://pools.example/"),
            ("http://[::1]:7070", false, "http://[::1]:7070/"),
        ] {
            let address = parse(text, encrypted).unwrap();
            assert_eq!(address.uri().to_string(), uri);
        }
    }

    #[test]
    fn what_is_no_address_is_refused_with_the_way_to_mend_it() {
        for (text, encrypted, said) in [
            ("", false, "give https://HOST:PORT"),
            ("ftp://pools.example", false, "neither http://"),
            ("http://pools.example/v1", false, "alone"),
            ("http://pools.example", true, "settings for TLS"),
            ("pools example:1", false, "give https://HOST:PORT"),
        ] {
            let error = parse(text, encrypted).unwrap_err().to_string();
            assert!(error.starts_with("`address`"), "{error}");
            assert!(error.contains(said), "{error}");
        }
    }

    #[test]
    fn only_what_is_encrypted_or_stays_here_is_private() {
        for (text, private) in [
            ("https://pools.example", true),
            ("http://127.0.0.1:7070", true),
            ("http://127.8.8.8:7070", true),
            ("http://[::1]:7070", true),
            ("http://LocalHost:7070", true),
            ("http://10.0.0.1:7070", false),
            ("http://pools.example", false),
            ("http://localhost.example", false),
            ("http://127.0.0.1.example", false),
        ] {
            let address = parse(text, false).unwrap();
            assert_eq!(address.is_private(), private, "{text}");
        }
    }
}
