//! Where results go: lines of text, or JSON.

use super::error::ToolError;
use serde::Serialize;
use std::fmt::Display;
use std::io::Write;

/// Standard output, or what stands for it in tests.
pub struct Output<'w> {
    writer: &'w mut dyn Write,
    json: bool,
}

impl<'w> Output<'w> {
    /// Writes text, or with `json` JSON.
    pub fn new(writer: &'w mut dyn Write, json: bool) -> Output<'w> {
        Output { writer, json }
    }

    /// Whether JSON is wanted.
    pub fn is_json(&self) -> bool {
        self.json
    }

    /// Writes a line of text.
    pub fn line(&mut self, line: impl Display) -> Result<(), ToolError> {
        writeln!(self.writer, "{line}").map_err(ToolError::Output)
    }

    /// Writes lines of text.
    pub fn lines(&mut self, lines: Vec<String>) -> Result<(), ToolError> {
        lines.into_iter().try_for_each(|line| self.line(line))
    }

    /// Writes a value as one line of JSON.
    pub fn json(&mut self, value: &impl Serialize) -> Result<(), ToolError> {
        let text = serde_json::to_string(value).map_err(|error| ToolError::Output(error.into()))?;
        self.line(text)
    }
}
