//! Small requests with enormous answers: one key of 1 MiB, named 20,000 times.

use super::assault::Assault;
use super::socket::{Hostile, frame};
use super::stream::{head, pieces};
use super::value::{largest, store};
use pinion_net::wire::{Command, KeyListBuilder, Limits};
use rand::rngs::SmallRng;
use std::time::Duration;

const KEY: &[u8] = b"m";
const KEY_BYTES: usize = 1 << 20;
const TIMES: usize = 20_000;

/// With MGET.
pub fn mget(assault: &Assault<'_>, _: &mut SmallRng) {
    store(assault, KEY, KEY_BYTES.min(largest(assault)));
    let name = head(1, &[KEY]).split_off("*1\r\n".len());
    assault.at_once(assault.size(4, 2), |at| {
        let Some(mut hostile) = assault.connect_resp() else { return };
        let names = pieces(TIMES, |_, out| out.extend_from_slice(&name));
        hostile.send(std::iter::once(head(TIMES + 1, &[b"MGET"])).chain(names));
        leave(assault, &mut hostile, at);
    });
}

/// With MULTI_GET, as often as it takes: a request has a limit.
pub fn multi_get(assault: &Assault<'_>, _: &mut SmallRng) {
    store(assault, KEY, KEY_BYTES.min(largest(assault)));
    let mut keys = KeyListBuilder::default();
    (0..Limits::KEYS_MAX).for_each(|_| keys.push(KEY).expect("a request may name so many"));
    let request = frame(2, Command::MultiGet { keys: keys.list() });
    assault.at_once(assault.size(4, 2), |at| {
        let Some(mut hostile) = assault.connect_kv() else { return };
        hostile.send(std::iter::repeat_n(&request, TIMES.div_ceil(Limits::KEYS_MAX)));
        leave(assault, &mut hostile, at);
    });
}

/// Waits for the answer to be made; every other one reads it, too.
fn leave(assault: &Assault<'_>, hostile: &mut Hostile<'_>, at: usize) {
    let time = assault.size(Duration::from_secs(3), Duration::from_millis(700));
    assault.stage.hold(time);
    hostile.answer(Duration::from_millis(200));
    if at.is_multiple_of(2) {
        hostile.drain(time);
    }
}
