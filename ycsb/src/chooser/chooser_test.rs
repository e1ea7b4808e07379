use super::*;
use rand::{SeedableRng, rngs::SmallRng};

const DRAWS: usize = 200_000;

fn counts(distribution: Distribution, start: u64, records: u64) -> Vec<u32> {
    let mut chooser = Chooser::new(&distribution, start, records, 0);
    let (inserts, mut rng) = (Inserts::new(start + records), SmallRng::seed_from_u64(7));
    let mut counts = vec![0u32; records as usize];
    for _ in 0..DRAWS {
        let number = chooser.next(&inserts, &mut rng);
        counts[usize::try_from(number - start).unwrap()] += 1;
    }
    counts
}

/// Pearson's statistic over its degrees of freedom: near 1 where the frequencies fit.
fn chi_square(counts: &[u32], expected: impl Fn(usize) -> f64) -> f64 {
    let sum: f64 = counts
        .iter()
        .enumerate()
        .map(|(at, count)| (f64::from(*count) - expected(at)).powi(2) / expected(at))
        .sum();
    sum / (counts.len() - 1) as f64
}

#[test]
fn uniform_draws_all_records_alike() {
    let counts = counts(Distribution::Uniform, 5, 1000);
    let fit = chi_square(&counts, |_| DRAWS as f64 / 1000.0);
    assert!((0.8..1.2).contains(&fit), "{fit}");
}

#[test]
fn zipfian_draws_the_hash_of_the_popular_items_most() {
    let records = 1000;
    let counts = counts(Distribution::Zipfian, 0, records);
    let share = |item: u64| f64::from(counts[(fnv64(item) % records) as usize]) / DRAWS as f64;
    // Item 0 has 1 / zetan of the draws; what else hashes to the same record adds about 1/1000.
    let expected = 1.0 / SCRAMBLED_ZETAN;
    assert!((share(0) - expected).abs() < 0.004, "{} against {expected}", share(0));
    let expected = 0.5f64.powf(THETA) / SCRAMBLED_ZETAN;
    assert!((share(1) - expected).abs() < 0.004, "{} against {expected}", share(1));
    assert!(counts.iter().all(|count| *count > 0), "the tail reaches every record");
}

#[test]
fn latest_draws_the_newest_most() {
    let counts = counts(Distribution::Latest, 0, 1000);
    let zetan: f64 = (1..1000).map(|item| f64::from(item).powf(-THETA)).sum();
    let newest = f64::from(counts[999]) / DRAWS as f64;
    assert!((newest - 1.0 / zetan).abs() < 0.004, "{newest} against {}", 1.0 / zetan);
    assert!(counts[999] > counts[998] && counts[998] > counts[990] && counts[990] > counts[500]);
}

#[test]
fn latest_follows_what_is_inserted() {
    let mut chooser = Chooser::new(&Distribution::Latest, 0, 100, 0);
    let (inserts, mut rng) = (Inserts::new(100), SmallRng::seed_from_u64(3));
    let number = inserts.take();
    assert!((0..1000).all(|_| chooser.next(&inserts, &mut rng) < number));
    inserts.acknowledge(number);
    assert!((0..1000).any(|_| chooser.next(&inserts, &mut rng) == number));
}

#[test]
fn hotspot_gives_the_lowest_records_their_part() {
    let counts = counts(Distribution::Hotspot { data_fraction: 0.2, operation_fraction: 0.8 }, 0, 1000);
    let fit =
        chi_square(&counts, |record| DRAWS as f64 * if record < 200 { 0.8 / 200.0 } else { 0.2 / 800.0 });
    assert!((0.8..1.2).contains(&fit), "{fit}");
}

#[test]
fn exponential_gives_its_percentile_to_its_fraction() {
    let counts = counts(Distribution::Exponential { percentile: 95.0, newest: 500.0 }, 0, 1000);
    let newest: u32 = counts[500..].iter().sum();
    // Draws below record 0 are drawn again, so the part is 0.95 of what is left: 1 - 0.05^2.
    let expected = 0.95 / (1.0 - 0.05f64.powi(2));
    let part = f64::from(newest) / DRAWS as f64;
    assert!((part - expected).abs() < 0.005, "{part} against {expected}");
}

#[test]
fn sequential_goes_round_over_all_clones() {
    let mut one = Chooser::new(&Distribution::Sequential, 10, 3, 0);
    let mut other = one.clone();
    let (inserts, mut rng) = (Inserts::new(13), SmallRng::seed_from_u64(0));
    let mut next = |chooser: &mut Chooser| chooser.next(&inserts, &mut rng);
    assert_eq!([next(&mut one), next(&mut other), next(&mut one), next(&mut other)], [10, 11, 12, 10]);
}

#[test]
fn a_record_that_is_not_acknowledged_is_never_drawn() {
    for distribution in [Distribution::Zipfian, Distribution::Latest] {
        let mut chooser = Chooser::new(&distribution, 0, 100, 900);
        let (inserts, mut rng) = (Inserts::new(100), SmallRng::seed_from_u64(11));
        inserts.take();
        assert!((0..2000).all(|_| chooser.next(&inserts, &mut rng) < 100));
    }
}
