//! Looks at the server's process and memory all the time.

use super::anatomy::{self, Anatomy};
use super::stage::Stage;
use crate::kvd::Kvd;
use std::os::unix::process::ExitStatusExt;
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

/// Between two looks.
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// What it consists of is taken down again when there is more of it by such a part of the limit.
const CLOSER_PART: u64 = 100;

/// How long the server may take to end when it is asked to.
const END_MAX: Duration = Duration::from_secs(30);

/// How long it may take until a server that was killed is gone.
const DYING_MAX: Duration = Duration::from_secs(5);

/// See the module.
pub struct Monitor<'a> {
    stage: &'a Stage,
    kvd: Kvd,
    /// More anonymous memory than that, and the server is ended: where no cgroup does it, or before all memory is used up.
    limit_kib: u64,
    /// Anonymous memory now, at its most, at its most before the attacks, and after them.
    pub now_kib: u64,
    pub peak_kib: u64,
    /// What it was made of at its most, and what the server said of it thereafter.
    anatomy: Option<Anatomy>,
    looked_kib: u64,
    accounts: Option<Receiver<Option<String>>>,
    pub before_kib: u64,
    /// None if the attacks didn't end well.
    pub after_kib: Option<u64>,
    /// How long it took to come back, if it did.
    pub settled_in: Option<Duration>,
    /// How the server ended before it was asked to.
    pub end: Option<String>,
}

impl<'a> Monitor<'a> {
    /// Of a server that is ended when it exceeds so much.
    pub fn new(stage: &'a Stage, kvd: Kvd, limit_bytes: u64) -> Monitor<'a> {
        Monitor {
            stage,
            kvd,
            limit_kib: limit_bytes >> 10,
            now_kib: 0,
            peak_kib: 0,
            anatomy: None,
            looked_kib: 0,
            accounts: None,
            before_kib: 0,
            after_kib: None,
            settled_in: None,
            end: None,
        }
    }

    /// Looks until something holds; ends the stage if the server or an honest client has ended.
    pub fn watch(&mut self, is_over: impl Fn() -> bool, is_at_work: &dyn Fn() -> bool) {
        while !is_over() {
            if self.is_lost(is_at_work) {
                self.stage.fail();
            }
            std::thread::sleep(LOOK_EVERY);
        }
    }

    /// Waits until the memory has come back to the most that it was under ordinary use, or half of the budget if that was less;
    /// a tenth of the budget aside.
    pub fn settle(&mut self, most: Duration, is_at_work: &dyn Fn() -> bool) {
        // The limit is one and a half times the budget.
        let (began, half_kib, tenth_kib) = (Instant::now(), self.limit_kib / 3, self.limit_kib / 15);
        while !self.is_lost(is_at_work) {
            self.after_kib = Some(self.now_kib);
            if self.now_kib <= self.before_kib.max(half_kib) + tenth_kib {
                self.settled_in = Some(began.elapsed());
                return;
            }
            if began.elapsed() >= most {
                return;
            }
            std::thread::sleep(LOOK_EVERY);
        }
        self.after_kib = None;
    }

    /// Looks whether the server has gone, since the honest clients complain: dying takes a moment.
    pub fn look_for_end(&mut self) {
        let until = Instant::now() + DYING_MAX;
        while Instant::now() < until && !self.is_lost(&|| true) {
            std::thread::sleep(LOOK_EVERY);
        }
    }

    /// One look; whether nothing more can be learnt.
    fn is_lost(&mut self, is_at_work: &dyn Fn() -> bool) -> bool {
        if self.end.is_none()
            && let Some(status) = self.kvd.status()
        {
            let by = status.signal().map(|signal| format!("by signal {signal}"));
            self.end = Some(by.unwrap_or_else(|| format!("by itself, with {status}")));
        }
        if let Some(kib) = anonymous_kib(self.kvd.pid()).filter(|_| self.end.is_none()) {
            self.now_kib = kib;
            if kib > self.peak_kib {
                self.peak_kib = kib;
                self.look_closely();
            }
            self.stage.saw_memory(kib);
            if kib > self.limit_kib {
                self.kvd.signal(libc::SIGKILL);
                self.end = Some(format!("by us: it had {} MiB of anonymous memory", kib >> 10));
            }
        }
        self.end.is_some() || !is_at_work()
    }

    /// There was never so much memory. Where that may come near what is allowed, takes down what it consists of.
    fn look_closely(&mut self) {
        // The limit is one and a half times the budget.
        if self.peak_kib < (self.limit_kib / 2).max(self.looked_kib + self.limit_kib / CLOSER_PART) {
            return;
        }
        self.looked_kib = self.peak_kib;
        self.anatomy = Anatomy::of(self.kvd.pid());
        let (sender, receiver) = channel();
        let target = self.stage.target;
        std::thread::spawn(move || sender.send(anatomy::accounts(target)));
        self.accounts = Some(receiver);
    }

    /// What the memory was made of at its most.
    pub fn describe_peak(&self) -> Option<String> {
        let told = self.accounts.as_ref().and_then(|accounts| accounts.recv().ok().flatten());
        let told = told.unwrap_or_else(|| "no answer".to_owned());
        self.anatomy.map(|anatomy| format!("at its most: {anatomy}; its own accounts just after: {told}"))
    }

    /// Asks the server to end while nobody reads its log; how long that took, or what was wrong with it.
    pub fn stop(mut self) -> Result<Duration, String> {
        self.stage.fill_log();
        let began = Instant::now();
        self.stage.signal(libc::SIGTERM);
        loop {
            match self.kvd.status() {
                Some(status) if status.success() => return Ok(began.elapsed()),
                Some(status) => return Err(format!("after SIGTERM it ended with {status}")),
                None if began.elapsed() > END_MAX => {
                    let seconds = END_MAX.as_secs();
                    return Err(format!("{seconds} s after SIGTERM, with its log unread, it hasn't ended"));
                }
                None => std::thread::sleep(LOOK_EVERY),
            }
        }
    }
}

/// RssAnon of a process.
fn anonymous_kib(pid: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:"))?;
    line.split_whitespace().next()?.parse().ok()
}
