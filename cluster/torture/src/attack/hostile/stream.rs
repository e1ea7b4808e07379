//! Requests of many megabytes, made piece by piece, so that the attacker needs no memory for them.

/// Pieces have about so many bytes.
const PIECE_BYTES: usize = 64 << 10;

/// The concatenation of what `write` appends for 0, 1, ... `count` - 1, in pieces.
pub fn pieces(count: usize, write: impl Fn(usize, &mut Vec<u8>)) -> impl Iterator<Item = Vec<u8>> {
    let mut at = 0;
    std::iter::from_fn(move || {
        let mut piece = Vec::with_capacity(PIECE_BYTES + 256);
        while at < count && piece.len() < PIECE_BYTES {
            write(at, &mut piece);
            at += 1;
        }
        (!piece.is_empty()).then_some(piece)
    })
}

/// So many bytes that mean nothing.
pub fn filler(bytes: usize) -> impl Iterator<Item = Vec<u8>> {
    let whole = bytes / PIECE_BYTES;
    let rest = (!bytes.is_multiple_of(PIECE_BYTES)).then_some(bytes % PIECE_BYTES);
    std::iter::repeat_n(PIECE_BYTES, whole).chain(rest).map(|length| vec![b'x'; length])
}

/// A RESP argument.
pub fn argument(bytes: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(format!("${}\r\n", bytes.len()).as_bytes());
    out.extend_from_slice(bytes);
    out.extend_from_slice(b"\r\n");
}

/// The head of a RESP command of so many arguments, its name counted, and the name.
pub fn head(arguments: usize, name: &[&[u8]]) -> Vec<u8> {
    let mut out = format!("*{arguments}\r\n").into_bytes();
    name.iter().for_each(|word| argument(word, &mut out));
    out
}

/// SET of a key to a filler, in pieces.
pub fn set(key: &[u8], bytes: usize) -> impl Iterator<Item = Vec<u8>> {
    let mut head = head(3, &[b"SET", key]);
    head.extend_from_slice(format!("${bytes}\r\n").as_bytes());
    std::iter::once(head).chain(filler(bytes)).chain(std::iter::once(b"\r\n".to_vec()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use pinion_net::resp::{Args, Parsed, Parser};

    #[test]
    fn a_command_in_pieces_is_a_command() {
        let bytes: Vec<u8> = set(b"k", 200_000).flatten().collect();
        let mut args = Args::new();
        assert!(matches!(Parser::default().next(&bytes, &mut args), Parsed::Command { .. }));
        assert_eq!((args.len(), args[2].len()), (3, 200_000));
        let all: Vec<u8> = pieces(100_000, |at, out| out.push(at as u8)).flatten().collect();
        assert_eq!(all.len(), 100_000);
    }
}
