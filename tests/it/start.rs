//! What `start` refuses, and how.

use logweir::Logger;
use logweir::sink::{FileSink, NullSink};

/// The runtime made for the logger is then dropped inside the caller's, where tokio does not let anybody wait.
#[tokio::test]
async fn a_refused_start_inside_a_runtime_is_an_error_and_no_panic() {
    let knob = Logger::builder().sink("null", NullSink).lanes(0).start().expect_err("no lanes");
    assert_eq!(knob.to_string(), "`lanes` is 0; allowed is 1 to 64");

    let folder = std::env::temp_dir();
    let sink = Logger::builder().sink("file", FileSink::new(&folder)).start().expect_err("a folder is no file");
    assert!(sink.to_string().contains(&folder.display().to_string()), "{sink}");
}
