//! The scenarios against the kernel alone: what the table says is what this kernel does.
//! No agent is needed: expectations that hold without one cannot come from one.

use std::time::Duration;

use halfopen_lab::{
    LabLock,
    classify::counts,
    scenario::perform::{self, ScenarioPart},
};

#[test]
#[ignore = "needs root"]
fn the_kernel_does_what_the_table_says() {
    let _lock = LabLock::take().unwrap();
    let runs = perform::perform(&ScenarioPart::with_numbers(&[]), Duration::ZERO, None);
    let mut wrong = Vec::new();
    for run in &runs {
        let label = run.scenario.label();
        let assessment =
            counts::classify_kernel(&run.scenario.expectations(), &run.counters().unwrap());
        println!(
            "{label} {:?}: {:?} {:?}",
            run.form, run.outcome, assessment.kernel
        );
        if let Err(error) = &run.outcome {
            wrong.push(format!("{label}: {error}"));
        }
        wrong.extend(
            assessment
                .wrong
                .into_iter()
                .chain(run.faults())
                .map(|why| format!("{label}: {why}")),
        );
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}
