//! The caller's thread, once: a sink as OpenTelemetry's variables describe it.
//!
//! Source: "OpenTelemetry Protocol Exporter" and "Environment Variable Specification" of OpenTelemetry 1.

use std::env;
use std::time::Duration;

use hyper::header::HeaderName;
use percent_encoding::percent_decode_str;

use super::{Otlp, SERVICE_NAME};
use crate::http::HttpSink;
use crate::http::connection::without_secrets;
use crate::http::error::HttpOptionError;

const DEFAULT_ENDPOINT: &str = "http://localhost:4318";
const PATH: &str = "v1/logs";

impl Otlp {
    /// Creates a sink as the environment describes it. A variable that is invalid or not supported is an error of
    /// [`start`](crate::Builder::start), which names it; an empty one counts as not set.
    ///
    /// | variable | |
    /// |---|---|
    /// | `OTEL_EXPORTER_OTLP_LOGS_ENDPOINT` | the URL |
    /// | `OTEL_EXPORTER_OTLP_ENDPOINT` | the URL without `/v1/logs`; by default `http://localhost:4318` |
    /// | `…_HEADERS` | `name=value,name=value`; values are percent-decoded |
    /// | `…_TIMEOUT` | of a request, in milliseconds; by default 10,000 |
    /// | `…_COMPRESSION` | `gzip` (the default here) or `none` |
    /// | `…_PROTOCOL` | `http/protobuf` |
    /// | `…_CERTIFICATE`, `…_CLIENT_CERTIFICATE`, `…_CLIENT_KEY` | files in PEM, with the feature `tls` |
    /// | `OTEL_SERVICE_NAME`, `OTEL_RESOURCE_ATTRIBUTES` | attributes of the resource; the first one has precedence |
    ///
    /// `…` is `OTEL_EXPORTER_OTLP_LOGS` or, if that one is not set, `OTEL_EXPORTER_OTLP`.
    pub fn from_env() -> HttpSink<Otlp> {
        from_variables(&|name| match env::var(name) {
            Ok(value) => Ok(Some(value).filter(|value| !value.trim().is_empty())),
            Err(env::VarError::NotPresent) => Ok(None),
            // Without the value, which may be a secret.
            Err(env::VarError::NotUnicode(_)) => {
                Err(HttpOptionError::new(name.to_owned(), "***".into(), "it is not UTF-8"))
            }
        })
    }
}

type Lookup<'a> = &'a dyn Fn(&str) -> Result<Option<String>, HttpOptionError>;

/// A variable of logs, or else the one of all signals: its name and its value.
type OfLogs<'a> = &'a dyn Fn(&str) -> Result<Option<(String, String)>, HttpOptionError>;

fn from_variables(variable: Lookup<'_>) -> HttpSink<Otlp> {
    read(variable).unwrap_or_else(|error| HttpSink::new(DEFAULT_ENDPOINT, Otlp::new()).invalid(error))
}

fn read(variable: Lookup<'_>) -> Result<HttpSink<Otlp>, HttpOptionError> {
    // The variable of logs, or else the one of all signals; and which of them it is.
    let of_logs = |name: &str| -> Result<Option<(String, String)>, HttpOptionError> {
        for name in [format!("OTEL_EXPORTER_OTLP_LOGS_{name}"), format!("OTEL_EXPORTER_OTLP_{name}")] {
            if let Some(value) = variable(&name)? {
                return Ok(Some((name, value.trim().to_owned())));
            }
        }
        Ok(None)
    };
    if let Some((name, protocol)) = of_logs("PROTOCOL")?
        && protocol != "http/protobuf"
    {
        let why = "allowed is `http/protobuf`; in a collector, the receiver `otlp` has it with `protocols: http:`, on port 4318";
        return Err(HttpOptionError::new(name, protocol, why));
    }
    let url = match (variable("OTEL_EXPORTER_OTLP_LOGS_ENDPOINT")?, variable("OTEL_EXPORTER_OTLP_ENDPOINT")?) {
        (Some(url), _) => url.trim().to_owned(),
        (None, Some(base)) if base.contains(['?', '#']) => {
            let why =
                "it has a query, and the path of logs is appended; `OTEL_EXPORTER_OTLP_LOGS_ENDPOINT` is used as it is";
            return Err(HttpOptionError::new("OTEL_EXPORTER_OTLP_ENDPOINT", without_secrets(&base), why));
        }
        (None, base) => format!("{}/{PATH}", base.as_deref().unwrap_or(DEFAULT_ENDPOINT).trim().trim_end_matches('/')),
    };
    let mut otlp = Otlp::new();
    if let Some(pairs) = variable("OTEL_RESOURCE_ATTRIBUTES")? {
        let wrong = |why: &str| HttpOptionError::new("OTEL_RESOURCE_ATTRIBUTES", pairs.clone(), why);
        for pair in parse_pairs(&pairs) {
            let (name, value) = pair.map_err(|why| wrong(&why))?;
            otlp = otlp.resource(name, value);
        }
    }
    if let Some(service) = variable("OTEL_SERVICE_NAME")? {
        otlp = otlp.resource(SERVICE_NAME, service);
    }
    let mut sink = HttpSink::new(url, otlp);
    if let Some((variable, pairs)) = of_logs("HEADERS")? {
        for pair in parse_pairs(&pairs) {
            let wrong = |why: &str| HttpOptionError::new(variable.clone(), "***".into(), why);
            let (name, value) = pair.map_err(|why| wrong(&why))?;
            // A name that is none may have the value in it: `authorization: Bearer ...`.
            if HeaderName::try_from(&*name).is_err() {
                return Err(wrong("a part of it has no name of a header before its `=`"));
            }
            sink = sink.header(name, value);
        }
    }
    sink = with_certificates(sink, &of_logs)?;
    if let Some((name, value)) = of_logs("TIMEOUT")? {
        let millis = value.parse::<u64>().ok().filter(|millis| *millis > 0);
        let millis = millis.ok_or_else(|| HttpOptionError::new(name, value, "allowed are milliseconds, from 1"))?;
        sink = sink.timeout(Duration::from_millis(millis));
    }
    match of_logs("COMPRESSION")? {
        None => Ok(sink),
        Some((_, value)) if value == "gzip" => Ok(sink),
        Some((_, value)) if value == "none" => Ok(sink.gzip(false)),
        Some((name, value)) => Err(HttpOptionError::new(name, value, "allowed are `gzip` and `none`")),
    }
}

/// Sets the certificates that the variables name.
#[cfg(feature = "tls")]
fn with_certificates(mut sink: HttpSink<Otlp>, of_logs: OfLogs<'_>) -> Result<HttpSink<Otlp>, HttpOptionError> {
    if let Some((_, path)) = of_logs("CERTIFICATE")? {
        sink = sink.ca_file(path);
    }
    match (of_logs("CLIENT_CERTIFICATE")?, of_logs("CLIENT_KEY")?) {
        (None, None) => Ok(sink),
        (Some((_, certificate)), Some((_, key))) => Ok(sink.client_certificate(certificate, key)),
        (Some((name, value)), None) => Err(HttpOptionError::new(name, value, "`CLIENT_KEY` is not set")),
        (None, Some((name, value))) => Err(HttpOptionError::new(name, value, "`CLIENT_CERTIFICATE` is not set")),
    }
}

#[cfg(not(feature = "tls"))]
fn with_certificates(sink: HttpSink<Otlp>, of_logs: OfLogs<'_>) -> Result<HttpSink<Otlp>, HttpOptionError> {
    for name in ["CERTIFICATE", "CLIENT_CERTIFICATE", "CLIENT_KEY"] {
        if let Some((name, value)) = of_logs(name)? {
            return Err(HttpOptionError::new(name, value, "`https` needs the feature `tls`"));
        }
    }
    Ok(sink)
}

/// Reads `name=value` pairs with commas between them; names and values are percent-decoded.
fn parse_pairs(text: &str) -> impl Iterator<Item = Result<(String, String), String>> + '_ {
    let decoded = |text: &str| percent_decode_str(text.trim()).decode_utf8().ok().map(std::borrow::Cow::into_owned);
    let pairs = text.split(',').enumerate().filter(|(_, pair)| !pair.trim().is_empty());
    pairs.map(move |(index, pair)| {
        // Without its text, which may be a secret.
        let wrong = || format!("part {} is not `name=value` in UTF-8, percent-encoded", index + 1);
        let (name, value) = pair.split_once('=').ok_or_else(wrong)?;
        decoded(name).filter(|name| !name.is_empty()).zip(decoded(value)).ok_or_else(wrong)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sink(variables: &[(&str, &str)]) -> HttpSink<Otlp> {
        from_variables(&|name| {
            Ok(variables.iter().find(|(other, _)| *other == name).map(|(_, value)| (*value).to_owned()))
        })
    }

    #[test]
    fn the_path_is_appended_to_the_general_endpoint_only() {
        for (variables, url) in [
            (&[][..], "http://localhost:4318/v1/logs"),
            (&[("OTEL_EXPORTER_OTLP_ENDPOINT", "http://c:1")], "http://c:1/v1/logs"),
            (&[("OTEL_EXPORTER_OTLP_ENDPOINT", "http://c:1/base/")], "http://c:1/base/v1/logs"),
            (
                &[("OTEL_EXPORTER_OTLP_LOGS_ENDPOINT", "http://c:2/x"), ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://c:1")],
                "http://c:2/x",
            ),
        ] {
            assert_eq!(sink(variables).url(), url);
        }
    }

    #[test]
    fn what_is_wrong_is_named_and_no_secret_is_shown() {
        for (name, value, expected) in [
            (
                "OTEL_EXPORTER_OTLP_PROTOCOL",
                "grpc",
                "`OTEL_EXPORTER_OTLP_PROTOCOL` is `grpc`: allowed is `http/protobuf`",
            ),
            ("OTEL_EXPORTER_OTLP_LOGS_TIMEOUT", "10s", "allowed are milliseconds"),
            ("OTEL_EXPORTER_OTLP_COMPRESSION", "zstd", "allowed are `gzip` and `none`"),
            ("OTEL_EXPORTER_OTLP_HEADERS", "key=hunter2,hunter3", "part 2 is not `name=value`"),
            ("OTEL_RESOURCE_ATTRIBUTES", "a", "part 1"),
            ("OTEL_EXPORTER_OTLP_HEADERS", "authorization: Basic hunter2==", "no name of a header"),
            ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://h/?key=hunter2", "it has a query"),
            #[cfg(not(feature = "tls"))]
            ("OTEL_EXPORTER_OTLP_CERTIFICATE", "/ca.pem", "`https` needs the feature `tls`"),
            #[cfg(feature = "tls")]
            ("OTEL_EXPORTER_OTLP_CLIENT_KEY", "/key.pem", "`CLIENT_CERTIFICATE` is not set"),
            ("OTEL_EXPORTER_OTLP_ENDPOINT", "ftp://h", "allowed are `http` and `https`"),
            ("OTEL_EXPORTER_OTLP_HEADERS", "content-length=3", "set by the client"),
            ("OTEL_EXPORTER_OTLP_HEADERS", "a=hunter2%0a", "no header can have"),
        ] {
            let error = crate::sink::RequestSink::open(&sink(&[(name, value)])).unwrap_err().into_source().to_string();
            assert!(error.contains(expected) && !error.contains("hunter"), "{error}");
        }
    }

    #[test]
    fn values_are_percent_decoded() {
        let pairs: Vec<_> = parse_pairs("a=b%20c, d = e=f ,,g=").map(Result::unwrap).collect();
        let expected = [("a", "b c"), ("d", "e=f"), ("g", "")].map(|(name, value)| (name.into(), value.into()));
        assert_eq!(pairs, expected);
        assert!(parse_pairs("=b").next().unwrap().is_err() && parse_pairs("a=%ff").next().unwrap().is_err());
    }
}
