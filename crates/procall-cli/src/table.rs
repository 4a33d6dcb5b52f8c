//! Aligned columns.

use crate::plain;
use crate::style::Style;

/// Rows under headings. On a terminal the last column is cut at its edge, elsewhere nothing is.
pub(crate) struct Table {
    headings: &'static [&'static str],
    rows: Vec<Vec<String>>,
}

impl Table {
    pub(crate) fn new(headings: &'static [&'static str]) -> Self {
        Self { headings, rows: Vec::new() }
    }

    /// What comes from a service may have anything in it; a line break or an escape would not stay in its cell.
    pub(crate) fn row(&mut self, cells: Vec<String>) {
        let in_cell = |cell: String| {
            cell.chars().map(|c| if plain::is_control(c) { ' ' } else { c }).collect::<String>()
        };
        self.rows.push(cells.into_iter().map(in_cell).collect());
    }

    /// The lines, without ends.
    pub(crate) fn lines(&self, style: &Style) -> Vec<String> {
        let widths: Vec<usize> = (0..self.headings.len())
            .map(|at| {
                let cells = self.rows.iter().filter_map(|row| row.get(at));
                let longest = cells.map(|cell| width(cell)).max().unwrap_or_default();
                longest.max(width(self.headings[at]))
            })
            .collect();
        let columns = style.columns();
        let line = |cells: &[String]| {
            let mut line = String::new();
            for (at, cell) in cells.iter().enumerate() {
                line.push_str(cell);
                line.extend(std::iter::repeat_n(' ', widths[at] - width(cell) + 2));
            }
            cut(line.trim_end(), columns)
        };
        let headings: Vec<String> = self.headings.iter().map(|&text| text.to_owned()).collect();
        let mut lines = vec![style.out.dim(&line(&headings))];
        lines.extend(self.rows.iter().map(|row| line(row)));
        lines
    }
}

fn width(text: &str) -> usize {
    text.chars().count()
}

pub(crate) fn cut(line: &str, columns: Option<usize>) -> String {
    match columns {
        Some(columns) if width(line) > columns && columns > 1 => {
            line.chars().take(columns - 1).chain(['…']).collect()
        }
        _ => line.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned_and_nothing_is_cut_without_a_terminal() {
        let mut table = Table::new(&["NAME", "TEXT"]);
        table.row(vec!["a".into(), "sh\nrt".into()]);
        table.row(vec!["longer".into(), "x".repeat(300)]);
        // Tests have no terminal on standard output, or one that shows the colours; the text is what counts.
        let mut style = Style::new(false, false, false);
        style.out.terminal = false;
        style.out.colour = false;
        let lines = table.lines(&style);
        assert_eq!(lines[0], "NAME    TEXT");
        assert_eq!(lines[1], "a       sh rt");
        assert_eq!(lines[2].len(), 308);
    }

    #[test]
    fn a_line_that_is_too_long_for_the_terminal_says_so() {
        assert_eq!(cut("abcdef", Some(4)), "abc…");
        assert_eq!(cut("abcd", Some(4)), "abcd");
    }
}
