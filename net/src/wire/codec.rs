//! Requests to frames and back.

use zerocopy::IntoBytes;
use zerocopy::little_endian::{U16, U32, U64};

use super::error::WireError;
use super::frame::{Frame, append};
use super::header::{Flags, Header, Level, Opcode};
use super::hello::Hello;
use super::limits::Limits;
use super::lists::{BatchOps, KeyList, check_key};
use super::once::Once;
use super::request::{Command, Condition, Expiry, Range, RangeHead, Request, Scan};
use super::take::take;

impl<'a> Request<'a> {
    /// Types a frame. The frame's bounds are sound whatever comes out: after an error the request is
    /// answered with it and the connection goes on.
    pub fn decode(frame: &Frame<'a>, limits: &Limits) -> Result<Request<'a>, WireError> {
        if !frame.is_intact() {
            return Err(WireError::BodyChecksum);
        }
        let header = frame.header;
        let Some(opcode) = Opcode::from_byte(header.opcode) else {
            return Err(WireError::UnknownOpcode { opcode: header.opcode });
        };
        let flags = frame.flags();
        let unknown = flags.beyond(allowed_flags(opcode));
        if unknown != Flags::NONE {
            return Err(WireError::UnknownFlags { opcode: header.opcode, flags: unknown.0 });
        }
        if header.reserved != 0 {
            return Err(WireError::Malformed("the header's reserved byte isn't zero"));
        }
        let Some(level) = Level::from_byte(header.level) else {
            return Err(WireError::Malformed("the header's level is none of 0 (default) to 4 (all)"));
        };
        let mut frame = *frame;
        let mut once = None;
        if flags.has(Flags::ONCE) {
            let (which, value) = Once::decode(flags, level, frame.value)?;
            (once, frame.value) = (Some(which), value);
        } else if flags.has(Flags::AGAIN) {
            return Err(WireError::Malformed("AGAIN is set without ONCE"));
        }
        check_parts(opcode, &frame)?;
        let command = decode_command(opcode, &frame, limits)?;
        Ok(Request {
            id: frame.id(),
            level,
            keyspace: header.keyspace.get(),
            deadline_ms: header.deadline_ms.get(),
            once,
            command,
        })
    }

    /// Appends the request as a frame, with a checksum of key and value if `checked`. If it breaks a limit, nothing is appended.
    pub fn encode(&self, limits: &Limits, checked: bool, out: &mut Vec<u8>) -> Result<(), WireError> {
        let opcode = self.command.opcode();
        let mut flags = Flags::NONE.with_if(checked, Flags::CHECKED);
        let mut once = None;
        if let Some(write) = self.once {
            once = Some(write.encode(opcode, self.level)?);
            flags = flags.with(write.flags());
        }
        let mut header = Header::new(opcode as u8, flags, self.id);
        header.level = self.level as u8;
        header.keyspace = U16::new(self.keyspace);
        header.deadline_ms = U32::new(self.deadline_ms);
        let key = self.command.key();
        if let Some(key) = key {
            check_key(key)?;
        }
        let key = key.unwrap_or_default();
        match self.command {
            Command::Hello(hello) => {
                header.argument = U64::new(hello.features.0);
                let head = hello.head()?;
                let client = hello.client.map(|client| client.get().to_le_bytes());
                let client = client.as_ref().map_or(&b""[..], |bytes| bytes);
                let parts = [head.as_bytes(), hello.name.as_bytes(), hello.auth, client];
                return self.append(limits, out, header, key, &parts);
            }
            Command::Scan(Scan { range, cursor, .. }) => {
                self.set_words(&mut header);
                return self.append_range(limits, out, header, &range, cursor);
            }
            Command::Count(range) => return self.append_range(limits, out, header, &range, b""),
            _ => self.set_words(&mut header),
        }
        let value = match self.command {
            Command::Ping { payload } => payload,
            Command::Put { value, .. } => value,
            Command::MultiGet { keys } => keys.bytes(),
            Command::Batch { ops } => ops.bytes(),
            _ => b"",
        };
        match once {
            None => self.append(limits, out, header, key, &[value]),
            Some(once) => self.append(limits, out, header, key, &[once.as_bytes(), value]),
        }
    }

    /// Fills in flags, argument and expiry.
    fn set_words(&self, header: &mut Header) {
        let mut flags = Flags(header.flags.get());
        match self.command {
            Command::Put { expiry, condition, want_old, .. } => {
                flags = flags.with_if(want_old, Flags::WANT_OLD);
                flags = set_condition(header, flags, condition);
                flags = set_expiry(header, flags, expiry);
            }
            Command::Delete { condition, want_old, want_existed, .. } => {
                flags = flags.with_if(want_old, Flags::WANT_OLD).with_if(want_existed, Flags::WANT_EXISTED);
                flags = set_condition(header, flags, condition);
            }
            Command::Increment { by, .. } => header.argument = U64::new(by as u64),
            Command::Expire { expiry, .. } => flags = set_expiry(header, flags, expiry),
            Command::MultiGet { keys } => header.argument = U64::new(keys.len() as u64),
            Command::Batch { ops } => header.argument = U64::new(ops.len() as u64),
            Command::Scan(scan) => {
                header.argument = U64::new(scan.limit.into());
                flags = flags.with_if(scan.keys_only, Flags::KEYS_ONLY);
            }
            _ => {}
        }
        header.flags = U16::new(flags.0);
    }

    fn append(
        &self,
        limits: &Limits,
        out: &mut Vec<u8>,
        header: Header,
        key: &[u8],
        value: &[&[u8]],
    ) -> Result<(), WireError> {
        let bytes: usize = value.iter().map(|part| part.len()).sum();
        limits.check_value_part(self.id, header.opcode, Flags(header.flags.get()), bytes)?;
        append(out, header, key, value);
        Ok(())
    }

    fn append_range(
        &self,
        limits: &Limits,
        out: &mut Vec<u8>,
        header: Header,
        range: &Range<'_>,
        cursor: &[u8],
    ) -> Result<(), WireError> {
        let mut lengths = [U16::ZERO; 3];
        for (length, key) in lengths.iter_mut().zip([range.from, range.to, range.prefix]) {
            let Ok(bytes) = u16::try_from(key.len()) else {
                return Err(WireError::KeyLength { bytes: key.len() });
            };
            *length = U16::new(bytes);
        }
        let [from_len, to_len, prefix_len] = lengths;
        let cursor_len = U32::new(u32::try_from(cursor.len()).unwrap_or(u32::MAX));
        let head = RangeHead {
            from_len,
            to_len,
            prefix_len,
            reserved: U16::ZERO,
            cursor_len,
            reserved_too: U32::ZERO,
        };
        let parts = [head.as_bytes(), range.from, range.to, range.prefix, cursor];
        self.append(limits, out, header, b"", &parts)
    }
}

fn set_condition(header: &mut Header, flags: Flags, condition: Condition) -> Flags {
    match condition {
        Condition::None => flags,
        Condition::Absent => flags.with(Flags::IF_ABSENT),
        Condition::Present => flags.with(Flags::IF_PRESENT),
        Condition::Version(version) => {
            header.argument = U64::new(version);
            flags.with(Flags::IF_VERSION)
        }
    }
}

fn set_expiry(header: &mut Header, flags: Flags, expiry: Expiry) -> Flags {
    let (flag, ms) = match expiry {
        Expiry::Never => (Flags::NONE, 0),
        Expiry::After(ms) => (Flags::EXPIRE_AFTER, ms),
        Expiry::At(ms) => (Flags::EXPIRE_AT, ms),
        Expiry::Keep => (Flags::EXPIRE_KEEP, 0),
    };
    header.expiry = U64::new(ms);
    flags.with(flag)
}

fn allowed_flags(opcode: Opcode) -> Flags {
    const CONDITIONS: Flags = Flags::IF_ABSENT.with(Flags::IF_PRESENT).with(Flags::IF_VERSION);
    const TIMES: Flags = Flags::EXPIRE_AFTER.with(Flags::EXPIRE_AT);
    const ONCE: Flags = Flags::ONCE.with(Flags::AGAIN);
    Flags::CHECKED.with(match opcode {
        Opcode::Put => CONDITIONS.with(TIMES).with(Flags::EXPIRE_KEEP).with(Flags::WANT_OLD).with(ONCE),
        Opcode::Delete => CONDITIONS.with(Flags::WANT_OLD).with(Flags::WANT_EXISTED).with(ONCE),
        Opcode::Expire => TIMES.with(ONCE),
        Opcode::Increment | Opcode::Batch | Opcode::Clear => ONCE,
        Opcode::Scan => Flags::KEYS_ONLY,
        _ => Flags::NONE,
    })
}

/// Whether key and value are there where the opcode has them, and only there.
fn check_parts(opcode: Opcode, frame: &Frame<'_>) -> Result<(), WireError> {
    let has_key = matches!(
        opcode,
        Opcode::Get | Opcode::Exists | Opcode::Put | Opcode::Delete | Opcode::Increment | Opcode::Expire
    );
    if has_key {
        check_key(frame.key)?;
    } else if !frame.key.is_empty() {
        return Err(WireError::Malformed("this request has no key part"));
    }
    let has_value = !has_key && !matches!(opcode, Opcode::Info | Opcode::Clear) || opcode == Opcode::Put;
    if !has_value && !frame.value.is_empty() {
        return Err(WireError::Malformed("this request has no value part"));
    }
    Ok(())
}

fn decode_command<'a>(opcode: Opcode, frame: &Frame<'a>, limits: &Limits) -> Result<Command<'a>, WireError> {
    let Frame { header, key, value, .. } = *frame;
    let flags = frame.flags();
    let want_old = flags.has(Flags::WANT_OLD);
    Ok(match opcode {
        Opcode::Hello => Command::Hello(Hello::decode(header.argument.get(), value)?),
        Opcode::Ping => Command::Ping { payload: value },
        Opcode::Info => Command::Info,
        Opcode::Get => Command::Get { key },
        Opcode::Exists => Command::Exists { key },
        Opcode::MultiGet => Command::MultiGet { keys: KeyList::check(value, header.argument.get())? },
        Opcode::Put => {
            let (expiry, condition) = (decode_expiry(frame)?, decode_condition(frame)?);
            Command::Put { key, value, expiry, condition, want_old }
        }
        Opcode::Delete => {
            let want_existed = flags.has(Flags::WANT_EXISTED);
            Command::Delete { key, condition: decode_condition(frame)?, want_old, want_existed }
        }
        Opcode::Increment => Command::Increment { key, by: header.argument.get() as i64 },
        Opcode::Expire => Command::Expire { key, expiry: decode_expiry(frame)? },
        Opcode::Batch => Command::Batch { ops: BatchOps::check(value, header.argument.get(), limits)? },
        Opcode::Scan => {
            let (range, cursor) = decode_range(value)?;
            let limit = u32::try_from(header.argument.get()).unwrap_or(u32::MAX);
            Command::Scan(Scan { range, cursor, limit, keys_only: flags.has(Flags::KEYS_ONLY) })
        }
        Opcode::Count => match decode_range(value)? {
            (range, b"") => Command::Count(range),
            _ => return Err(WireError::Malformed("a count has no cursor")),
        },
        Opcode::Clear => Command::Clear,
    })
}

fn decode_expiry(frame: &Frame<'_>) -> Result<Expiry, WireError> {
    let (flags, ms) = (frame.flags(), frame.header.expiry.get());
    let is_set = |flag| flags.has(flag);
    match (is_set(Flags::EXPIRE_AFTER), is_set(Flags::EXPIRE_AT), is_set(Flags::EXPIRE_KEEP)) {
        (false, false, false) => Ok(Expiry::Never),
        (true, false, false) => Ok(Expiry::After(ms)),
        (false, true, false) => Ok(Expiry::At(ms)),
        (false, false, true) => Ok(Expiry::Keep),
        _ => Err(WireError::Malformed("more than one expiry")),
    }
}

fn decode_condition(frame: &Frame<'_>) -> Result<Condition, WireError> {
    let flags = frame.flags();
    let is_set = |flag| flags.has(flag);
    match (is_set(Flags::IF_ABSENT), is_set(Flags::IF_PRESENT), is_set(Flags::IF_VERSION)) {
        (false, false, false) => Ok(Condition::None),
        (true, false, false) => Ok(Condition::Absent),
        (false, true, false) => Ok(Condition::Present),
        (false, false, true) => Ok(Condition::Version(frame.header.argument.get())),
        _ => Err(WireError::Malformed("more than one condition")),
    }
}

fn decode_range(value: &[u8]) -> Result<(Range<'_>, &[u8]), WireError> {
    let wrong = || WireError::Malformed("the lengths of a range don't add up");
    let (head, rest) = take::<RangeHead>(value).ok_or_else(wrong)?;
    let (from, rest) = rest.split_at_checked(head.from_len.get().into()).ok_or_else(wrong)?;
    let (to, rest) = rest.split_at_checked(head.to_len.get().into()).ok_or_else(wrong)?;
    let (prefix, cursor) = rest.split_at_checked(head.prefix_len.get().into()).ok_or_else(wrong)?;
    if cursor.len() != head.cursor_len.get() as usize {
        return Err(wrong());
    }
    Ok((Range { from, to, prefix }, cursor))
}
