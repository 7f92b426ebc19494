//! The table: sections of rows, printed as they come and written as Markdown at the end.

use std::fmt::Write as _;

/// All sections that were measured.
#[derive(Default)]
pub(crate) struct Report {
    sections: Vec<Section>,
}

struct Section {
    title: String,
    headings: Vec<String>,
    rows: Vec<Vec<String>>,
    notes: Vec<String>,
}

/// The headings of a section whose rows have targets.
pub(crate) const TARGETED: [&str; 4] = ["", "measured", "target", ""];

impl Report {
    /// Begins a section, and prints the one before it.
    pub(crate) fn section(&mut self, title: &str, headings: &[&str]) {
        self.end();
        self.sections.push(Section {
            title: title.into(),
            headings: headings.iter().map(ToString::to_string).collect(),
            rows: Vec::new(),
            notes: Vec::new(),
        });
    }

    /// Adds a row to the last section.
    pub(crate) fn row(&mut self, cells: Vec<String>) {
        if let Some(section) = self.sections.last_mut() {
            section.rows.push(cells);
        }
    }

    /// Adds a row without a target to the last section, whose headings are [`TARGETED`].
    pub(crate) fn figure(&mut self, what: &str, measured: String) {
        self.row(vec![what.into(), measured, String::new(), String::new()]);
    }

    /// Adds a row with a target to the last section, whose headings are [`TARGETED`].
    pub(crate) fn target(&mut self, what: &str, measured: String, target: String, met: bool) {
        self.row(vec![what.into(), measured, target, verdict(met)]);
    }

    /// Adds a sentence to the last section.
    pub(crate) fn note(&mut self, text: String) {
        if let Some(section) = self.sections.last_mut() {
            section.notes.push(text);
        }
    }

    /// Prints the last section.
    pub(crate) fn end(&self) {
        if let Some(section) = self.sections.last() {
            println!("{}", section.text());
        }
    }

    pub(crate) fn markdown(&self) -> String {
        let mut text = String::from(
            "# Benchmarks\n\nWritten by `cargo bench --bench compare -- --markdown docs/benchmarks.md`.\n",
        );
        for section in &self.sections {
            text.push_str(&section.markdown());
        }
        text
    }
}

pub(crate) fn verdict(met: bool) -> String {
    if met { "met" } else { "MISSED" }.into()
}

impl Section {
    /// The widest cell of each column, in characters.
    fn widths(&self) -> Vec<usize> {
        let mut widths = vec![0; self.headings.len()];
        for row in self.rows.iter().chain([&self.headings]) {
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = cell.chars().count().max(*width);
            }
        }
        widths
    }

    /// The first column stands at the left, figures at the right.
    fn text(&self) -> String {
        let widths = self.widths();
        let mut text = format!("== {}\n", self.title);
        let has_headings = self.headings.iter().any(|heading| !heading.is_empty());
        for row in (has_headings.then_some(&self.headings).into_iter()).chain(&self.rows) {
            let mut line = String::new();
            for (column, (cell, width)) in row.iter().zip(&widths).enumerate() {
                // Writing to a `String` cannot fail.
                let _ = if column == 0 {
                    write!(line, "{cell:<width$}")
                } else {
                    write!(line, "  {cell:>width$}")
                };
            }
            let _ = writeln!(text, "{}", line.trim_end());
        }
        for note in &self.notes {
            let _ = writeln!(text, "- {note}");
        }
        text
    }

    fn markdown(&self) -> String {
        let mut text = format!("\n## {}\n\n", self.title);
        if !self.rows.is_empty() {
            let line = |cells: &[String]| format!("| {} |\n", cells.join(" | "));
            let mut rule = vec!["---:".to_owned(); self.headings.len()];
            rule[0] = "---".into();
            text.push_str(&line(&self.headings));
            text.push_str(&line(&rule));
            for row in &self.rows {
                text.push_str(&line(row));
            }
        }
        if !self.rows.is_empty() && !self.notes.is_empty() {
            text.push('\n');
        }
        for note in &self.notes {
            let _ = writeln!(text, "- {note}");
        }
        text
    }
}
