//! The scenarios against the kernel alone: what the table says is what this kernel does.
//! It must never need an agent: expectations that hold without one cannot come from one.

use halfopen_lab::{Turn, judge, perform};

#[test]
#[ignore = "needs root"]
fn the_kernel_does_what_the_table_says() {
    let _turn = Turn::take().unwrap();
    let performances = perform::perform(&[], None);
    let mut wrong = Vec::new();
    for performance in &performances {
        let label = performance.scenario.label();
        let verdict = judge::kernel(performance.scenario, &performance.counters().unwrap());
        println!(
            "{label} {:?}: {:?} {:?}",
            performance.form, performance.outcome, verdict.kernel
        );
        if let Err(error) = &performance.outcome {
            wrong.push(format!("{label}: {error}"));
        }
        wrong.extend(
            verdict
                .wrong
                .into_iter()
                .map(|why| format!("{label}: {why}")),
        );
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}
