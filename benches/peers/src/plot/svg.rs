//! As much SVG as a chart needs. Pure.

use std::fmt::Write as _;

/// A drawing with a ground of its own, so that it reads alike on light and on dark pages.
pub struct Svg {
    body: String,
    width: f64,
    height: f64,
}

pub const INK: &str = "#1f2328";
pub const FAINT: &str = "#59636e";
const RULE: &str = "#d8dee4";

#[derive(Clone, Copy)]
pub enum Anchor {
    Start,
    Middle,
    End,
}

impl Svg {
    pub fn new(width: f64, height: f64, title: &str, subtitle: &str) -> Self {
        let mut svg = Svg { body: String::new(), width, height };
        svg.text(24.0, 32.0, title, INK, 16, true, Anchor::Start);
        svg.text(24.0, 52.0, subtitle, FAINT, 11, false, Anchor::Start);
        svg
    }

    #[expect(clippy::too_many_arguments, reason = "what a text is made of; each call is one line")]
    pub fn text(&mut self, x: f64, y: f64, text: &str, colour: &str, size: u32, bold: bool, anchor: Anchor) {
        let anchor = match anchor {
            Anchor::Start => "start",
            Anchor::Middle => "middle",
            Anchor::End => "end",
        };
        let weight = if bold { " font-weight=\"600\"" } else { "" };
        let text = text.replace('&', "&amp;").replace('<', "&lt;");
        self.add(format_args!(
            r#"<text x="{x:.1}" y="{y:.1}" font-size="{size}" text-anchor="{anchor}" fill="{colour}"{weight}>{text}</text>"#
        ));
    }

    pub fn bar(&mut self, x: f64, y: f64, width: f64, height: f64, colour: &str) {
        self.add(format_args!(
            r#"<rect x="{x:.1}" y="{y:.1}" width="{width:.1}" height="{height:.1}" rx="1.5" fill="{colour}"/>"#
        ));
    }

    pub fn rule(&mut self, [x1, y1]: [f64; 2], [x2, y2]: [f64; 2]) {
        self.add(format_args!(
            r#"<line x1="{x1:.1}" y1="{y1:.1}" x2="{x2:.1}" y2="{y2:.1}" stroke="{RULE}" stroke-width="1"/>"#
        ));
    }

    pub fn curve(&mut self, points: &[[f64; 2]], colour: &str, thickness: f64) {
        let path: Vec<String> = points.iter().map(|[x, y]| format!("{x:.1},{y:.1}")).collect();
        self.add(format_args!(
            r#"<polyline points="{}" fill="none" stroke="{colour}" stroke-width="{thickness}" stroke-linejoin="round"/>"#,
            path.join(" ")
        ));
        for [x, y] in points {
            let radius = thickness + 1.0;
            self.add(format_args!(r#"<circle cx="{x:.1}" cy="{y:.1}" r="{radius:.1}" fill="{colour}"/>"#));
        }
    }

    fn add(&mut self, element: std::fmt::Arguments<'_>) {
        writeln!(self.body, "{element}").expect("a string takes everything");
    }

    pub fn finish(self) -> String {
        let Svg { body, width, height } = self;
        let (inner_width, inner_height) = (width - 1.0, height - 1.0);
        let font = "-apple-system, 'Segoe UI', 'Helvetica Neue', Helvetica, Arial, sans-serif";
        format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" width=\"{width}\" \
             height=\"{height}\" font-family=\"{font}\">\n<rect x=\"0.5\" y=\"0.5\" width=\"{inner_width}\" \
             height=\"{inner_height}\" rx=\"6\" fill=\"#ffffff\" stroke=\"{RULE}\"/>\n{body}</svg>\n"
        )
    }
}

/// Where a value lies between `low` and `high`, from 0 to 1, in powers of ten.
pub fn logarithmic(value: f64, low: f64, high: f64) -> f64 {
    ((value / low).ln() / (high / low).ln()).clamp(0.0, 1.0)
}

/// Nanoseconds, short.
pub fn duration(nanos: f64) -> String {
    match nanos {
        ..1e3 => format!("{nanos:.0} ns"),
        ..1e4 => format!("{:.1} µs", nanos / 1e3),
        ..1e6 => format!("{:.0} µs", nanos / 1e3),
        _ => format!("{:.0} ms", nanos / 1e6),
    }
}
