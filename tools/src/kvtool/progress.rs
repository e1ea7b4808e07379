//! A progress bar on standard error, where that is a terminal.

use indicatif::{ProgressBar, ProgressStyle};

/// Shows how far a long command is. Nothing is shown where standard error is no terminal.
#[derive(Debug)]
pub struct Progress {
    bar: ProgressBar,
}

impl Progress {
    /// Begins: `total` bytes are to be worked on.
    pub fn bytes(total: u64) -> Progress {
        let bar = ProgressBar::new(total);
        let style = "{msg:24!} {bar:30} {bytes:>10} of {total_bytes}, {eta} left";
        bar.set_style(ProgressStyle::with_template(style).expect("the template is a constant that parses"));
        Progress { bar }
    }

    /// Begins something of unknown length.
    pub fn open_ended() -> Progress {
        Progress { bar: ProgressBar::new_spinner() }
    }

    /// Says what is being worked on.
    pub fn on(&self, what: impl Into<String>) {
        self.bar.set_message(what.into());
        self.bar.tick();
    }

    /// So many bytes more are done.
    pub fn advance(&self, bytes: u64) {
        self.bar.inc(bytes);
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
