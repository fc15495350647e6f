//! cargo run --example exits -- return
//!
//! Logs 500 lines to standard output and to a file, and ends in the way of its first argument, without a call that
//! delivers them: the exit hook does. `--file PATH` names the file. `--hang` adds a sink whose writes never return, which
//! costs the shutdown timeout of 1 s and is reported on standard error.

use std::cell::RefCell;
use std::error::Error;
use std::panic;
use std::path::PathBuf;
use std::process;
use std::sync::OnceLock;
use std::thread;
use std::time::Duration;

use logweir::sink::{ConsoleSink, FileSink};
use logweir::{Batch, Logger, ShutdownGuard, Sink, SinkError, async_trait, error, info};
use tokio::runtime::{Builder, Runtime};

const LINES: u32 = 500;
const TIMEOUT: Duration = Duration::from_secs(5);

const WAYS: &str = "\
return         main returns
question       main returns an error, by `?`
panic          main panics
exit           std::process::exit(1) in main
exit-worker    the same on a worker of a tokio runtime
exit-thread    the same on another thread
call           logweir::exit(3) in main
call-worker    the same on a worker of a tokio runtime
call-thread    the same on another thread
tokio-main     an async main returns, and its runtime is dropped
guard          main has a guard
static-guard   a static has a guard, so it is never dropped
thread-local   a thread-local has a guard; the end of its thread drops it after tokio's thread-locals
dropped        main drops its logger and returns
start-on       the logger runs on the program's runtime; std::process::exit(1) in its async main
call-start-on  the same with logweir::exit(3) on the only worker of that runtime
tracing        call sites of `tracing`; main returns (feature `tracing`)
log            call sites of `log`; main returns (feature `log`)
nothing        there is no logger";

type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

fn main() -> Result<()> {
    let options = Options::parse()?;
    match &*options.way {
        "return" => options.log()?,
        "question" => {
            options.log()?;
            let price: f64 = "12,50".parse()?;
            info!("the price is {price}", price);
        }
        "panic" => {
            options.log()?;
            panic!("a bug in main");
        }
        "exit" => {
            options.log()?;
            fail();
        }
        "exit-worker" => runtime(2)?.block_on(on_a_worker(options, || fail()))?,
        "exit-thread" => {
            options.log()?;
            join(thread::spawn(|| fail()));
        }
        "call" => {
            options.log()?;
            logweir::exit(3);
        }
        "call-worker" => runtime(2)?.block_on(on_a_worker(options, || logweir::exit(3)))?,
        "call-thread" => {
            options.log()?;
            join(thread::spawn(|| logweir::exit(3)));
        }
        "tokio-main" => runtime(2)?.block_on(on_a_worker(options, || ()))?,
        "guard" => {
            let _guard = options.start()?.shutdown_guard(TIMEOUT);
            log();
        }
        "static-guard" => {
            static GUARD: OnceLock<ShutdownGuard> = OnceLock::new();
            let logger = options.start()?;
            GUARD.get_or_init(|| logger.shutdown_guard(TIMEOUT));
            log();
        }
        "thread-local" => join(thread::spawn(move || guard_in_a_thread_local(&options)))?,
        "dropped" => {
            let logger = options.builder().start()?;
            (0..LINES).for_each(|number| info!(logger: logger, "line {number}", number));
            drop(logger);
        }
        "start-on" => {
            let runtime = runtime(2)?;
            options.builder().start_on(runtime.handle())?.set_global().map_err(|_| "a second logger")?;
            log();
            runtime.block_on(async { fail() })
        }
        "call-start-on" => {
            let runtime = runtime(1)?;
            options.builder().start_on(runtime.handle())?.set_global().map_err(|_| "a second logger")?;
            log();
            runtime.block_on(runtime.spawn(async { logweir::exit(3) }))?
        }
        #[cfg(feature = "tracing")]
        "tracing" => {
            use tracing_subscriber::prelude::*;
            let logger = options.builder().start()?;
            tracing_subscriber::registry().with(logger.tracing_layer()).init();
            (0..LINES).for_each(|number| tracing::info!("line {number}"));
        }
        #[cfg(feature = "log")]
        "log" => {
            options.builder().start()?.install_log()?;
            (0..LINES).for_each(|number| log::info!("line {number}"));
        }
        "nothing" => {}
        way => return Err(format!("no such way: {way}\n{WAYS}").into()),
    }
    Ok(())
}

fn log() {
    (0..LINES).for_each(|number| info!("line {number}", number));
}

fn fail() -> ! {
    error!("cannot go on");
    process::exit(1)
}

async fn on_a_worker(options: Options, end: fn()) -> Result<()> {
    let main = tokio::spawn(async move {
        options.log()?;
        end();
        Ok(())
    });
    main.await?
}

fn guard_in_a_thread_local(options: &Options) -> Result<()> {
    thread_local! {
        static GUARD: RefCell<Option<ShutdownGuard>> = const { RefCell::new(None) };
    }
    // Made before tokio's thread-locals, which this thread has from the first use of a runtime on, so dropped after them.
    GUARD.with_borrow_mut(|guard| *guard = None);
    runtime(1)?.block_on(async { tokio::task::yield_now().await });
    let guard = options.start()?.shutdown_guard(TIMEOUT);
    GUARD.with_borrow_mut(|place| *place = Some(guard));
    log();
    Ok(())
}

fn runtime(workers: usize) -> Result<Runtime> {
    Ok(Builder::new_multi_thread().worker_threads(workers).enable_all().build()?)
}

fn join<T>(thread: thread::JoinHandle<T>) -> T {
    thread.join().unwrap_or_else(|payload| panic::resume_unwind(payload))
}

struct Options {
    way: String,
    file: PathBuf,
    hangs: bool,
}

impl Options {
    fn parse() -> Result<Options> {
        let mut arguments = std::env::args_os().skip(1);
        let way = arguments.next().ok_or_else(|| format!("which way?\n{WAYS}"))?;
        let mut options =
            Options { way: way.to_string_lossy().into_owned(), file: "logs/exits.log".into(), hangs: false };
        while let Some(argument) = arguments.next() {
            match argument.to_str() {
                Some("--file") => options.file = arguments.next().ok_or("--file needs a path")?.into(),
                Some("--hang") => options.hangs = true,
                _ => return Err(format!("unknown argument: {}", argument.display()).into()),
            }
        }
        Ok(options)
    }

    fn builder(&self) -> logweir::Builder<'static> {
        let builder = Logger::builder().name("exits");
        let builder = if self.hangs {
            builder.sink("hangs", Hangs).shutdown_timeout(Duration::from_secs(1))
        } else {
            builder.shutdown_timeout(TIMEOUT)
        };
        builder.sink("console", ConsoleSink::stdout()).sink("file", FileSink::new(&self.file))
    }

    fn start(&self) -> Result<&'static Logger> {
        self.builder().start()?.set_global().map_err(|_| "a second logger")?;
        Ok(logweir::global().ok_or("no logger")?)
    }

    /// Starts the logger and logs, as a program does that knows nothing of guards.
    fn log(&self) -> Result<()> {
        self.start()?;
        log();
        Ok(())
    }
}

/// A sink whose writes never return.
struct Hangs;

#[async_trait]
impl Sink for Hangs {
    async fn write(&mut self, _: &Batch) -> std::result::Result<(), SinkError> {
        std::future::pending().await
    }
}
