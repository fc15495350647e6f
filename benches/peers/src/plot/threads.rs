use super::svg::{Anchor, FAINT, INK, Svg, duration, logarithmic};
use crate::case::{Case, THREADS};
use crate::peers::About;
use crate::results::{CALL, Results, label};

const LEFT: f64 = 76.0;
const RIGHT: f64 = 150.0;
const TOP: f64 = 80.0;
const BOTTOM: f64 = 56.0;
const WIDTH: f64 = 860.0;
const HEIGHT: f64 = 480.0;
/// Names at the ends of the lines are at least so far apart.
const APART: f64 = 15.0;

const OURS: &str = "#0969da";
const OTHERS: [&str; 10] =
    ["#bc4c00", "#1a7f37", "#8250df", "#bf3989", "#9a6700", "#57606a", "#cf222e", "#1b7c83", "#7d4e00", "#953800"];

struct Curve {
    about: &'static About,
    colour: &'static str,
    values: Vec<(u32, f64)>,
}

/// Lines over the number of threads, on logarithmic axes; each has its name at its end.
pub fn draw(results: &Results, subtitle: &str) -> Option<String> {
    let curves = curves(results);
    let values = || curves.iter().flat_map(|curve| &curve.values).map(|(_, value)| *value);
    let low = 10_f64.powf(values().min_by(f64::total_cmp)?.log10().floor());
    let high = 10_f64.powf(values().max_by(f64::total_cmp)?.log10().ceil());
    let most = f64::from(*THREADS.last()?);
    let x = |threads: u32| LEFT + (WIDTH - LEFT - RIGHT) * logarithmic(f64::from(threads), 1.0, most);
    let y = |value: f64| HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * logarithmic(value, low, high);

    let mut svg = Svg::new(WIDTH, HEIGHT, "Bursts by several threads at once: p50 per call (logarithmic)", subtitle);
    let mut mark = low;
    while mark <= high * 1.001 {
        svg.rule([LEFT, y(mark)], [WIDTH - RIGHT, y(mark)]);
        svg.text(LEFT - 8.0, y(mark) + 4.0, &duration(mark), FAINT, 11, false, Anchor::End);
        mark *= 10.0;
    }
    for threads in THREADS {
        svg.text(x(threads), HEIGHT - BOTTOM + 20.0, &threads.to_string(), FAINT, 11, false, Anchor::Middle);
    }
    svg.text((LEFT + WIDTH - RIGHT) / 2.0, HEIGHT - 14.0, "threads", FAINT, 11, false, Anchor::Middle);
    for curve in curves.iter().rev() {
        let points: Vec<[f64; 2]> = curve.values.iter().map(|(threads, value)| [x(*threads), y(*value)]).collect();
        svg.curve(&points, curve.colour, if curve.about.is_ours() { 3.0 } else { 1.6 });
    }
    for (curve, y) in places(&curves, y) {
        let colour = if curve.about.is_ours() { INK } else { curve.colour };
        let bold = curve.about.is_ours();
        svg.text(WIDTH - RIGHT + 14.0, y + 4.0, &label(curve.about), colour, 12, bold, Anchor::Start);
    }
    Some(svg.finish())
}

fn curves(results: &Results) -> Vec<Curve> {
    let named = THREADS.iter().map(|count| results.lines(Case::Threads(*count))).find(|lines| !lines.is_empty());
    let mut others = OTHERS.iter().cycle();
    let curves = named.unwrap_or_default().iter().map(|line| {
        let value = |threads| results.line(Case::Threads(threads), line.about.name)?.permille(CALL, 500);
        let values = THREADS.iter().filter_map(|threads| Some((*threads, value(*threads)? as f64))).collect();
        let colour = if line.about.is_ours() { OURS } else { others.next().copied().unwrap_or(INK) };
        Curve { about: line.about, colour, values }
    });
    curves.filter(|curve| !curve.values.is_empty()).collect()
}

/// The heights of the names: those of the ends of the lines, moved apart where they would lie over each other.
fn places(curves: &[Curve], y: impl Fn(f64) -> f64) -> Vec<(&Curve, f64)> {
    let ends = curves.iter().filter_map(|curve| Some((curve, y(curve.values.last()?.1))));
    let mut places: Vec<(&Curve, f64)> = ends.collect();
    places.sort_by(|(_, a), (_, b)| a.total_cmp(b));
    let mut least = f64::MIN;
    for (_, place) in &mut places {
        *place = place.max(least + APART);
        least = *place;
    }
    // What was pushed out at the bottom goes up again.
    let mut most = HEIGHT - BOTTOM;
    for (_, place) in places.iter_mut().rev() {
        *place = place.min(most);
        most = *place - APART;
    }
    places
}
