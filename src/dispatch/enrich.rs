//! The flush task: computes the values of fields that change, for the events that are dispatched next.

use std::sync::Arc;

use crate::context::contain::contain;
use crate::event::{Redactor, SharedFields, ToValue};
use crate::observe::diagnostics::{Diagnostic, Diagnostics};

/// Returns the given fields and one more.
type AddField = Box<dyn FnMut(Option<&SharedFields>) -> SharedFields + Send>;

/// A field and the function that returns its value. See [`Builder::enrich_with`](crate::Builder::enrich_with).
pub(crate) struct Enricher {
    extend: AddField,
}

impl Enricher {
    pub(crate) fn new<V: ToValue>(key: &str, mut value: impl FnMut() -> V + Send + 'static) -> Self {
        let key = key.to_owned();
        Enricher { extend: Box::new(move |context| SharedFields::extend(context, &key, value().to_value())) }
    }
}

/// All enrichers of a logger.
pub(crate) struct Enrichers {
    enrichers: Vec<Enricher>,
    /// The fields that do not change.
    fixed: Option<Arc<SharedFields>>,
}

impl Enrichers {
    pub(crate) fn new(enrichers: Vec<Enricher>, fixed: Option<Arc<SharedFields>>) -> Self {
        Enrichers { enrichers, fixed }
    }

    /// Returns whether no field changes, so that there is nothing to evaluate.
    pub(crate) fn is_empty(&self) -> bool {
        self.enrichers.is_empty()
    }

    /// Calls each enricher, with no lock held: they may call the logger. Events that they log are suppressed, like all
    /// that the flush task logs.
    pub(crate) fn evaluate(
        &mut self,
        redactor: Option<&Redactor>,
        diagnostics: &Diagnostics,
    ) -> Option<Arc<SharedFields>> {
        let mut enrichment: Option<SharedFields> = None;
        for enricher in &mut self.enrichers {
            let before = enrichment.as_ref().or(self.fixed.as_deref());
            match contain(|| (enricher.extend)(before)) {
                Ok(context) => enrichment = Some(context),
                Err(_) => diagnostics.report(Diagnostic::CallbackPanicked { callback: "enrich_with" }),
            }
        }
        match enrichment {
            Some(changing) => Some(Arc::new(match redactor {
                Some(redactor) => changing.redacted(redactor),
                None => changing,
            })),
            // All of them panicked: their earlier values are not repeated.
            None => self.fixed.clone(),
        }
    }
}
