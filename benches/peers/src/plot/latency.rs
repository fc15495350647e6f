use super::svg::{Anchor, FAINT, INK, Svg, duration, logarithmic};
use crate::case::Case;
use crate::peers::About;
use crate::results::{CALL, Results, label};

const LEFT: f64 = 130.0;
const RIGHT: f64 = 90.0;
const TOP: f64 = 96.0;
const WIDTH: f64 = 860.0;
const BAR: f64 = 11.0;
const GROUP: f64 = 3.0 * BAR + 12.0;
const LOW: f64 = 10.0;

/// Name, case, permille, colour.
const SERIES: [(&str, Case, u64, &str); 3] = [
    ("burst, p50", Case::Burst, 500, "#0969da"),
    ("one per 50 µs, p50", Case::Paced, 500, "#54aeff"),
    ("one per 50 µs, p99.9", Case::Paced, 999, "#d4a72c"),
];

/// Bars on a logarithmic axis: the typical call in a burst and alone, and the one in a thousand.
pub fn draw(results: &Results, subtitle: &str) -> Option<String> {
    let groups: Vec<(&About, [Option<f64>; 3])> = groups(results);
    let most = groups.iter().flat_map(|(_, values)| values).flatten().copied().max_by(f64::total_cmp)?;
    let high = 10_f64.powf(most.log10().ceil());
    let height = TOP + groups.len() as f64 * GROUP + 40.0;
    let mut svg = Svg::new(WIDTH, height, "What a log call costs its caller (logarithmic)", subtitle);
    let mut x = LEFT;
    for (name, _, _, colour) in SERIES {
        svg.bar(x, 68.0, 11.0, 11.0, colour);
        svg.text(x + 16.0, 78.0, name, INK, 12, false, Anchor::Start);
        x += 170.0;
    }
    let place = |value: f64| LEFT + (WIDTH - LEFT - RIGHT) * logarithmic(value, LOW, high);
    let mut mark = LOW;
    while mark <= high * 1.001 {
        let x = place(mark);
        svg.rule([x, TOP - 6.0], [x, height - 34.0]);
        svg.text(x, height - 18.0, &duration(mark), FAINT, 11, false, Anchor::Middle);
        mark *= 10.0;
    }
    for (at, (about, values)) in groups.iter().enumerate() {
        let top = TOP + at as f64 * GROUP;
        let middle = top + 1.5 * BAR + 4.0;
        svg.text(LEFT - 10.0, middle, &label(about), INK, 12, about.is_ours(), Anchor::End);
        for (row, (value, (.., colour))) in values.iter().zip(SERIES).enumerate() {
            let y = top + row as f64 * BAR;
            if let Some(value) = *value {
                let end = place(value);
                svg.bar(LEFT, y, end - LEFT, BAR - 1.5, colour);
                svg.text(end + 5.0, y + BAR - 2.5, &duration(value), FAINT, 10, false, Anchor::Start);
            }
        }
    }
    Some(svg.finish())
}

fn groups(results: &Results) -> Vec<(&'static About, [Option<f64>; 3])> {
    let lines = [Case::Burst, Case::Paced].map(|case| results.lines(case));
    let named = lines.into_iter().find(|lines| !lines.is_empty()).unwrap_or_default();
    let values = |about: &About| {
        SERIES.map(|(_, case, permille, _)| {
            results.line(case, about.name).and_then(|line| line.permille(CALL, permille)).map(|nanos| nanos as f64)
        })
    };
    named.iter().map(|line| (line.about, values(line.about))).collect()
}
