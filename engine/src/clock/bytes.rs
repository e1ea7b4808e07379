//! A stamp as bytes: the same in log and manifest. `docs/formats/log.md` draws it.

use super::{BootId, BootTime, ClockStamp};
use zerocopy::little_endian::{U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct RawStamp {
    shard_us: U64,
    wall_us: U64,
    boot_us: U64,
    boot_id: [u8; 16],
    flags: U32,
    zero: U32,
}

/// Length of a stamp.
pub const STAMP_BYTES: usize = size_of::<RawStamp>();

const IS_SURE: u32 = 1;

impl ClockStamp {
    /// The stamp's bytes.
    pub fn to_bytes(&self) -> [u8; STAMP_BYTES] {
        let raw = RawStamp {
            shard_us: self.shard_us.into(),
            wall_us: self.wall_us.into(),
            boot_us: self.boot.us.into(),
            boot_id: self.boot.id.0,
            flags: if self.is_sure { IS_SURE } else { 0 }.into(),
            zero: 0.into(),
        };
        let mut bytes = [0; STAMP_BYTES];
        bytes.copy_from_slice(raw.as_bytes());
        bytes
    }

    /// Reads what [`ClockStamp::to_bytes`] wrote.
    pub fn from_bytes(bytes: &[u8; STAMP_BYTES]) -> ClockStamp {
        let raw = RawStamp::ref_from_bytes(bytes).expect("the array has a stamp's length");
        ClockStamp {
            shard_us: raw.shard_us.get(),
            wall_us: raw.wall_us.get(),
            is_sure: raw.flags.get() & IS_SURE != 0,
            boot: BootTime { id: BootId(raw.boot_id), us: raw.boot_us.get() },
        }
    }
}
