//! Two kinds of plots as SVG: bars, and lines over something that grows. Both scales are logarithmic.

use std::fmt::Write;

const WIDTH: f64 = 900.0;
const LEFT: f64 = 310.0;
const RIGHT: f64 = 110.0;
const TOP: f64 = 50.0;
const ROW: f64 = 22.0;
const COLOURS: [&str; 7] =
    ["#1f6feb", "#d1570a", "#2da44e", "#8250df", "#bf3989", "#6e7781", "#9a6700"];

/// One bar: a value and how far apart its rounds lie.
#[derive(Debug, Clone)]
pub(super) struct Bar {
    pub(super) label: String,
    pub(super) value: String,
    pub(super) median: f64,
    pub(super) min: f64,
    pub(super) max: f64,
    pub(super) colour: &'static str,
}

/// One line: its points from left to right.
#[derive(Debug, Clone)]
pub(super) struct Line {
    pub(super) label: String,
    pub(super) points: Vec<(f64, f64)>,
}

/// A logarithmic scale over whole decades.
struct Scale {
    low: f64,
    high: f64,
    from: f64,
    to: f64,
}

impl Scale {
    fn of(values: impl Iterator<Item = f64> + Clone, from: f64, to: f64) -> Self {
        let positive = values.filter(|value| *value > 0.0);
        let low = positive.clone().fold(f64::INFINITY, f64::min).log10().floor();
        let high = positive.fold(f64::MIN_POSITIVE, f64::max).log10().ceil();
        Self { low, high: high.max(low + 1.0), from, to }
    }

    fn at(&self, value: f64) -> f64 {
        let part = (value.log10() - self.low) / (self.high - self.low);
        self.from + part.clamp(0.0, 1.0) * (self.to - self.from)
    }

    fn decades(&self) -> impl Iterator<Item = f64> {
        (self.low as i32..=self.high as i32).map(|power| 10_f64.powi(power))
    }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

fn short(value: f64) -> String {
    match value {
        value if value >= 1e6 => format!("{}M", value / 1e6),
        value if value >= 1e3 => format!("{}k", value / 1e3),
        value => format!("{value}"),
    }
}

fn begin(title: &str, height: f64) -> String {
    let title = escaped(title);
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{WIDTH}\" height=\"{height}\" viewBox=\"0 0 {WIDTH} {height}\" font-family=\"sans-serif\" font-size=\"12\" role=\"img\" aria-label=\"{title}\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n\
         <text x=\"12\" y=\"22\" font-size=\"15\" font-weight=\"bold\">{title}</text>\n"
    )
}

/// Bars under each other, each with a line from its least to its most.
pub(super) fn bars(title: &str, axis: &str, bars: &[Bar]) -> String {
    let height = TOP + ROW * bars.len() as f64 + 40.0;
    let bottom = height - 36.0;
    let scale =
        Scale::of(bars.iter().flat_map(|bar| [bar.min, bar.median, bar.max]), LEFT, WIDTH - RIGHT);
    let mut svg = begin(title, height);
    for value in scale.decades() {
        let x = scale.at(value);
        let _ = writeln!(
            svg,
            "<line x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{TOP}\" y2=\"{bottom}\" stroke=\"#ddd\"/><text x=\"{x:.1}\" y=\"{:.1}\" text-anchor=\"middle\" fill=\"#555\">{}</text>",
            bottom + 14.0,
            short(value)
        );
    }
    for (at, bar) in bars.iter().enumerate() {
        let y = TOP + ROW * at as f64;
        let middle = y + ROW / 2.0;
        let (least, end, most) = (scale.at(bar.min), scale.at(bar.median), scale.at(bar.max));
        let _ = writeln!(
            svg,
            "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>\
             <rect x=\"{LEFT}\" y=\"{:.1}\" width=\"{:.1}\" height=\"{:.1}\" fill=\"{}\"/>\
             <line x1=\"{least:.1}\" x2=\"{most:.1}\" y1=\"{middle:.1}\" y2=\"{middle:.1}\" stroke=\"black\"/>\
             <text x=\"{:.1}\" y=\"{:.1}\">{}</text>",
            LEFT - 8.0,
            middle + 4.0,
            escaped(&bar.label),
            y + 3.0,
            (end - LEFT).max(1.0),
            ROW - 6.0,
            bar.colour,
            most.max(end) + 6.0,
            middle + 4.0,
            escaped(&bar.value),
        );
    }
    let _ = writeln!(
        svg,
        "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\" fill=\"#555\">{}; the scale is logarithmic</text>\n</svg>",
        (LEFT + WIDTH - RIGHT) / 2.0,
        height - 6.0,
        escaped(axis)
    );
    svg
}

/// Lines over something that grows, with their names beneath.
pub(super) fn lines(title: &str, (across, up): (&str, &str), lines: &[Line]) -> String {
    let (left, floor) = (70.0, 400.0);
    let height = floor + 50.0 + ROW * lines.len() as f64;
    let points = || lines.iter().flat_map(|line| line.points.iter().copied());
    let x = Scale::of(points().map(|point| point.0), left, WIDTH - 30.0);
    let y = Scale::of(points().map(|point| point.1), floor, TOP);
    let mut svg = begin(title, height);
    for value in x.decades() {
        let at = x.at(value);
        let _ = writeln!(
            svg,
            "<line x1=\"{at:.1}\" x2=\"{at:.1}\" y1=\"{TOP}\" y2=\"{floor}\" stroke=\"#eee\"/><text x=\"{at:.1}\" y=\"{:.1}\" text-anchor=\"middle\" fill=\"#555\">{}</text>",
            floor + 15.0,
            short(value)
        );
    }
    for value in y.decades() {
        let at = y.at(value);
        let _ = writeln!(
            svg,
            "<line x1=\"{left}\" x2=\"{:.1}\" y1=\"{at:.1}\" y2=\"{at:.1}\" stroke=\"#ddd\"/><text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\" fill=\"#555\">{}</text>",
            WIDTH - 30.0,
            left - 6.0,
            at + 4.0,
            short(value)
        );
    }
    for (number, line) in lines.iter().enumerate() {
        let colour = COLOURS[number % COLOURS.len()];
        let path: Vec<String> =
            line.points.iter().map(|&(a, b)| format!("{:.1},{:.1}", x.at(a), y.at(b))).collect();
        let _ = writeln!(
            svg,
            "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"/>",
            path.join(" ")
        );
        for &(a, b) in &line.points {
            let _ = writeln!(
                svg,
                "<circle cx=\"{:.1}\" cy=\"{:.1}\" r=\"3\" fill=\"{colour}\"/>",
                x.at(a),
                y.at(b)
            );
        }
        let beneath = floor + 46.0 + ROW * number as f64;
        let _ = writeln!(
            svg,
            "<rect x=\"{left}\" y=\"{:.1}\" width=\"18\" height=\"4\" fill=\"{colour}\"/><text x=\"{:.1}\" y=\"{beneath:.1}\">{}</text>",
            beneath - 6.0,
            left + 26.0,
            escaped(&line.label)
        );
    }
    let _ = writeln!(
        svg,
        "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\" fill=\"#555\">{}</text><text x=\"12\" y=\"40\" fill=\"#555\">{}</text>\n</svg>",
        WIDTH - 30.0,
        floor + 30.0,
        escaped(across),
        escaped(up)
    );
    svg
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scale_puts_decades_at_even_distances() {
        let scale = Scale::of([2.0, 0.0, 700.0].into_iter(), 0.0, 300.0);
        assert_eq!(scale.decades().collect::<Vec<_>>(), [1.0, 10.0, 100.0, 1_000.0]);
        assert_eq!([1.0, 10.0, 1_000.0].map(|value| scale.at(value).round()), [0.0, 100.0, 300.0]);
    }

    #[test]
    fn names_cannot_break_the_picture() {
        let bar = Bar {
            label: "rust -> <b>&".to_owned(),
            value: "1".to_owned(),
            median: 1.0,
            min: 1.0,
            max: 1.0,
            colour: "#000",
        };
        let svg = bars("a < b", "µs", &[bar]);
        assert!(svg.contains("rust -&gt; &lt;b&gt;&amp;") && svg.contains("a &lt; b"));
        assert_eq!(svg.matches("<svg").count(), svg.matches("</svg>").count());
    }
}
