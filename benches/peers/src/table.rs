//! Columns as wide as what is in them: the first to the left, the others to the right. Pure.

use std::fmt::Write as _;

pub struct Table {
    rows: Vec<Row>,
    columns: usize,
}

enum Row {
    Cells(Vec<String>),
    /// A name, and why there are no figures.
    Remark(String, String),
}

impl Table {
    pub fn new<const N: usize>(headers: [&str; N]) -> Self {
        Table { rows: vec![Row::Cells(headers.map(str::to_owned).to_vec())], columns: N }
    }

    pub fn row<const N: usize>(&mut self, cells: [String; N]) {
        self.rows.push(Row::Cells(cells.to_vec()));
    }

    pub fn remark(&mut self, name: String, remark: String) {
        self.rows.push(Row::Remark(name, remark));
    }

    pub fn text(&self) -> String {
        let mut text = String::new();
        let widths: Vec<usize> = (0..self.columns).map(|column| self.width(column)).collect();
        for row in &self.rows {
            let first = match row {
                Row::Cells(cells) => &cells[0],
                Row::Remark(name, _) => name,
            };
            let mut line = format!("  {first:<width$}", width = widths[0]);
            match row {
                Row::Cells(cells) => {
                    for (cell, width) in cells.iter().zip(&widths).skip(1) {
                        line.push_str("  ");
                        line.extend(std::iter::repeat_n(' ', width - cell.chars().count()));
                        line.push_str(cell);
                    }
                }
                Row::Remark(_, remark) => line.extend(["  ", remark]),
            }
            writeln!(text, "{}", line.trim_end()).expect("a string takes everything");
        }
        text
    }

    fn width(&self, column: usize) -> usize {
        let cells = self.rows.iter().filter_map(|row| match row {
            Row::Cells(cells) => cells.get(column),
            Row::Remark(name, _) => (column == 0).then_some(name),
        });
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
    }
}

/// With a comma every three digits.
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned() {
        let mut table = Table::new(["who", "µs"]);
        table.row(["a".to_owned(), "1,000".to_owned()]);
        table.remark("somebody".to_owned(), "n/a".to_owned());
        assert_eq!(table.text(), "  who          µs\n  a         1,000\n  somebody  n/a\n");
    }

    #[test]
    fn digits_are_grouped_by_three() {
        assert_eq!([0, 999, 1000, 1234567].map(grouped), ["0", "999", "1,000", "1,234,567"]);
    }
}
