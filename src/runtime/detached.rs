//! Any thread: a runtime whose drop never waits.

use tokio::runtime::Runtime;

/// The runtime of a logger's own thread. Its drop never waits: a sink may have left a blocking task behind, and a
/// `start` that fails drops it on the caller's thread, where tokio panics if waiting could block another runtime.
pub(crate) struct DetachedRuntime(Option<Runtime>);

impl DetachedRuntime {
    pub(crate) fn new(runtime: Runtime) -> Self {
        DetachedRuntime(Some(runtime))
    }

    pub(crate) fn get(&self) -> &Runtime {
        self.0.as_ref().expect("only `drop` takes it")
    }
}

impl Drop for DetachedRuntime {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}
