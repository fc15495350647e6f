//! cargo test --all-features --example testing_your_logs
//!
//! How an application's log calls are tested: with a logger for each test where the code is handed one, and through the
//! macros' global logger where it is not. And how a test that fails shows its log: with a console that `cargo test`
//! captures.

use std::collections::HashMap;
use std::time::Duration;

use logweir::sink::ConsoleSink;
use logweir::{Logger, Sensitive, error, fields, info, scope, warn};

/// Takes its logger, as it takes its other dependencies: each test gives it one of its own.
struct Accounts {
    logger: Logger,
    passwords: HashMap<&'static str, Sensitive<&'static str>>,
}

impl Accounts {
    fn new(logger: &Logger) -> Self {
        let passwords = HashMap::from([("ada", Sensitive::new("lovelace"))]);
        Accounts { logger: logger.with("component", "accounts"), passwords }
    }

    fn log_in(&self, user: &str, password: &Sensitive<&str>) -> bool {
        let is_right = self.passwords.get(user).is_some_and(|right| right.expose() == password.expose());
        if is_right {
            info!(logger: self.logger, "user {user} logged in", user);
        } else {
            warn!(logger: self.logger, "user {user} was refused", user, password);
        }
        is_right
    }

    /// What a task of its own logs, later.
    fn lock_after(&self, user: &'static str, time: Duration) {
        let logger = self.logger.clone();
        tokio::spawn(scope(fields![user], async move {
            tokio::time::sleep(time).await;
            warn!(logger: logger, "locked");
        }));
    }
}

/// Uses the macros' global logger, which no argument mentions.
fn load(path: &str) -> Option<String> {
    let text = std::fs::read_to_string(path);
    text.inspect_err(|cause| error!("cannot read {path}", path, cause = %cause)).ok()
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let logger = Logger::builder().sink("console", ConsoleSink::stdout()).start()?;
    logger.set_global().map_err(|_| "there is a global logger already")?;
    let accounts = Accounts::new(&logger);
    accounts.log_in("ada", &"lovelace".into());
    accounts.log_in("ada", &"byron".into());
    accounts.lock_after("ada", Duration::from_millis(10));
    load("/does/not/exist");
    tokio::time::sleep(Duration::from_millis(50)).await;
    drop(logger.shutdown(Duration::from_secs(5)).await);
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::sync::LazyLock;

    use logweir::testing::{Capture, TestConsole, capture};
    use logweir::{CorrelationId, Level, in_scope};

    use super::*;

    // Where the code takes a logger

    #[test]
    fn a_login_is_logged_with_the_user() {
        let logs = capture();
        assert!(Accounts::new(logs.logger()).log_in("ada", &"lovelace".into()));
        let login = logs.select().level(Level::Info).exactly_one();
        assert_eq!(login.message(), "user ada logged in");
        assert_eq!(login.field("component").unwrap(), "accounts");
    }

    #[test]
    fn a_refusal_is_a_warning_and_never_shows_the_password() {
        let logs = capture();
        assert!(!Accounts::new(logs.logger()).log_in("ada", &"byron".into()));
        let refusal = logs.select().level(Level::Warn).field("user", "ada").exactly_one();
        assert_eq!(refusal.field("password").unwrap(), "***");
        assert!(!format!("{logs:?}").contains("byron"));
    }

    // With a paused clock: the hour passes at once
    #[tokio::test(start_paused = true)]
    async fn an_account_is_locked_after_an_hour() {
        let logs = capture();
        Accounts::new(logs.logger()).lock_after("ada", Duration::from_secs(3600));
        logs.select().assert_none();
        let there = logs.wait_for(1, Duration::from_secs(7200)).await.unwrap();
        assert_eq!(there.field("user", "ada").exactly_one().message(), "locked");
    }

    // Where a person reads the log: nothing is printed unless the test fails

    #[test]
    fn a_test_that_fails_shows_its_log() {
        let logger = Logger::builder().sink("test", TestConsole::new()).start().expect("a test has a thread left");
        // Delivers before the test ends, also if an assertion fails.
        let _guard = logger.shutdown_guard(Duration::from_secs(5));
        assert!(Accounts::new(&logger).log_in("ada", &"lovelace".into()));
    }

    // Where the code uses the global logger: there is one for all the tests of this program, which run at the same time.
    // A scope with an id of its own tells one test's events from the others'.

    static GLOBAL: LazyLock<Capture> = LazyLock::new(|| {
        let logs = capture();
        logs.logger().set_global().expect("nobody else sets it");
        logs
    });

    #[test]
    fn a_file_that_is_not_there_is_an_error_with_its_cause() {
        let test = CorrelationId::new();
        let logs = &*GLOBAL;
        in_scope(fields![test], || assert_eq!(load("/does/not/exist"), None));
        let error = logs.select().field("test", test).exactly_one();
        assert_eq!((error.level(), error.message().as_str()), (Level::Error, "cannot read /does/not/exist"));
        assert!(error.field("cause").is_some());
    }

    #[test]
    fn a_file_that_is_there_logs_nothing() {
        let test = CorrelationId::new();
        let logs = &*GLOBAL;
        in_scope(fields![test], || assert!(load("Cargo.toml").is_some()));
        logs.select().field("test", test).assert_none();
    }
}
