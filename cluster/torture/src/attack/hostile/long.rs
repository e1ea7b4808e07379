//! Commands that go on and on: a core that does one in a single turn serves nobody meanwhile.

use super::assault::Assault;
use super::socket::frame;
use super::stream::{argument, head, pieces};
use pinion_net::wire::{BatchBuilder, Command, Limits};
use rand::rngs::SmallRng;
use std::time::Duration;

/// How long an answer is read.
const READ_MAX: Duration = Duration::from_secs(10);

/// How many names commands have; a RESP command may have little more, and a server with little memory takes fewer.
fn names(assault: &Assault<'_>) -> [usize; 2] {
    assault.size([1_000_000, 100_000], [200_000, 20_000])
}

/// COMMAND INFO, of one command a million times.
pub fn command_info(assault: &Assault<'_>, _: &mut SmallRng) {
    let mut name = Vec::new();
    argument(b"client", &mut name);
    for count in names(assault) {
        assault.at_once(assault.size(3, 2), |_| {
            let Some(mut hostile) = assault.connect_resp() else { return };
            let names = pieces(count, |_, out| out.extend_from_slice(&name));
            hostile.send(std::iter::once(head(count + 2, &[b"COMMAND", b"INFO"])).chain(names));
            hostile.answer(READ_MAX);
            hostile.drain(READ_MAX);
        });
    }
}

/// What a command does with its names: takes a value with each or not.
const OF_MANY: [(&[u8], bool); 5] =
    [(b"MSET", true), (b"MGET", false), (b"EXISTS", false), (b"DEL", false), (b"UNLINK", false)];

/// The commands that take any number of keys, with a million.
pub fn million_keys(assault: &Assault<'_>, _: &mut SmallRng) {
    let rounds = names(assault).into_iter().flat_map(|count| OF_MANY.map(|command| (count, command)));
    for (count, (command, has_values)) in rounds {
        let Some(mut hostile) = assault.connect_resp() else { return };
        let keys = if has_values { count / 2 } else { count };
        let arguments = if has_values { keys * 2 } else { keys };
        let names = pieces(keys, |at, out| {
            argument(format!("k{at:07}").as_bytes(), out);
            if has_values {
                argument(b"v", out);
            }
        });
        hostile.send(std::iter::once(head(arguments + 1, &[command])).chain(names));
        hostile.answer(READ_MAX);
        hostile.drain(READ_MAX);
        if !assault.stage.is_attacked() {
            return;
        }
    }
}

/// BATCHes of as many deletes as one may have, nearly a million in all.
pub fn batch_of_deletes(assault: &Assault<'_>, _: &mut SmallRng) {
    for bytes_max in [assault.size(Limits::BYTES_MAX as usize, 4 << 20), 1 << 20] {
        deletes(assault, bytes_max, assault.size(3, 2));
    }
}

/// BATCHes of deletes with so many bytes, on so many connections.
pub fn deletes(assault: &Assault<'_>, bytes_max: usize, connections: usize) {
    let mut batch = BatchBuilder::default();
    for at in 0_u32.. {
        if batch.bytes() + 64 > bytes_max || at as usize == Limits::OPS_MAX {
            break;
        }
        batch.delete(&at.to_be_bytes()[1..]).expect("the key is short");
    }
    let request = frame(2, Command::Batch { ops: batch.ops() });
    drop(batch);
    assault.at_once(connections, |_| {
        let Some(mut hostile) = assault.connect_kv() else { return };
        hostile.send(std::iter::repeat_n(&request, (bytes_max / request.len()).max(1)));
        hostile.answer(READ_MAX);
        hostile.drain(READ_MAX);
    });
}
