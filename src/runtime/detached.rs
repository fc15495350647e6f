//! Any thread: a runtime whose drop waits for nobody.

use tokio::runtime::Runtime;

/// The runtime of a thread of our own, whose end waits for nobody: a sink may have left a blocking task behind, and
/// a `start` that fails drops it on the caller's thread, where tokio panics if waiting could block another runtime.
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
