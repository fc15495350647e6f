use super::svg::{Anchor, FAINT, INK, Svg};
use crate::case::Case;
use crate::results::{Line, Results, label};

const LEFT: f64 = 130.0;
const RIGHT: f64 = 170.0;
const TOP: f64 = 96.0;
const WIDTH: f64 = 860.0;
const BAR: f64 = 13.0;
const GROUP: f64 = 2.0 * BAR + 12.0;

const SERIES: [(&str, u32, &str); 2] = [("1 thread", 1, "#0969da"), ("2 threads", 2, "#54aeff")];

/// Bars from nothing; who lost events has it written beside.
pub fn draw(results: &Results, subtitle: &str) -> Option<String> {
    let cases = SERIES.map(|(_, threads, _)| Case::Throughput(threads));
    let named = cases.iter().map(|case| results.lines(*case)).find(|lines| !lines.is_empty())?;
    let all = cases.iter().flat_map(|case| results.lines(*case)).filter_map(Line::throughput);
    let most = all.max_by(f64::total_cmp)?;
    let step = if most > 3e6 { 1e6 } else { 5e5 };
    let high = (most / step).ceil() * step;
    let height = TOP + named.len() as f64 * GROUP + 40.0;
    let mut svg = Svg::new(WIDTH, height, "Events per second into a file, until it is complete", subtitle);
    for (at, (name, _, colour)) in SERIES.iter().enumerate() {
        let x = LEFT + at as f64 * 120.0;
        svg.bar(x, 68.0, 11.0, 11.0, colour);
        svg.text(x + 16.0, 78.0, name, INK, 12, false, Anchor::Start);
    }
    let place = |value: f64| LEFT + (WIDTH - LEFT - RIGHT) * value / high;
    let mut mark = 0.0;
    while mark <= high * 1.001 {
        svg.rule([place(mark), TOP - 6.0], [place(mark), height - 34.0]);
        svg.text(place(mark), height - 18.0, &format!("{:.1} M", mark / 1e6), FAINT, 11, false, Anchor::Middle);
        mark += step;
    }
    for (at, about) in named.iter().map(|line| line.about).enumerate() {
        let top = TOP + at as f64 * GROUP;
        svg.text(LEFT - 10.0, top + BAR + 4.0, &label(about), INK, 12, about.is_ours(), Anchor::End);
        for (row, (_, threads, colour)) in SERIES.iter().enumerate() {
            let line = results.line(Case::Throughput(*threads), about.name);
            if let Some((line, value)) = line.and_then(|line| Some((line, line.throughput()?))) {
                let (y, end) = (top + row as f64 * BAR, place(value));
                svg.bar(LEFT, y, end - LEFT, BAR - 1.5, colour);
                svg.text(end + 5.0, y + BAR - 3.0, &remark(line, value), FAINT, 10, false, Anchor::Start);
            }
        }
    }
    Some(svg.finish())
}

fn remark(line: &Line, value: f64) -> String {
    let lost = line.lost() as f64 * 100.0 / line.calls().max(1) as f64;
    match line.lost() {
        0 => format!("{:.2} M", value / 1e6),
        _ => format!("{:.2} M called, {lost:.0} % lost", value / 1e6),
    }
}
