//! The load line, drawn: a ship that lies deeper the more is at risk.

/// Height of the hull in lines.
const ROWS: usize = 6;
/// The line of the hull with the mark on it, counted from the deck.
const LINE: usize = 1;
/// Columns of the picture.
const WIDTH: usize = 44;

/// Everything above the hull stands on it.
const DECK: &str = "__________|_________|___________";

/// What is drawn.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Gauge {
    /// Share of the load line that is used, from 0; above 1 it is crossed.
    pub(crate) share: f64,
    /// With colours, and characters beyond ASCII.
    pub(crate) fancy: bool,
}

impl Gauge {
    /// The picture, line by line, without breaks. Beside the mark, `line` is written; at the surface, `load`.
    pub(crate) fn draw(&self, line: &str, load: &str) -> Vec<String> {
        let surface = self.surface();
        let mut rows = vec![String::new(), at(21, "|>"), at(17, "____|____"), at(6, DECK)];
        rows.extend((0..ROWS).map(|row| {
            let mut text = self.row(row, surface);
            let label = match row {
                LINE if row == surface => format!("{line}, reached: {load}"),
                LINE => line.to_owned(),
                row if row == surface => load.to_owned(),
                _ => String::new(),
            };
            if !label.is_empty() {
                text.push_str("  ");
                text.push_str(&label);
            }
            text
        }));
        rows
    }

    /// The line of the hull at which the water stands. Any load lifts it off the keel; only a load at the line reaches the mark.
    fn surface(&self) -> usize {
        let keel = ROWS - 1;
        if self.share > 1.0 {
            return 0;
        }
        if self.share >= 1.0 {
            return LINE;
        }
        // Between keel and mark, in steps of equal size.
        let steps = (keel - LINE - 1) as f64;
        keel - if self.share <= 0.0 { 0 } else { 1 + (self.share * steps) as usize }.min(keel - LINE - 1)
    }

    fn row(&self, row: usize, surface: usize) -> String {
        let inset = 6 + row;
        let inner = WIDTH - 2 * inset - 2;
        let water = if row < surface {
            ' '
        } else if !self.fancy {
            '~'
        } else if row == surface {
            '\u{2248}'
        } else {
            '\u{223c}'
        };
        let side = |count: usize| self.blue(&water.to_string().repeat(count), row >= surface);
        let hull = match row {
            LINE => mark(inner, self.fancy),
            _ if row == ROWS - 1 => "_".repeat(inner),
            _ => " ".repeat(inner),
        };
        format!("{}\\{hull}/{}", side(inset), side(inset))
    }

    fn blue(&self, text: &str, water: bool) -> String {
        if self.fancy && water { format!("\u{1b}[34m{text}\u{1b}[0m") } else { text.to_owned() }
    }
}

/// The mark in the middle of the hull, with the line through it.
fn mark(inner: usize, fancy: bool) -> String {
    let (sign, dash) = if fancy { ("\u{2296}", "\u{2500}") } else { ("(-)", "-") };
    let half = (inner - sign.chars().count()) / 2;
    let rest = inner - sign.chars().count() - half;
    format!("{}{sign}{}", dash.repeat(half), dash.repeat(rest))
}

fn at(column: usize, text: &str) -> String {
    format!("{}{text}", " ".repeat(column))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn surface(share: f64) -> usize {
        Gauge { share, fancy: false }.surface()
    }

    #[test]
    fn the_ship_lies_deeper_the_more_is_at_risk() {
        assert_eq!(surface(0.0), ROWS - 1, "empty, it floats on its keel");
        assert_eq!(surface(0.001), ROWS - 2, "any load shows");
        assert_eq!(surface(0.99), LINE + 1, "below the line");
        assert_eq!(surface(1.0), LINE);
        assert_eq!(surface(1.5), 0, "under the line");
        assert!((0..100).map(|at| surface(f64::from(at) / 100.0)).is_sorted_by(|a, b| a >= b));
    }

    #[test]
    fn without_a_terminal_it_is_plain_and_of_one_width() {
        let gauge = Gauge { share: 0.5, fancy: false };
        let rows = gauge.draw("line", "load");
        assert!(rows.iter().all(|row| row.is_ascii()));
        let hull = rows.iter().filter(|row| row.contains('\\'));
        assert!(hull.map(|row| row.split("  l").next().unwrap_or(row).trim_end().len()).all(|width| width <= WIDTH));
        assert!(rows.iter().any(|row| row.ends_with("  line")) && rows.iter().any(|row| row.ends_with("  load")));
    }
}
