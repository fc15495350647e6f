//! A service thread: host names as addresses, by look-ups on a thread that nothing waits for.
//!
//! The system's look-up blocks, for minutes if a server does not answer, and cannot be cancelled. On a pool of a runtime it
//! would hold up the end of that runtime; a detached thread holds up nothing.

use std::future::Future;
use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::thread;
use std::time::{Duration, Instant};
use std::vec;

use hyper_util::client::legacy::connect::dns::Name;
use tokio::sync::oneshot;
use tower_service::Service;

use crate::context::suppress;

/// So long addresses are used without another look-up.
const FRESH: Duration = Duration::from_secs(30);
/// A look-up that takes longer is not waited for: another one is made.
const HOPELESS: Duration = Duration::from_secs(60);

/// Returns the addresses of a host.
type LookUp = fn(&str) -> io::Result<Vec<SocketAddr>>;
type Addresses = Result<Vec<SocketAddr>, Arc<io::Error>>;

/// The addresses of the hosts of one sink: its destination's, or its proxy's.
#[derive(Clone)]
pub(super) struct Resolver {
    hosts: Arc<Mutex<Vec<KnownHost>>>,
    look_up: LookUp,
}

struct KnownHost {
    name: String,
    /// The last ones that were found, and when.
    known: Option<(Vec<SocketAddr>, Instant)>,
    /// Since when a look-up runs.
    running: Option<Instant>,
    waiting: Vec<oneshot::Sender<Addresses>>,
}

impl Resolver {
    pub(super) fn new() -> Self {
        // The port is that of the URL.
        Resolver::with(|host| (host, 0).to_socket_addrs().map(Iterator::collect))
    }

    fn with(look_up: LookUp) -> Self {
        Resolver { hosts: Arc::default(), look_up }
    }

    fn hosts(&self) -> MutexGuard<'_, Vec<KnownHost>> {
        self.hosts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the addresses, or where they will come. At most one look-up of a host runs; meanwhile its last addresses serve.
    fn resolve(&self, name: &str) -> Result<Vec<SocketAddr>, oneshot::Receiver<Addresses>> {
        let mut hosts = self.hosts();
        let index = hosts.iter().position(|host| host.name == name).unwrap_or_else(|| {
            hosts.push(KnownHost { name: name.to_owned(), known: None, running: None, waiting: Vec::new() });
            hosts.len() - 1
        });
        let host = &mut hosts[index];
        let is_fresh = host.known.as_ref().is_some_and(|(_, found)| found.elapsed() < FRESH);
        let is_running = host.running.is_some_and(|since| since.elapsed() < HOPELESS);
        if !is_fresh && !is_running {
            host.running = self.start(name).then(Instant::now);
        }
        match &host.known {
            Some((addresses, _)) => Ok(addresses.clone()),
            None => {
                let (found, addresses) = oneshot::channel();
                host.waiting.retain(|waiting| !waiting.is_closed());
                match host.running {
                    Some(_) => host.waiting.push(found),
                    None => drop(found.send(Err(Arc::new(io::Error::other("no thread for the look-up"))))),
                }
                Err(addresses)
            }
        }
    }

    /// Starts a look-up; returns whether there is a thread for it.
    fn start(&self, name: &str) -> bool {
        let (resolver, name) = (self.clone(), name.to_owned());
        let run = move || {
            suppress::mark_thread();
            let found = (resolver.look_up)(&name).and_then(|addresses| match addresses.is_empty() {
                true => Err(io::Error::new(io::ErrorKind::NotFound, "it has no address")),
                false => Ok(addresses),
            });
            resolver.end(&name, found.map_err(Arc::new));
        };
        thread::Builder::new().name("logweir-dns".into()).spawn(run).is_ok()
    }

    fn end(&self, name: &str, found: Addresses) {
        let mut hosts = self.hosts();
        let Some(host) = hosts.iter_mut().find(|host| host.name == name) else { return };
        host.running = None;
        match &found {
            Ok(addresses) => host.known = Some((addresses.clone(), Instant::now())),
            // They have served long enough.
            Err(_) => drop(host.known.take_if(|(_, found)| found.elapsed() >= FRESH)),
        }
        let waiting = std::mem::take(&mut host.waiting);
        drop(hosts);
        waiting.into_iter().for_each(|waiting| drop(waiting.send(found.clone())));
    }
}

impl Service<Name> for Resolver {
    type Response = vec::IntoIter<SocketAddr>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<vec::IntoIter<SocketAddr>>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, name: Name) -> Self::Future {
        let resolved = self.resolve(name.as_str());
        let name = name.as_str().to_owned();
        Box::pin(async move {
            let addresses = match resolved {
                Ok(addresses) => Ok(addresses),
                Err(waiting) => waiting.await.unwrap_or_else(|_| Err(Arc::new(io::ErrorKind::Interrupted.into()))),
            };
            let failed =
                |error: Arc<io::Error>| io::Error::new(error.kind(), format!("no address of `{name}`: {error}"));
            addresses.map(Vec::into_iter).map_err(failed)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU32, Ordering};

    fn address() -> SocketAddr {
        ([127, 0, 0, 1], 0).into()
    }

    #[tokio::test]
    async fn a_look_up_that_never_answers_is_the_only_one_and_the_last_addresses_serve() {
        static CALLS: AtomicU32 = AtomicU32::new(0);
        let resolver = Resolver::with(|_| match CALLS.fetch_add(1, Ordering::SeqCst) {
            0 => Ok(vec![address()]),
            _ => loop {
                thread::park();
            },
        });
        let first = resolver.resolve("host").unwrap_err().await.unwrap().unwrap();
        assert_eq!(first, [address()]);
        // As if they were old.
        resolver.hosts()[0].known = Some((vec![address()], Instant::now() - FRESH));
        for _ in 0..3 {
            assert_eq!(resolver.resolve("host").unwrap(), [address()]);
        }
        while CALLS.load(Ordering::SeqCst) < 2 {
            tokio::task::yield_now().await;
        }
        assert_eq!(resolver.resolve("host").unwrap(), [address()]);
        assert_eq!(CALLS.load(Ordering::SeqCst), 2);
    }

    #[tokio::test]
    async fn a_look_up_that_fails_is_made_again() {
        static CALLS: AtomicU32 = AtomicU32::new(0);
        let resolver = Resolver::with(|_| match CALLS.fetch_add(1, Ordering::SeqCst) {
            0 => Err(io::Error::other("scripted")),
            1 => Ok(Vec::new()),
            _ => Ok(vec![address()]),
        });
        let mut errors = Vec::new();
        for _ in 0..2 {
            errors.push(resolver.resolve("host").unwrap_err().await.unwrap().unwrap_err().to_string());
        }
        assert_eq!(errors, ["scripted", "it has no address"]);
        assert!(resolver.resolve("host").unwrap_err().await.unwrap().is_ok());
    }

    #[tokio::test]
    async fn addresses_end_with_a_look_up_that_fails_and_callers_that_have_left_take_no_memory() {
        static CALLS: AtomicU32 = AtomicU32::new(0);
        let resolver = Resolver::with(|_| match CALLS.fetch_add(1, Ordering::SeqCst) {
            0 => Err(io::Error::other("gone")),
            _ => loop {
                thread::park();
            },
        });
        let old = Some((vec![address()], Instant::now() - FRESH));
        let host = KnownHost { name: "host".into(), known: old, running: None, waiting: Vec::new() };
        resolver.hosts().push(host);
        assert_eq!(resolver.resolve("host").unwrap(), [address()], "they serve meanwhile");
        while resolver.hosts()[0].known.is_some() {
            tokio::task::yield_now().await;
        }
        for _ in 0..100 {
            drop(resolver.resolve("host").unwrap_err());
        }
        assert!(resolver.hosts()[0].waiting.len() <= 1);
        // As if it had taken too long.
        resolver.hosts()[0].running = Some(Instant::now() - HOPELESS);
        drop(resolver.resolve("host").unwrap_err());
        while CALLS.load(Ordering::SeqCst) < 3 {
            tokio::task::yield_now().await;
        }
    }
}
