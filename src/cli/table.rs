//! Small text tables.

/// Where a column's text stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Align {
    /// Words.
    Left,
    /// Numbers.
    Right,
}

/// Rows under a head line, columns two spaces apart.
#[derive(Debug, Clone)]
pub struct Table {
    columns: Vec<(String, Align)>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// Returns an empty table with these columns.
    pub fn new(columns: &[(&str, Align)]) -> Self {
        Self {
            columns: columns.iter().map(|(title, align)| ((*title).to_owned(), *align)).collect(),
            rows: Vec::new(),
        }
    }

    /// Adds a row; cells beyond the columns are left out, missing ones are empty. Names must be escaped
    /// before.
    pub fn row(&mut self, cells: Vec<String>) {
        self.rows.push(cells);
    }

    /// Returns how many rows there are.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Tells whether there is no row.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Returns the table as lines, each ended, none with spaces at its end.
    pub fn render(&self) -> String {
        let head: Vec<String> = self.columns.iter().map(|(title, _)| title.clone()).collect();
        let mut widths: Vec<usize> = head.iter().map(|title| width(title)).collect();
        for row in &self.rows {
            for (wide, cell) in widths.iter_mut().zip(row) {
                *wide = (*wide).max(width(cell));
            }
        }
        let mut text = String::new();
        for row in std::iter::once(&head).chain(&self.rows) {
            text.push_str(self.line(row, &widths).trim_end());
            text.push('\n');
        }
        text
    }

    fn line(&self, cells: &[String], widths: &[usize]) -> String {
        let mut line = String::new();
        for (index, (_, align)) in self.columns.iter().enumerate() {
            let cell = cells.get(index).map_or("", String::as_str);
            let gap = " ".repeat(widths[index] - width(cell));
            if index > 0 {
                line.push_str("  ");
            }
            match align {
                Align::Left => line.extend([cell, &gap]),
                Align::Right => line.extend([gap.as_str(), cell]),
            }
        }
        line
    }
}

fn width(text: &str) -> usize {
    text.chars().count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_end_in_one_column_and_no_line_ends_in_spaces() {
        let mut table = Table::new(&[("Id", Align::Left), ("Size", Align::Right), ("Host", Align::Left)]);
        table.row(vec!["3f9a12c0".into(), "9".into(), "größe".into()]);
        table.row(vec!["7".into(), "1000000".into()]);
        assert_eq!(
            table.render(),
            "Id           Size  Host\n\
             3f9a12c0        9  größe\n\
             7         1000000\n"
        );
    }
}
