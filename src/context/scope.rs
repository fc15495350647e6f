//! The caller's thread: fields of everything that a task logs while it is in a scope.
//!
//! Invariants:
//! * A thread leaves its scopes in the opposite order of entering: every entry is a guard that lives within one poll,
//!   one call or one drop.
//! * The flag [`SCOPED`] is set exactly while the innermost entry has fields.

use std::cell::RefCell;
use std::collections::HashMap;
use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};

use crate::context::thread_flags::{self, SCOPED};
use crate::event::{FieldSet, SharedFields, Value};

/// With this many cached contexts a scope removes those of dropped handles, then with twice as many as remained.
const SWEEP_AT: usize = 8;

thread_local! {
    static ENTERED: RefCell<Vec<Scope>> = const { RefCell::new(Vec::new()) };
}

/// Runs a future in which every event carries these fields, for every logger.
///
/// The scope follows the future: across its awaits, and to any thread it is polled on. While other tasks run in
/// between, the thread is not in it. Events that the future's destructor logs, when it is cancelled, are in the scope
/// too.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use logweir::{Logger, CorrelationId, fields, info, scope};
/// # let memory = logweir::sink::MemorySink::new();
/// # let logger = Logger::builder().sink("memory", memory.clone()).start()?;
///
/// async fn charge(logger: &Logger) {
///     info!(logger: logger, "charged {amount}", amount = 12); // carries `request_id`, knows nothing of it
/// }
///
/// scope(fields![request_id = CorrelationId::new(), route = "/pay"], async {
///     charge(&logger).await;
/// })
/// .await;
/// # logger.shutdown(std::time::Duration::from_secs(5)).await;
/// # assert!(memory.events()[0].field("request_id").is_some());
/// # Ok(())
/// # }
/// ```
///
/// # Which field wins
/// The nearest of one name: the event's own, then that of the handle it was logged with
/// ([`Logger::with`](crate::Logger::with): the caller chose that handle for this call), then the innermost scope's,
/// then the outer ones', then the logger's enrichment.
///
/// # Nesting and tasks
/// A scope is within the scope that is current at this call, not at the first poll. `tokio::spawn` starts a task
/// outside every scope, as it starts it outside every borrow. To keep a task in a scope, wrap it:
/// `tokio::spawn(scope(fields![job = 7], work()))` is within the spawner's scope, and
/// `tokio::spawn(current_scope().run(work()))` in that very one.
///
/// # Cost
/// The fields are encoded once, here. The first event of each logger (and of each handle with fields of its own) makes
/// the context, which is charged to that logger's memory like that of `Logger::with`. If there is no room, its events
/// are refused (`memory`) until there is. Every other event takes a reference count. Outside scopes a call pays
/// nothing.
///
/// # Cancel safety
/// That of the future.
pub fn scope<F: Future>(fields: FieldSet, future: F) -> impl Future<Output = F::Output> {
    Scope::new(fields).run(future)
}

/// Like [`scope`](scope()), in code that does not await: events that this thread logs within `f` carry the fields.
///
/// ```
/// use logweir::{fields, in_scope, info};
///
/// let sum = in_scope(fields![job = "nightly"], || {
///     info!("begins");
///     40 + 2
/// });
/// # assert_eq!(sum, 42);
/// ```
pub fn in_scope<T>(fields: FieldSet, f: impl FnOnce() -> T) -> T {
    Scope::new(fields).in_scope(f)
}

/// Returns the scope this thread is in now, to carry it to a task or a thread that does not inherit it; an empty one if
/// there is none.
///
/// ```
/// use logweir::{current_scope, fields, in_scope, info};
///
/// in_scope(fields![job = "nightly"], || {
///     let here = current_scope();
///     std::thread::spawn(move || here.in_scope(|| info!("in the same scope"))).join()
/// })
/// # .unwrap();
/// ```
pub fn current_scope() -> Scope {
    // The thread may be ending, and its stack of scopes may be dropped.
    let current = ENTERED.try_with(|entered| entered.borrow().last().cloned());
    current.ok().flatten().unwrap_or(Scope(None))
}

/// A scope that can be entered many times and passed to other tasks; [`scope`](scope()) makes one for a single future.
/// Clones are the same scope.
#[derive(Clone)]
#[must_use = "nothing is in a scope until it runs in it"]
pub struct Scope(Option<Arc<ScopeData>>);

struct ScopeData {
    /// The fields of the scope and, for names it does not have itself, of the ones around it.
    fields: SharedFields,
    /// The context of the first logger's events; most often it is the only one.
    first: OnceLock<CachedContext>,
    // A std lock: held to look one up, and to make one more.
    others: Mutex<CachedContexts>,
}

/// The contexts of events in a scope, but the first one, by queue and by the address of the handle's context.
#[derive(Default)]
struct CachedContexts {
    by_handle: HashMap<(ScopeId, usize), CachedContext>,
    /// See [`SWEEP_AT`].
    sweep_at: usize,
}

/// The context of events in a scope, for the handles of one logger that have the same fields of their own.
struct CachedContext {
    queue: ScopeId,
    /// The handle's context. Weak, so that the scope does not keep it; its address stays taken nevertheless.
    base: Option<Weak<SharedFields>>,
    context: Arc<SharedFields>,
}

/// The logger that a context is charged to: unique in the process.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct ScopeId(u64);

impl ScopeId {
    pub(crate) fn next() -> Self {
        use std::sync::atomic::{AtomicU64, Ordering};
        static NEXT: AtomicU64 = AtomicU64::new(0);
        ScopeId(NEXT.fetch_add(1, Ordering::Relaxed))
    }
}

impl Scope {
    /// Creates a scope with these fields, within the one that is current here.
    pub fn new(fields: FieldSet) -> Self {
        let outer = current_scope();
        let fields = SharedFields::with_fields_over(&fields, outer.0.as_deref().map(|outer| &outer.fields));
        Scope(Some(Arc::new(ScopeData { fields, first: OnceLock::new(), others: Mutex::default() })))
    }

    /// Runs a future in this scope instead of the one it would be in.
    ///
    /// # Cancel safety
    /// That of the future.
    pub fn run<F: Future>(self, future: F) -> impl Future<Output = F::Output> {
        // If it is never polled, these are dropped in this order: the scope is entered, the future dropped, the scope left.
        let parts = (EnterWhenDropped(self), future, LeaveWhenDropped);
        async move {
            let (first, future, last) = parts;
            // Dropped in the opposite order.
            let _last = last;
            let mut future = pin!(future);
            let first = first;
            poll_fn(|cx| {
                let _entry = EnteredScope::new(&first.0);
                future.as_mut().poll(cx)
            })
            .await
        }
    }

    /// Calls `f` in this scope.
    pub fn in_scope<T>(&self, f: impl FnOnce() -> T) -> T {
        let _entry = EnteredScope::new(self);
        f()
    }

    /// Returns the value of the field of this name, of this scope or of one around it: for the header of a request to
    /// the next service, for example. The value is not redacted.
    pub fn field(&self, name: &str) -> Option<Value<'_>> {
        self.0.as_ref()?.fields.field(name)
    }
}

impl fmt::Debug for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Scope").field(&self.0.as_ref().map(|node| &node.fields)).finish()
    }
}

impl ScopeData {
    /// Returns the context that most events have: takes no lock, and runs no user code.
    fn first(&self, queue: ScopeId, base: Option<&Arc<SharedFields>>) -> Option<Arc<SharedFields>> {
        let first = self.first.get().filter(|first| first.matches(queue, base))?;
        Some(first.context.clone())
    }

    fn other(
        &self,
        queue: ScopeId,
        base: Option<&Arc<SharedFields>>,
        make: impl FnOnce(SharedFields) -> Arc<SharedFields>,
    ) -> Arc<SharedFields> {
        let mut others = self.others.lock().unwrap_or_else(PoisonError::into_inner);
        let handle = (queue, base.map_or(0, |base| Arc::as_ptr(base).addr()));
        // Another thread may have made it while this one waited.
        let made = || others.by_handle.get(&handle).map(|known| known.context.clone());
        if let Some(context) = self.first(queue, base).or_else(made) {
            return context;
        }
        let forgotten = others.sweep();
        let context = make(base.map_or_else(|| self.fields.share_uncharged(), |base| base.within(&self.fields)));
        // An uncharged one is not kept but made again: there may be room next time.
        if context.is_charged() {
            let dressed = CachedContext { queue, base: base.map(Arc::downgrade), context: context.clone() };
            if let Err(dressed) = self.first.set(dressed) {
                others.by_handle.insert(handle, dressed);
            }
        }
        drop(others);
        // After the lock: released bytes wake the callers that wait for them.
        drop(forgotten);
        context
    }
}

impl CachedContexts {
    /// Removes the contexts of dropped handles, if there are enough contexts to look at.
    fn sweep(&mut self) -> Vec<CachedContext> {
        if self.by_handle.len() < self.sweep_at.max(SWEEP_AT) {
            return Vec::new();
        }
        let is_gone = |known: &CachedContext| known.base.as_ref().is_some_and(|base| base.strong_count() == 0);
        let forgotten = self.by_handle.extract_if(|_, known| is_gone(known)).map(|(_, known)| known).collect();
        self.sweep_at = self.by_handle.len() * 2;
        forgotten
    }
}

impl CachedContext {
    fn matches(&self, queue: ScopeId, base: Option<&Arc<SharedFields>>) -> bool {
        self.queue == queue && self.base.as_ref().map(Weak::as_ptr) == base.map(Arc::as_ptr)
    }
}

/// Returns the context of an event that is logged here now; none outside every scope. `base` is the context it would
/// have outside, and `make` masks and charges.
pub(crate) fn context_here(
    queue: ScopeId,
    base: Option<&Arc<SharedFields>>,
    make: impl FnOnce(SharedFields) -> Arc<SharedFields>,
) -> Option<Arc<SharedFields>> {
    if !thread_flags::is(SCOPED) {
        return None;
    }
    let found = ENTERED.try_with(|entered| {
        let entered = entered.borrow();
        let node = entered.last()?.0.as_ref()?;
        Some(node.first(queue, base).ok_or_else(|| node.clone()))
    });
    match found.ok().flatten()? {
        Ok(context) => Some(context),
        // Nothing is borrowed here.
        Err(node) => Some(node.other(queue, base, make)),
    }
}

/// Keeps the thread in the scope until it is dropped.
struct EnteredScope;

impl EnteredScope {
    fn new(scope: &Scope) -> Self {
        enter(scope);
        EnteredScope
    }
}

impl Drop for EnteredScope {
    fn drop(&mut self) {
        leave();
    }
}

/// With [`LeaveWhenDropped`] around a future: its destructor runs in the scope.
struct EnterWhenDropped(Scope);

impl Drop for EnterWhenDropped {
    fn drop(&mut self) {
        enter(&self.0);
    }
}

struct LeaveWhenDropped;

impl Drop for LeaveWhenDropped {
    fn drop(&mut self) {
        leave();
    }
}

fn enter(scope: &Scope) {
    let entered = ENTERED.try_with(|entered| entered.borrow_mut().push(scope.clone()));
    // On a thread whose stack of scopes is dropped, nothing is entered, and nothing will be left.
    if entered.is_ok() {
        thread_flags::set(SCOPED, scope.0.is_some());
    }
}

fn leave() {
    let left = ENTERED.try_with(|entered| {
        let mut entered = entered.borrow_mut();
        let left = entered.pop();
        (left, entered.last().is_some_and(|scope| scope.0.is_some()))
    });
    if let Ok((_, is_in_another)) = &left {
        thread_flags::set(SCOPED, *is_in_another);
    }
    // The scope itself is dropped here, with nothing borrowed.
    drop(left);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::queue::Account;

    fn fields(number: usize) -> Arc<SharedFields> {
        Arc::new(SharedFields::with_fields_over(&FieldSet::new().with("handle", number), None))
    }

    #[test]
    fn each_handle_in_a_scope_has_its_context_made_once_however_many_there_are() {
        let account = Arc::new(Account::new(1 << 20));
        let handles: Vec<_> = (0..50).map(fields).collect();
        let mut made = 0;
        let mut context = |base| {
            context_here(ScopeId(1), Some(base), |mut context| {
                made += 1;
                context.set_charge(Box::new(account.charge_context(100)));
                Arc::new(context)
            })
        };
        in_scope(FieldSet::new().with("request", 7), || {
            for _ in 0..3 {
                handles.iter().for_each(|handle| assert!(context(handle).is_some()));
            }
        });
        assert_eq!(made, 50);
    }

    #[test]
    fn a_scope_forgets_the_contexts_of_handles_that_are_gone() {
        let account = Arc::new(Account::new(1 << 20));
        in_scope(FieldSet::new().with("request", 7), || {
            for number in 0..1000 {
                let made = context_here(ScopeId(1), Some(&fields(number)), |mut context| {
                    context.set_charge(Box::new(account.charge_context(100)));
                    Arc::new(context)
                });
                assert!(made.is_some());
            }
            assert!(account.used() <= 100 * (SWEEP_AT + 2), "{}", account.used());
        });
        assert_eq!(account.used(), 0);
    }
}
