//! The configuration file as people write it.

use std::time::Duration;

use foreshadow_engine::config::{Aim, Execution, PoolModel, ProviderConfig, Wanted};
use foreshadow_planner::{BreakerSettings, RampLimit};
use foreshadow_types::Bytes;

use super::*;
use crate::edits::{Edits, edited};

const POOL: &str = r#"
tick = "5s"
[[pool]]
name = "notebook"
provider = "process"
command = ["python3", "-m", "http.server", "--bind", "127.0.0.1", "{port}"]
ready = { http = "/" }
hold = "freeze"
shape = { vcpus = 1, memory = "256MiB" }
max = 8
target_hit_rate = 0.99
"#;

#[track_caller]
fn refused(text: &str, expected: &str, line: Option<usize>) {
    let fault = parse(text, Path::new("data")).expect_err("the configuration is at fault");
    assert!(fault.reason.contains(expected), "{}", fault.reason);
    assert_eq!(
        fault.offset.map(|offset| line_of(text, offset)),
        line,
        "{}",
        fault.reason
    );
}

/// A second of random inputs by itself; `BOLERO_RANDOM_ITERATIONS` asks for more.
#[test]
fn whatever_the_file_holds_it_is_read_or_refused() {
    bolero::check!()
        .with_type::<Edits>()
        .for_each(|edits: &Edits| {
            let bytes = edited(POOL.as_bytes(), edits);
            let _outcome = parse(&String::from_utf8_lossy(&bytes), Path::new("data"));
        });
}

#[test]
fn a_pool_is_read() {
    let config = parse(POOL, Path::new("data")).expect("the configuration is valid");
    assert!(!config.telemetry.mappings.is_empty(), "presets by default");
    let config = config.engine;
    assert_eq!(config.pools.len(), 1);
    assert_eq!(config.pools[0].name().as_str(), "notebook");
    assert_eq!(config.pools[0].aim, Aim::HitRate(0.99));
    assert_eq!(config.shadow.tick.as_secs(), 5);
}

#[test]
fn tenants_priorities_and_resets_are_read() {
    let text = format!(
        "{POOL}recycle = \"reset\"\nreset = {{ http = \"/clean\" }}\n\
         [[tenant]]\nname = \"acme\"\nlive = 5\nrate = {{ per_second = 10 }}\n\
         warm = {{ notebook = {{ floor = 2, cap = 4 }} }}\n\
         [priority]\nstated = 10\nusage = 1\nusage_metric = \"cpu\"\n\
         pools = {{ notebook = 3 }}\nlabels = {{ zone = {{ a = 2 }} }}\n"
    );
    let config = parse(&text, Path::new("data")).expect("the configuration is valid");
    let config = config.engine;
    let (tenant, quota) = config.tenants.first_key_value().expect("there is a tenant");
    assert_eq!((tenant.as_str(), quota.live), ("acme", Some(5)));
    assert_eq!(quota.rate.map(|rate| rate.burst), Some(10));
    let warm = quota.warm.values().next().expect("there is a pool");
    assert_eq!((warm.floor, warm.cap), (2, Some(4)));
    refused(&text.replace("floor = 2", "floor = 5"), "floor", Some(14));
    refused(
        &text.replace("{ notebook = { f", "{ nope = { f"),
        "nope",
        None,
    );
    assert_eq!(config.priorities.usage, 1);
    assert_eq!(config.priorities.labels.len(), 1);
    let unknown = text.replace("notebook = 3", "nope = 3");
    refused(&unknown, "nope", None);
    refused(&text.replace("= 10 }", "= 0 }"), "per_second", Some(14));
    refused(&text.replace("recycle = \"reset\"", ""), "recycle", Some(3));
}

#[test]
fn as_whom_a_process_runs_and_what_it_may_take_is_read() {
    let text = format!("{POOL}limits = {{ memory = \"1GiB\", open_files = 64 }}\nuser = \"0:0\"\n");
    let without = text.replace("user = \"0:0\"\n", "");
    let config = parse(&without, Path::new("data")).expect("it is valid");
    let ProviderConfig::Process(process) = &config.engine.pools[0].provider else {
        panic!("it is a process");
    };
    assert_eq!(process.limits.memory, Some(1 << 30));
    assert_eq!(process.limits.open_files, Some(64));
    refused(
        &text.replace("0:0", "nobody-knows"),
        "nobody-knows",
        Some(3),
    );
    refused(&text.replace("open_files", "files"), "files", Some(12));
}

#[test]
fn aims_previews_schedules_and_what_follows_are_read() {
    let aims = POOL.replace("target_hit_rate = 0.99", "idle_budget = 2.5");
    let text = format!(
        "{aims}model = \"auto\"\npreview = {{ keep = 4 }}\n\
         [[schedule]]\nname = \"office\"\npool = \"notebook\"\n\
         starts = \"0 8 * * MON-FRI Europe/Berlin\"\nlasts = \"10h\"\ncount = 3\n\
         [[trigger]]\nname = \"busy\"\nmetric = \"cpu\"\nthreshold = 70\nwithin = \"30m\"\n\
         pool = \"notebook\"\namount = {{ vcpus = 2 }}\n\
         [retrain]\nat = \"0 3 * * *\"\nmemory = \"2GiB\"\n"
    );
    let config = parse(&text, Path::new("data")).expect("the configuration is valid");
    let config = config.engine;
    assert_eq!(config.pools[0].aim, Aim::IdleBudget(2.5));
    assert_eq!(config.pools[0].model, PoolModel::Auto);
    assert_eq!(config.pools[0].execution, Execution::Preview { keep: 4 });
    assert_eq!(config.shadow.schedules.len(), 1);
    assert!(matches!(
        config.shadow.triggers[0].wanted,
        Wanted::Amount(_)
    ));
    assert!(config.shadow.retrain_at.is_some());
    let bounded = |bytes| parse(&text.replace("2GiB", bytes), Path::new("data"));
    let memory = |bytes| bounded(bytes).expect("valid").engine.retraining.memory;
    assert_eq!([memory("2GiB"), memory("0")], [Some(Bytes(2 << 30)), None]);
    let two = text.replace("idle_budget", "target_hit_rate = 0.9\nidle_budget");
    refused(&two, "several aims", Some(3));
    refused(
        &text.replace("\"auto\"", "\"lstm\""),
        "no model of a pool",
        Some(3),
    );
    refused(&text.replace("0 8 * *", "at eight"), "starts", Some(14));
    refused(&text.replace("{ vcpus = 2 }", "{ gpus = 2 }"), "busy", None);
    let alone = "[[follow]]\npool = \"notebook\"\nafter = \"notebook\"\ndelay = \"4m\"\n";
    refused(&format!("{POOL}{alone}"), "follows itself", None);
}

#[test]
fn the_example_of_the_documentation_is_a_configuration() {
    let page = include_str!("../../../../docs/configuration.md");
    let example = page
        .split("```toml")
        .nth(1)
        .and_then(|rest| rest.split("```").next());
    let example = example.expect("the page has an example");
    let config = parse(example, Path::new("data")).expect("the example is valid");
    assert_eq!(config.engine.pools.len(), 2);
    assert_eq!(config.engine.shadow.follows.len(), 1);
    assert_eq!(config.traces.map(|traces| traces.sample), Some(0.1));
}

#[test]
fn a_fault_in_where_traces_go_has_its_line() {
    let table = "\n[traces]\nendpoint = \"nowhere\"\n";
    refused(&format!("{POOL}{table}"), "[traces] `endpoint`", Some(13));
    let typo = "\n[traces]\nendpoints = \"http://here:4317\"\n";
    refused(&format!("{POOL}{typo}"), "endpoints", Some(14));
}

#[test]
fn the_configurations_of_the_packages_are_configurations() {
    for text in [
        include_str!("../../../../packaging/foreshadow.toml"),
        include_str!("../../../../packaging/kubernetes/base/foreshadow.toml"),
        include_str!("../../../../packaging/kubernetes/overlays/quick-start/foreshadow.toml"),
    ] {
        let read = parse(text, Path::new("data"));
        assert!(read.is_ok(), "{read:?} of {text}");
    }
}

#[test]
fn the_pools_on_the_page_of_integrations_are_configurations() {
    let page = include_str!("../../../../docs/integrations.md");
    let blocks = page.split("```toml").skip(1);
    let examples: Vec<_> = blocks
        .filter_map(|block| block.split("```").next())
        .collect();
    assert_eq!(examples.len(), 5);
    // The files that they name are on the page too.
    let folder = tempfile::tempdir().expect("a folder can be made");
    for (kind, file) in [
        ("kind: Pod\n", "pod.yaml"),
        ("kind: Sandbox\n", "sandbox.yaml"),
    ] {
        let mut manifests = page.split("```yaml\n").skip(1);
        let manifest = manifests.find(|manifest| manifest.contains(kind));
        let manifest = manifest.and_then(|rest| rest.split("```").next());
        let manifest = manifest.expect("the page shows it");
        std::fs::write(folder.path().join(file), manifest).expect("a file can be written");
    }
    for example in examples {
        let read = parse_with(example, Path::new("data"), folder.path(), &[]);
        if example.contains("\"kubernetes\"") && !cfg!(feature = "cluster") {
            let fault = read.expect_err("this build has no Kubernetes");
            assert!(
                fault.reason.contains("--features cluster"),
                "{}",
                fault.reason
            );
            continue;
        }
        assert_eq!(read.expect("it is valid").engine.pools.len(), 1);
    }
}

#[test]
fn where_history_lies_and_how_it_becomes_coarser_is_read() {
    let text = "[history]\nfolder = \"/var/history\"\ndownsample = [\n\
                { after = \"7d\", interval = \"5m\" },\n{ after = \"90d\", interval = \"1h\" },\n]\n";
    let config = parse(text, Path::new("data")).expect("the configuration is valid");
    let config = config.engine;
    assert_eq!(config.history_dir(), Path::new("/var/history"));
    assert_eq!(config.downsampling.len(), 2);
    assert_eq!(config.downsampling[1].interval.as_secs(), 3_600);
    refused(&text.replace("7d", "7h"), "a day or more", None);
    refused(&text.replace("1h", "7m"), "multiple", None);
    refused(
        &text.replace("interval = \"5m\"", "to = \"5m\""),
        "to",
        Some(4),
    );
    refused(
        &text.replace("/var", "ftp://host"),
        "s3://bucket/prefix",
        None,
    );
}

#[test]
fn limits_of_growth_and_of_failing_starts_are_read_and_checked() {
    let text = format!(
        "{POOL}ramp = {{ up = 4, down_an_hour = 20 }}\nbreaker = {{ failures = 5, back_off = \"1m\" }}\n"
    );
    let config = parse(&text, Path::new("data")).expect("the configuration is valid");
    let pool = &config.engine.pools[0];
    let ramp = RampLimit {
        up: 4,
        down_an_hour: 20,
        ..RampLimit::default()
    };
    assert_eq!(pool.ramp, ramp);
    let breaker = BreakerSettings {
        failures: 5,
        back_off: Duration::from_mins(1),
        ..BreakerSettings::default()
    };
    assert_eq!(pool.breaker, breaker);
    refused(
        &text.replace("up = 4", "up = 0"),
        "ramp.up is 0; give",
        None,
    );
    refused(&text.replace("up = 4", "upwards = 4"), "upwards", Some(12));
    refused(&text.replace("\"1m\"", "\"2h\""), "longest", None);
}

#[test]
fn each_fault_names_its_line_and_key() {
    refused("tick = \"5 parsecs\"", "5 parsecs", Some(1));
    refused("tick = \"-5s\"", "negative", Some(1));
    refused("[retrain]\nniceness = 5", "every", Some(1));
    refused(
        "[retrain]\non_drift = true\nmemory = \"much\"",
        "much",
        Some(3),
    );
    let twice = "[[tenant]]\nname = \"a\"\nlive = 1\n".repeat(2);
    refused(&twice, "twice", Some(4));
    refused(&format!("{POOL}\nspeed = 9"), "speed", Some(13));
    refused(&POOL.replace("max = 8", "max = 0"), "max", None);
    refused(&POOL.replace("256MiB", "lots"), "lots", Some(9));
    refused(&POOL.replace("0.99", "1.5"), "target_hit_rate", None);
    refused("[[pool]]\nname = \"a\"", "missing field", Some(1));
}

#[test]
fn a_pool_of_an_external_provider_is_read_and_takes_no_key_of_a_process() {
    let pool = r#"
[[pool]]
name = "game"
provider = "grpc"
endpoint = "http://127.0.0.1:9000"
parameters = { map = "harbour" }
call_timeout = "2s"
stop_grace = "10s"
probe = { interval = "15s" }
max = 4
"#;
    let config = parse(pool, Path::new("data")).expect("the configuration is valid");
    let ProviderConfig::External(external) = &config.engine.pools[0].provider else {
        panic!("{:?}", config.engine.pools[0].provider);
    };
    assert_eq!(external.endpoint, "http://127.0.0.1:9000");
    assert_eq!(external.parameters["map"], "harbour");
    assert_eq!(external.call_timeout, Duration::from_secs(2));
    assert_eq!(external.probe_interval, Duration::from_secs(15));
    for (more, expected) in [
        ("command = [\"true\"]", "`command` is for"),
        ("ready = { tcp = true }", "`ready` is for"),
    ] {
        refused(&format!("{pool}{more}"), expected, Some(2));
    }
    let timeout = pool.replace("interval = \"15s\"", "timeout = \"1s\"");
    refused(&timeout, "`probe.timeout` is for", Some(2));
    refused(
        &pool.replace("endpoint = \"http://127.0.0.1:9000\"", ""),
        "endpoint",
        Some(2),
    );
    refused(&pool.replace("http://", ""), "http://HOST:PORT", None);
    refused(
        &format!("{POOL}\nendpoint = \"http://a:1\""),
        "`endpoint` is for",
        Some(3),
    );
}

#[test]
fn a_pool_in_a_cluster_needs_a_build_for_it_and_a_template_that_fits() {
    let pool = "[[pool]]\nname = \"game\"\nprovider = \"kubernetes\"\nmax = 4\n";
    refused(pool, "`template`", Some(1));
    let with = |more: &str| format!("{pool}template = \"/nowhere/pod.yaml\"\n{more}");
    refused(&with("command = [\"true\"]"), "`command` is for", Some(1));
    refused(
        &with("endpoint = \"http://a:1\""),
        "`endpoint` is for",
        Some(1),
    );
    refused(&with("hold = \"freeze\""), "`hold` is not for", Some(1));
    let expected = if cfg!(feature = "cluster") {
        "/nowhere/pod.yaml"
    } else {
        "--features cluster"
    };
    refused(&with(""), expected, Some(1));
    let process = format!("{POOL}\nnamespace = \"games\"");
    refused(&process, "`namespace` is for", Some(3));
}

#[cfg(feature = "cluster")]
#[test]
fn the_configuration_of_the_package_with_pods_is_one() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folder = folder.join("../../packaging/kubernetes/overlays/pods");
    let text = std::fs::read_to_string(folder.join("foreshadow.toml")).expect("it is there");
    let read = parse_with(&text, Path::new("data"), &folder, &[]);
    assert!(read.is_ok(), "{read:?}");
}

#[cfg(feature = "cluster")]
#[test]
fn a_template_is_looked_for_beside_the_configuration() {
    let folder = tempfile::tempdir().expect("a folder can be made");
    let path = folder.path().join("pod.yaml");
    let manifest = "apiVersion: v1\nkind: Pod\nspec:\n  containers:\n  - { name: a, image: b }\n";
    std::fs::write(&path, manifest).expect("a file can be written");
    let pool = "[[pool]]\nname = \"game\"\nprovider = \"kubernetes\"\ntemplate = \"pod.yaml\"\n\
                namespace = \"games\"\nport = 7000\nunready_timeout = \"20s\"\nmax = 4\n\
                owner = { api_version = \"apps/v1\", kind = \"StatefulSet\", name = \"f\" }\n";
    let read = |text: &str| parse_with(text, Path::new("data"), folder.path(), &[]);
    let config = read(pool).expect("the configuration is valid");
    let ProviderConfig::Kubernetes(pods) = &config.engine.pools[0].provider else {
        panic!("{:?}", config.engine.pools[0].provider);
    };
    assert_eq!(pods.namespace.as_deref(), Some("games"));
    assert_eq!(pods.unready_timeout, Duration::from_secs(20));
    assert!(pods.owner.is_some());
    let fault = read(&pool.replace("port = 7000\n", "")).expect_err("nobody knows the port");
    assert!(fault.reason.contains("`port`"), "{}", fault.reason);
    std::fs::write(&path, manifest.replace("Pod", "Deployment")).expect("it can be written");
    let fault = read(pool).expect_err("nobody knows where a deployment is");
    assert!(fault.reason.contains("`address`"), "{}", fault.reason);
    std::fs::write(&path, manifest.replace("image", "picture")).expect("it can be written");
    let fault = read(pool).expect_err("the template is at fault");
    assert!(
        fault.reason.contains("spec.containers[0].image"),
        "{}",
        fault.reason
    );
}

#[test]
fn a_fallback_is_read_and_must_be_one_that_can_be_called() {
    let with = |more: &str| format!("{POOL}\n{more}");
    let fallback = "fallback = { url = \"http://allocator:9100/game\", timeout = \"200ms\" }";
    let config = parse(&with(fallback), Path::new("data")).expect("it is valid");
    let read = config.engine.pools[0]
        .fallback
        .as_ref()
        .expect("it is read");
    assert_eq!(read.url, "http://allocator:9100/game");
    assert_eq!(read.timeout, Duration::from_millis(200));
    refused(
        &with("fallback = { url = \"allocator\" }"),
        "fallback.url",
        None,
    );
    refused(&with("fallback = { timeout = \"1s\" }"), "url", Some(13));
    let reused = with(&format!("{fallback}\nrecycle = \"reuse\""));
    refused(&reused, "recycle", None);
}

#[test]
fn the_device_that_forecasts_is_read() {
    let device = |text: &str| parse(text, Path::new("data")).map(|config| config.device);
    assert_eq!(device(""), Ok(Device::Auto));
    for (name, expected) in [
        ("auto", Device::Auto),
        ("cpu", Device::Cpu),
        ("gpu", Device::Gpu),
    ] {
        assert_eq!(device(&format!("device = \"{name}\"")), Ok(expected));
    }
    refused("tick = \"5s\"\ndevice = \"tpu\"", "tpu", Some(2));
}

#[test]
fn mappings_are_read_and_faults_in_them_have_their_line() {
    let mapping = r#"
[telemetry]
presets = ["kubelet"]
[[telemetry.mapping]]
metric = "app_sessions"
where = ["tenant!="]
user = "{tenant}"
as = "sessions"
"#;
    let config = parse(mapping, Path::new("data")).expect("the configuration is valid");
    let mapped = config.telemetry.mappings.iter();
    assert!(mapped.clone().any(|one| &**one.resource() == "sessions"));
    assert_eq!(mapped.len(), 7);
    for (from, to, expected, line) in [
        ("kubelet", "nagios", "there is no preset `nagios`", 3),
        ("{tenant}", "tenant", "names no label", 4),
        ("tenant!=", "tenant", "`where`", 4),
        ("user =", "speed =", "speed", 7),
        (
            "user = \"{tenant}\"\n",
            "",
            "neither `user` nor `application`",
            4,
        ),
    ] {
        refused(&mapping.replace(from, to), expected, Some(line));
    }
}
