use super::*;

fn options(line: &str) -> Options {
    match Cli::try_parse_from(line.split(' ')).unwrap().command {
        Command::Load(options) | Command::Run(options) => options,
        Command::Quickstart(_) => panic!("{line}"),
    }
}

fn settings(line: &str) -> Result<Settings, String> {
    let options = options(line);
    let workload = options.workload().map_err(|error| error.to_string())?;
    options.settings(&workload, line.contains(" load ")).map_err(|error| error.to_string())
}

#[test]
fn the_command_line_is_consistent() {
    use clap::CommandFactory;
    Cli::command().debug_assert();
}

#[test]
fn operations_and_time_limit_a_run() {
    assert_eq!(settings("kvbench run -w a -p recordcount=50").unwrap().operations, 500);
    assert_eq!(settings("kvbench run -w a --operations 7").unwrap().operations, 7);
    for duration in ["2.5", "2500ms", "2s500ms"] {
        let timed = settings(&format!("kvbench run -w a --duration {duration}")).unwrap();
        assert_eq!((timed.operations, timed.duration), (u64::MAX, Some(Duration::from_millis(2500))));
    }
    assert_eq!(settings("kvbench load -w a -p recordcount=50").unwrap().operations, 50);
    assert_eq!(settings("kvbench load -w a -p recordcount=50 --operations 80").unwrap().operations, 50);
}

#[test]
fn rates_are_open_and_targets_are_closed() {
    assert_eq!(settings("kvbench run -w a --rate 100").unwrap().pacing, Pacing::Open(100.0));
    assert_eq!(settings("kvbench run -w a -p target=100").unwrap().pacing, Pacing::Throttled(100.0));
    assert_eq!(settings("kvbench run -w a").unwrap().pacing, Pacing::Closed);
    let both = settings("kvbench run -w a -p target=100 --rate 5").unwrap_err();
    assert!(both.contains("exclude each other"), "{both}");
}

#[test]
fn connections_follow_threadcount_unless_given() {
    let connections = |line: &str| settings(line).map(|settings| (settings.threads, settings.connections));
    assert_eq!(connections("kvbench run -w a -p threadcount=8"), Ok((1, 8)));
    assert_eq!(connections("kvbench run -w a --threads 2"), Ok((2, 2)));
    assert_eq!(connections("kvbench run -w a --db embedded -p threadcount=4"), Ok((4, 4)));
    assert!(connections("kvbench run -w a --threads 4 --connections 2").is_err());
    assert!(connections("kvbench run -w a --depth 0").is_err());
}
