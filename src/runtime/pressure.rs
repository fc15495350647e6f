//! The flush task: reports when the queue fills up and when it has emptied again. The decision is pure.

use crate::context::contain::contain;
use crate::observe::diagnostics::{Diagnostic, Diagnostics};

/// The queue crossed a threshold set by [`Builder::on_pressure`](crate::Builder::on_pressure).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Pressure {
    /// The queue has filled to the threshold.
    Rising {
        /// How full the fullest lane is, in percent, or the memory limit if that is fuller.
        percent: u8,
    },
    /// The queue has emptied below half of the threshold.
    Falling {
        /// As for `Rising`.
        percent: u8,
    },
}

impl Pressure {
    /// Returns how full the fullest lane is, in percent, or the memory limit if that is fuller.
    pub fn percent(self) -> u8 {
        match self {
            Pressure::Rising { percent } | Pressure::Falling { percent } => percent,
        }
    }
}

/// One threshold and its callback.
pub(crate) struct PressureMonitor {
    threshold: u8,
    callback: Box<dyn Fn(Pressure) + Send + Sync>,
    is_high: bool,
}

impl PressureMonitor {
    pub(crate) fn new(threshold: u8, callback: impl Fn(Pressure) + Send + Sync + 'static) -> Self {
        PressureMonitor { threshold, callback: Box::new(callback), is_high: false }
    }

    pub(crate) fn threshold(&self) -> u8 {
        self.threshold
    }

    /// Returns the pressure to report, once for each crossing.
    fn transition(&mut self, percent: u8) -> Option<Pressure> {
        if !self.is_high && percent >= self.threshold {
            self.is_high = true;
            Some(Pressure::Rising { percent })
        } else if self.is_high && u16::from(percent) * 2 < u16::from(self.threshold) {
            self.is_high = false;
            Some(Pressure::Falling { percent })
        } else {
            None
        }
    }

    /// Checks the level, and calls the callback at a crossing.
    pub(super) fn check(&mut self, percent: u8, diagnostics: &Diagnostics) {
        let Some(pressure) = self.transition(percent) else { return };
        if contain(|| (self.callback)(pressure)).is_err() {
            diagnostics.report(Diagnostic::CallbackPanicked { callback: "on_pressure" });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn crossings(threshold: u8, percents: &[u8]) -> Vec<Pressure> {
        let mut monitor = PressureMonitor::new(threshold, |_| {});
        percents.iter().filter_map(|&percent| monitor.transition(percent)).collect()
    }

    #[test]
    fn each_crossing_is_said_once_and_half_of_the_mark_lies_between_them() {
        let (rising, falling) = (|percent| Pressure::Rising { percent }, |percent| Pressure::Falling { percent });
        assert_eq!(crossings(80, &[0, 79, 80, 100, 60, 40, 80]), [rising(80)]);
        assert_eq!(crossings(80, &[90, 39, 0, 79, 85]), [rising(90), falling(39), rising(85)]);
        assert_eq!(crossings(1, &[1, 0, 100]), [rising(1), falling(0), rising(100)]);
        assert_eq!(crossings(100, &[99, 100, 50, 49]), [rising(100), falling(49)]);
    }
}
