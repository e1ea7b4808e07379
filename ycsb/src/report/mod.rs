//! What a run is reported as: text for people, JSON for programs, YCSB's lines for its tools, and a picture.

mod figures;
mod rate;
mod summary;
mod svg;
pub mod table;
mod text;
mod ycsb;

pub use rate::Rate;
pub use summary::{Context, KindSummary, Summary};

/// The form of a report.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Form {
    /// A table.
    Text,
    /// Everything, with the timeline.
    Json,
    /// YCSB's own lines.
    Ycsb,
}

impl Summary {
    /// Writes it in a form.
    pub fn write(&self, form: Form) -> String {
        match form {
            Form::Text => text::write(self),
            Form::Ycsb => ycsb::write(self),
            Form::Json => {
                let mut json = serde_json::to_string_pretty(self)
                    .expect("a summary has only text keys and finite numbers");
                json.push('\n');
                json
            }
        }
    }

    /// One line.
    pub fn line(&self) -> String {
        text::line(self)
    }

    /// Draws the timeline.
    pub fn svg(&self) -> String {
        svg::draw(self)
    }
}

#[cfg(test)]
mod tests;
