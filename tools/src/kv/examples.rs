//! The examples that help texts end with.

pub(super) const EXAMPLES: &str = "\
Examples:
  kv put greeting hello              set a key
  kv get greeting                    read it
  kv put session token --ttl 30m     a value that expires
  kv put greeting bye --if-absent    only if the key isn't there
  kv put photo - < photo.jpg         a value from standard input
  kv get --raw photo > copy.jpg      its exact bytes
  kv incr visits                     count
  kv mput a 1 b 2                    several keys at once
  kv mput - < pairs.tsv              lines of KEY, tab, VALUE
  kv scan --prefix user: --limit 20  keys in order, in a table
  kv scan --prefix user: --json      one JSON object per line
  kv -a one:7400,two:7400 ping       the first that answers
  kv                                 a shell
  kv < commands                      the shell's commands from a file

Exit codes: 0 done, 1 not found, 2 wrong usage, 3 refused or not reached (certainly not applied),
4 unknown outcome (a write may have been applied). With --json errors are JSON too, on standard error.";

pub(super) const PUT_EXAMPLES: &str = "\
Examples:
  kv put greeting hello
  kv put session token --ttl 30m
  kv put photo - < photo.jpg
  kv put greeting bye --if-version 3478389551070208    (`kv exists KEY` prints the version)
  kv put -- --key-- --value--                          (after -- nothing is an option)";

pub(super) const GET_EXAMPLES: &str = "\
Examples:
  kv get greeting                 the value; on a terminal with control characters escaped
  kv get --json greeting          with version and expiry; what isn't UTF-8 as value_base64
  kv get --raw photo > copy.jpg   the exact bytes";

pub(super) const MPUT_EXAMPLES: &str = "\
Examples:
  kv mput user:1 Ada user:2 Grace
  printf 'user:1\\tAda\\nuser:2\\tGrace\\n' | kv mput -";

pub(super) const RANGE_EXAMPLES: &str = "\
Examples:
  kv scan --prefix user: --limit 20
  kv scan --from b --to d             from b up to but without d
  kv scan --json > everything.jsonl
  kv keys --prefix user:              (keys takes the same options)";

pub(super) const COUNT_EXAMPLES: &str = "\
Examples:
  kv count
  kv count --prefix user:";
