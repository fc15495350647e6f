//! The caller's thread, once: opens the sinks and their spools.

use super::Builder;
use super::error::{BuildError, BuildErrorKind};
use crate::context::contain::contain;
use crate::observe::diagnostics::Diagnostic;
use crate::pipeline::Pipeline;
use crate::sink::SinkError;
use crate::spool::SpoolFinding;

impl Builder<'_> {
    /// Opens all sinks, each after its spool. Returns what is to be reported of the spools; empty if there is none.
    pub(super) fn open_sinks(&mut self) -> Result<Vec<SpoolFinding>, BuildError> {
        let (mut findings, mut claimed, logger) = (Vec::new(), Vec::new(), self.name.clone());
        self.for_each_link(|sink, link| {
            if let Some(spool) = &mut link.spool {
                spool.recovered = spool.store.open(sink)?;
                claimed.extend(spool.store.claimed(sink));
            }
            logger.iter().for_each(|name| link.sink.set_logger(name));
            link.sink.open()
        })?;
        self.for_each_link(|_, link| {
            // Several spools may share a directory.
            let found = link.spool.iter().map(|spool| spool.store.examine(&claimed)).collect::<Result<Vec<_>, _>>()?;
            found.into_iter().flatten().for_each(|finding| {
                if !findings.contains(&finding) {
                    findings.push(finding);
                }
            });
            Ok(())
        })?;
        Ok(findings)
    }

    /// Calls `each` for all destinations, with the name of their sink. A panic is an error of it.
    fn for_each_link(
        &mut self,
        mut each: impl FnMut(&str, &mut Pipeline) -> Result<(), SinkError>,
    ) -> Result<(), BuildError> {
        for (sink, pipeline) in &mut self.sinks {
            let (mut next, mut name) = (Some(pipeline), sink.clone());
            for number in 1.. {
                let Some(link) = next else { break };
                contain(|| each(sink, link))
                    .unwrap_or_else(|panicked| Err(SinkError::panicked(panicked)))
                    .map_err(|error| BuildError(BuildErrorKind::Sink { name, source: error.into_source() }))?;
                next = link.fallback.as_deref_mut();
                name = format!("{sink}/{number}");
            }
        }
        Ok(())
    }
}

/// How much is in spools that no sink takes over.
pub(super) fn unclaimed_bytes(findings: &[SpoolFinding]) -> u64 {
    let bytes = |finding: &SpoolFinding| match finding {
        SpoolFinding::Unclaimed { bytes, .. } => *bytes,
        SpoolFinding::OnOverlay { .. } => 0,
    };
    findings.iter().map(bytes).sum()
}

impl From<SpoolFinding> for Diagnostic {
    fn from(finding: SpoolFinding) -> Self {
        match finding {
            SpoolFinding::OnOverlay { dir } => Diagnostic::SpoolOnOverlay { dir },
            SpoolFinding::Unclaimed { dir, bytes, is_other_version } => {
                Diagnostic::SpoolUnclaimed { dir, bytes, is_other_version }
            }
        }
    }
}
