//! The client, from connecting to the outcomes of a write: the program of `docs/client.md`.
//!
//! With kvd running: `cargo run -p pinion-net --example client [ADDR]`.

use pinion_net::client::{
    Batch, BlockingClient, Condition, Error, Expiry, Options, Put, ScanOptions, Written,
};
use std::time::Duration;

fn main() -> Result<(), Error> {
    let address = std::env::args().nth(1).unwrap_or("127.0.0.1:7400".to_owned());
    let options =
        Options { timeout: Duration::from_secs(2), name: "example".to_owned(), ..Options::default() };
    let client = BlockingClient::connect([address], options)?;

    // One key.
    let version = client.put("user:1", "Ada")?;
    let value = client.get("user:1")?.expect("it was just put");
    assert_eq!((value.bytes.as_slice(), value.version), (&b"Ada"[..], version));
    println!("visits: {}", client.increment("visits", 1)?);

    // A value that expires, put only if nobody else has put it.
    let once = Put { expiry: Expiry::After(30_000), condition: Condition::Absent, want_old: false };
    match client.put_with("lock", "mine", once)? {
        Written::Done { version, .. } => println!("the lock is ours at version {version}, for 30 s"),
        Written::NotMet { current } => println!("somebody has the lock: {current:?}"),
        Written::NotFound => unreachable!("only deletes answer it"),
    }

    // Several keys. {1} is what places them: keys with the same tag share a partition and are written atomically.
    let mut batch = Batch::new();
    batch.put("{1}name", "Ada")?.put("{1}born", "1815")?.delete("{1}draft")?;
    client.write(&batch)?;
    let both = client.get_many(&["{1}name", "{1}born"])?;
    assert!(both.iter().all(Option::is_some));

    // Keys in order, page by page behind the iterator.
    let range = ScanOptions { prefix: b"{1}".to_vec(), limit: Some(100), ..ScanOptions::default() };
    for item in client.scan(range) {
        let item = item?;
        println!("{} = {}", item.key.escape_ascii(), item.value.bytes.escape_ascii());
    }

    // What came of a write.
    match client.put("user:2", "Grace") {
        Ok(version) => println!("written and durable, version {version}"),
        Err(error @ Error::Unknown { .. }) => println!("perhaps written; read it to find out: {error}"),
        Err(error) if error.is_temporary() => println!("not written; try again: {error}"),
        Err(error) => println!("not written: {error}"),
    }
    Ok(())
}
