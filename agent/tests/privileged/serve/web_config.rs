//! The examples of a web configuration and of a scrape, used by a real Prometheus.

use std::{
    fs, thread,
    time::{Duration, Instant},
};

use crate::{
    fixtures::{LIMIT, agent::AgentProcess, prometheus::Prometheus},
    support::{
        promtool::program,
        web_config::{EXAMPLE, document, example},
    },
};

/// The example of a scrape in docs/web.md, against the example of a web configuration.
#[test]
#[ignore = "needs root"]
fn prometheus_scrapes_with_the_password_and_not_without() {
    let Some(program) = program("prometheus") else {
        return;
    };
    let (folder, authority) = example();
    let agent = {
        let config = folder.path().join(EXAMPLE);
        AgentProcess::start_secured(&["--web.config.file", config.to_str().unwrap()])
    };
    let text = document("web.md");
    let (_, scrape) = text
        .split_once("<!-- example: scrape -->\n```yaml\n")
        .unwrap();
    let (scrape, _) = scrape.split_once("```").unwrap();
    // What a certificate of one's own is to a scraper, an authority is here.
    fs::write(folder.path().join("halfopen.crt"), &authority.pem).unwrap();
    fs::write(folder.path().join("halfopen.password"), "example").unwrap();
    let own = scrape
        .replace("agent.example:9841", &agent.address.to_string())
        .replace("/etc/prometheus", folder.path().to_str().unwrap());
    let (_, without) = own.split_once("scrape_configs:\n").unwrap();
    let from = without.find("    basic_auth:").unwrap();
    let to = without.find("    static_configs:").unwrap();
    let without = without.replace(&without[from..to], "");
    let without = without.replace("job_name: halfopen", "job_name: stranger");
    let scrapes = format!("global: {{scrape_interval: 1s}}\n{own}{without}");

    let prometheus = Prometheus::start(&program, &scrapes, folder.path());
    let deadline = Instant::now() + LIMIT;
    loop {
        let targets = prometheus.targets();
        let of = |job: &str| {
            let found = targets.iter().find(|target| target["labels"]["job"] == job);
            found.map(|target| (target["health"].clone(), target["lastError"].clone()))
        };
        let (known, stranger) = (of("halfopen"), of("stranger"));
        let refused = "server returned HTTP status 401 Unauthorized";
        if known == Some(("up".into(), "".into()))
            && stranger == Some(("down".into(), refused.into()))
        {
            break;
        }
        assert!(Instant::now() < deadline, "{targets:#?}");
        thread::sleep(Duration::from_millis(200));
    }
}
