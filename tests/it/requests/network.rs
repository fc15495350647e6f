//! Where sinks run that encode for the network.

use std::time::Duration;

use logweir::sink::NullSink;
use logweir::{Logger, Pipeline};

use crate::support::{PATIENCE, ScriptedRequests, emit_numbers};

fn threads(sink: &ScriptedRequests) -> Vec<Option<String>> {
    sink.requests().into_iter().map(|request| request.thread).collect()
}

#[test]
fn a_sink_that_encodes_for_the_network_runs_on_a_thread_of_its_own_wherever_the_logger_runs() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let start: [&dyn Fn(logweir::Builder<'static>) -> Logger; 2] =
        [&|builder| builder.start().unwrap(), &|builder| builder.start_on(runtime.handle()).unwrap()];
    for start in start {
        let sink = ScriptedRequests::new().on_the_network();
        let logger = start(Logger::builder().sink("http", sink.clone()).sink("null", NullSink));
        emit_numbers(&logger, 0..10);
        let report = runtime.block_on(logger.shutdown(PATIENCE));
        report.check().unwrap();
        assert_eq!(report.sinks[0].delivered, 10);
        assert_eq!(threads(&sink), [Some("logweir-net".to_owned())]);
    }
}

#[test]
fn a_simple_sink_with_a_fallback_for_the_network_runs_there_too() {
    let (down, sink) = (
        crate::support::ScriptedSink::always(crate::support::Answer::Permanent),
        ScriptedRequests::new().on_the_network(),
    );
    let logger = Logger::builder().sink("sink", Pipeline::new(down).fallback(sink.clone())).start().unwrap();
    emit_numbers(&logger, 0..10);
    let report = logger.shutdown_blocking(Duration::from_secs(20)).unwrap();
    report.check().unwrap();
    assert_eq!((report.sinks[0].delivered_by_fallback, threads(&sink)), (10, vec![Some("logweir-net".to_owned())]));
}
