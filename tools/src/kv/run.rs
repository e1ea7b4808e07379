//! Commands, done with a client.

use std::io::{self, BufRead, IsTerminal, Read, Write};
use std::time::{Duration, Instant, SystemTime};

use pinion_net::client::{Batch, BlockingClient, Condition, Expiry, Put, ScanOptions, Value, Written};
use pinion_net::duration;
use pinion_net::wire::Limits;
use serde_json::{Map, Value as Json, json};

use super::args::{Bounds, Bytes, Command, GlobalOptions, PutArgs, RangeArgs};
use super::failure::Failure;
use super::lines::Lines;
use super::output::{Output, escape, insert_bytes};

/// Time for requests that look at every key, unless told otherwise.
const LONG: Duration = Duration::from_secs(600);
/// Pairs from standard input that leave together.
const BATCH_PAIRS: usize = 1000;
const BATCH_BYTES: usize = 1 << 20;

/// Does commands.
pub struct Runner<'r, W> {
    /// The store.
    pub client: &'r BlockingClient,
    /// How to do them.
    pub options: &'r GlobalOptions,
    /// Where results go.
    pub output: Output<W>,
    /// Whether `-` may stand for standard input.
    pub may_read_stdin: bool,
}

impl<W: Write> Runner<'_, W> {
    /// Does one command.
    pub fn run(&mut self, command: Command) -> Result<(), Failure> {
        match command {
            Command::Put(put) => self.put(put),
            Command::Get { key, raw } => self.get(&key, raw),
            Command::Del { keys } => self.del(&keys),
            Command::Exists { key } => self.exists(&key),
            Command::Incr { key, by } => {
                let sum = self.client.increment(key, by)?;
                Ok(self.output.line(&sum.to_string(), json!({ "value": sum }))?)
            }
            Command::Mget { keys } => self.mget(&keys),
            Command::Mput { pairs, ttl } => self.mput(&pairs, ttl),
            Command::Scan(range) => self.scan(&range),
            Command::Keys(range) => self.keys(&range),
            Command::Count { bounds } => {
                let count = self.patient().count(&scan_options(&bounds))?;
                Ok(self.output.line(&count.to_string(), json!({ "count": count }))?)
            }
            Command::Clear { yes } => self.clear(yes),
            Command::Ping => self.ping(),
            Command::Info => {
                let info = self.client.info()?;
                let facts = serde_json::from_str(&info).unwrap_or(json!({ "info": info }));
                Ok(self.output.facts(&facts)?)
            }
        }
    }

    /// A client for requests that take long.
    fn patient(&self) -> BlockingClient {
        self.client.with_timeout(self.options.timeout.unwrap_or(LONG))
    }

    fn put(&mut self, put: PutArgs) -> Result<(), Failure> {
        let value = if put.value.is_stdin() { self.read_stdin()? } else { put.value.0 };
        let condition = match put.if_version {
            Some(version) => Condition::Version(version),
            None if put.if_absent => Condition::Absent,
            None => Condition::None,
        };
        let how = Put { expiry: expiry(put.ttl), condition, want_old: false };
        match self.client.put_with(&put.key, value, how)? {
            Written::Done { version, .. } => {
                Ok(self.output.line(&format!("version {version}"), json!({ "version": version }))?)
            }
            Written::NotFound => Err(Failure::NotMet("the key isn't there".to_owned())),
            Written::NotMet { current: None } => {
                Err(Failure::NotMet(format!("{} isn't there", escape(&put.key.0))))
            }
            Written::NotMet { current: Some(current) } => {
                let (key, version) = (escape(&put.key.0), current.version);
                Err(Failure::NotMet(format!("{key} is there at version {version}")))
            }
        }
    }

    fn read_stdin(&self) -> Result<Vec<u8>, Failure> {
        self.check_stdin()?;
        let limit = Limits::BYTES_MAX as u64;
        let mut value = Vec::new();
        io::stdin().lock().take(limit + 1).read_to_end(&mut value)?;
        if value.len() as u64 > limit {
            return Err(Failure::NotMet(format!(
                "standard input has over {limit} bytes, the limit of a value"
            )));
        }
        Ok(value)
    }

    fn check_stdin(&self) -> Result<(), Failure> {
        if self.may_read_stdin {
            return Ok(());
        }
        Err(Failure::Usage(
            "`-` reads standard input, which the shell itself reads; leave the shell for it".into(),
        ))
    }

    fn get(&mut self, key: &Bytes, raw: bool) -> Result<(), Failure> {
        let value = self.client.get(key)?.ok_or_else(|| not_found(key))?;
        if raw {
            self.output.to.write_all(&value.bytes)?;
        } else {
            self.output.value(&key.0, &value)?;
        }
        Ok(())
    }

    fn del(&mut self, keys: &[Bytes]) -> Result<(), Failure> {
        let mut missing = Vec::new();
        for key in keys {
            let deleted = self.client.delete(key)?;
            let text =
                if keys.len() == 1 { "deleted".to_owned() } else { format!("deleted {}", escape(&key.0)) };
            if deleted || self.output.json {
                let mut json = Map::new();
                insert_bytes(&mut json, "key", &key.0);
                json.insert("deleted".to_owned(), Json::Bool(deleted));
                self.output.line(&text, Json::Object(json))?;
            }
            if !deleted {
                missing.push(key);
            }
        }
        all_found(missing)
    }

    fn exists(&mut self, key: &Bytes) -> Result<(), Failure> {
        let meta = self.client.exists(key)?.ok_or_else(|| not_found(key))?;
        let expires = match meta.expires_at_ms {
            Some(ms) => format!(", expires in {}", duration::display_ms(ms.saturating_sub(now_ms()))),
            None => String::new(),
        };
        let json = json!({ "exists": true, "version": meta.version, "expires_at_ms": meta.expires_at_ms });
        Ok(self.output.line(&format!("version {}{expires}", meta.version), json)?)
    }

    fn mget(&mut self, keys: &[Bytes]) -> Result<(), Failure> {
        let values: Vec<Option<Value>> = self.client.get_many(keys)?;
        let mut items = self.output.items(now_ms());
        for (key, value) in keys.iter().zip(&values) {
            items.push(&key.0, value.as_ref())?;
        }
        items.finish()?;
        let missing = keys.iter().zip(&values).filter(|(_, value)| value.is_none());
        all_found(missing.map(|(key, _)| key).collect())
    }

    fn mput(&mut self, pairs: &[Bytes], ttl: Option<Duration>) -> Result<(), Failure> {
        let written = match pairs {
            [only] if only.is_stdin() => self.mput_lines(ttl)?,
            pairs if pairs.len() % 2 == 0 => {
                let mut batch = Batch::new();
                for pair in pairs.chunks_exact(2) {
                    batch.put_expiring(&pair[0], &pair[1], expiry(ttl))?;
                }
                self.client.write(&batch)?;
                batch.len() as u64
            }
            _ => {
                return Err(Failure::Usage(
                    "mput takes keys and values in turn; the last key has none".into(),
                ));
            }
        };
        let text = if written == 1 { "1 key written".to_owned() } else { format!("{written} keys written") };
        Ok(self.output.line(&text, json!({ "written": written }))?)
    }

    /// Lines of key, tab, value, in batches: a store that stops in the middle has a prefix of them per partition.
    fn mput_lines(&mut self, ttl: Option<Duration>) -> Result<u64, Failure> {
        self.check_stdin()?;
        let mut written = 0;
        let mut lines = Lines::new(io::stdin().lock());
        match self.mput_each(&mut lines, ttl, &mut written) {
            Ok(()) => Ok(written),
            Err(cause) => Err(Failure::Partly { written, cause: Box::new(cause) }),
        }
    }

    fn mput_each(
        &self,
        lines: &mut Lines<impl BufRead>,
        ttl: Option<Duration>,
        written: &mut u64,
    ) -> Result<(), Failure> {
        let mut batch = Batch::new();
        while let Some(line) = lines.next_line()? {
            let Some(tab) = line.iter().position(|&byte| byte == b'\t') else {
                let text = format!("line {} has no tab between key and value", lines.number());
                return Err(Failure::Usage(text));
            };
            batch.put_expiring(&line[..tab], &line[tab + 1..], expiry(ttl))?;
            if batch.len() == BATCH_PAIRS || batch.bytes() > BATCH_BYTES {
                *written += self.write(&mut batch)?;
            }
        }
        *written += self.write(&mut batch)?;
        Ok(())
    }

    fn write(&self, batch: &mut Batch) -> Result<u64, Failure> {
        if !batch.is_empty() {
            self.client.write(batch)?;
        }
        let written = batch.len() as u64;
        batch.clear();
        Ok(written)
    }

    fn scan(&mut self, range: &RangeArgs) -> Result<(), Failure> {
        let scan = ScanOptions { limit: range.limit, ..scan_options(&range.bounds) };
        let mut items = self.output.items(now_ms());
        for item in self.client.scan(scan) {
            let item = item?;
            items.push(&item.key, Some(&item.value))?;
        }
        Ok(items.finish()?)
    }

    fn keys(&mut self, range: &RangeArgs) -> Result<(), Failure> {
        let scan = ScanOptions { limit: range.limit, keys_only: true, ..scan_options(&range.bounds) };
        for item in self.client.scan(scan) {
            self.output.key(&item?)?;
        }
        Ok(())
    }

    fn clear(&mut self, yes: bool) -> Result<(), Failure> {
        if !yes {
            self.ask_to_clear()?;
        }
        self.patient().clear()?;
        Ok(self.output.line("cleared", json!({ "cleared": true }))?)
    }

    fn ask_to_clear(&mut self) -> Result<(), Failure> {
        if !io::stdin().is_terminal() || !io::stderr().is_terminal() {
            let text =
                "clear removes every key, and there is no terminal to ask on; add --yes if that is meant";
            return Err(Failure::Usage(text.to_owned()));
        }
        eprint!("Remove every key of keyspace {}? [y/N] ", self.options.keyspace);
        let mut answer = String::new();
        io::stdin().lock().read_line(&mut answer)?;
        match answer.trim() {
            "y" | "Y" | "yes" => Ok(()),
            _ => Err(Failure::NotMet("nothing was removed".to_owned())),
        }
    }

    fn ping(&mut self) -> Result<(), Failure> {
        let since = Instant::now();
        self.client.ping()?;
        let ms = since.elapsed().as_micros() as f64 / 1000.0;
        Ok(self.output.line(&format!("pong after {ms:.3} ms"), json!({ "ms": ms }))?)
    }
}

fn not_found(key: &Bytes) -> Failure {
    Failure::NotFound(escape(&key.0))
}

fn all_found(missing: Vec<&Bytes>) -> Result<(), Failure> {
    if missing.is_empty() {
        return Ok(());
    }
    let names: Vec<String> = missing.into_iter().map(|key| escape(&key.0)).collect();
    Err(Failure::NotFound(names.join(", ")))
}

fn now_ms() -> u64 {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(now.as_millis()).unwrap_or(u64::MAX)
}

fn expiry(ttl: Option<Duration>) -> Expiry {
    ttl.map_or(Expiry::Never, |ttl| Expiry::After(u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX)))
}

fn scan_options(bounds: &Bounds) -> ScanOptions {
    let Bounds { prefix, from, to } = bounds.clone();
    ScanOptions { prefix: prefix.0, from: from.0, to: to.0, ..ScanOptions::default() }
}
