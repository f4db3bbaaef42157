//! Plots: bars by case, on a logarithmic scale, with whiskers from the least to the most.

use std::fmt::Write;

use crate::figures::Spread;

/// One bar.
pub(crate) struct Bar {
    pub(crate) group: String,
    pub(crate) label: &'static str,
    pub(crate) spread: Spread,
    pub(crate) text: String,
}

const WIDTH: f64 = 860.0;
const LEFT: f64 = 330.0;
const RIGHT: f64 = 90.0;
const TOP: f64 = 40.0;
const ROW: f64 = 18.0;
const GAP: f64 = 8.0;
const COLOURS: [(&str, &str); 4] =
    [("Plimsoll", "#1b6ca8"), ("SQLite WAL", "#7a7a7a"), ("SQLite DELETE", "#b0b0b0"), ("Litestream VFS", "#d1495b")];

/// Draws bars of one figure.
pub(crate) fn plot(title: &str, bars: &[Bar]) -> String {
    let positive =
        |pick: fn(&Spread) -> f64| bars.iter().map(move |bar| pick(&bar.spread)).filter(|value| *value > 0.0);
    let least = positive(|spread| spread.min).fold(f64::INFINITY, f64::min).log10().floor();
    let most = positive(|spread| spread.max).fold(f64::NEG_INFINITY, f64::max).log10().ceil().max(least + 1.0);
    let at = |value: f64| {
        let part = if value > 0.0 { (value.log10() - least) / (most - least) } else { 0.0 };
        LEFT + part.clamp(0.0, 1.0) * (WIDTH - LEFT - RIGHT)
    };
    let mut groups = 0.0;
    let mut body = String::new();
    let mut before = "";
    for (index, bar) in bars.iter().enumerate() {
        if bar.group != before {
            groups += 1.0;
        }
        let y = TOP + index as f64 * ROW + groups * GAP;
        if bar.group != before {
            let _ = writeln!(body, r#"<text x="8" y="{:.0}">{}</text>"#, y + 12.0, escape(&bar.group));
            before = &bar.group;
        }
        let colour = COLOURS.iter().find(|(name, _)| *name == bar.label).map_or("#444", |(_, colour)| *colour);
        let (middle, left, right) = (at(bar.spread.median), at(bar.spread.min), at(bar.spread.max));
        let _ = write!(
            body,
            r##"<text x="{:.0}" y="{:.0}" text-anchor="end">{}</text>
<rect x="{LEFT}" y="{y:.0}" width="{:.1}" height="14" fill="{colour}"/>
<path d="M{left:.1} {m:.0}H{right:.1}M{left:.1} {a:.0}v6M{right:.1} {a:.0}v6" stroke="#222" fill="none"/>
<text x="{:.1}" y="{:.0}">{}</text>
"##,
            LEFT - 6.0,
            y + 12.0,
            bar.label,
            (middle - LEFT).max(1.0),
            right.max(middle) + 6.0,
            y + 12.0,
            escape(&bar.text),
            m = y + 7.0,
            a = y + 4.0,
        );
    }
    let height = TOP + bars.len() as f64 * ROW + groups * GAP + 16.0;
    format!(
        r##"<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height:.0}" font-family="sans-serif" font-size="12">
<rect width="100%" height="100%" fill="#fff"/>
<text x="8" y="20" font-size="15">{} (logarithmic scale)</text>
{body}</svg>
"##,
        escape(title)
    )
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_of_zero_and_names_with_signs_make_no_broken_plot() {
        let spread = |value| Spread { median: value, min: value, max: value };
        let bar = |value| Bar {
            group: "a < b & c".to_owned(),
            label: "Plimsoll",
            spread: spread(value),
            text: String::new(),
        };
        let drawn = plot("title", &[bar(0.0), bar(1000.0)]);
        assert!(drawn.contains("a &lt; b &amp; c") && !drawn.contains("NaN") && !drawn.contains("inf"), "{drawn}");
    }
}
