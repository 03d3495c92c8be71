//! The steps of the demonstration.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use foreshadow_engine::{
    Engine, EngineConfig,
    config::{Aim, OnShutdown, PoolConfig},
};
use foreshadow_providers::{Hold, ProcessSpec, Readiness};
use foreshadow_server::ServerOptions;
use foreshadow_types::{PoolName, Timestamp};
use tempfile::TempDir;
use tokio::{
    sync::oneshot,
    time::{Instant, sleep},
};
use tonic::transport::Channel;

use super::{
    Args,
    load::{self, Outcome},
    replay, sample, table,
    workload::{Rhythm, SampleRequest},
};
use crate::{clock, commands::serve, commands::train, failure::Failure};

/// How much history is made.
const HISTORY: Duration = Duration::from_hours(3);
/// How long the model may train.
const TRAINING: Duration = Duration::from_secs(10);
/// How long reading the sample, validating and writing the model may take beside.
const AROUND_TRAINING: Duration = Duration::from_secs(4);
/// How long the server may take to start and to learn from the history.
const STARTING: Duration = Duration::from_secs(7);
/// From the start of the load to its first wave.
const FIRST_WAVE: Duration = Duration::from_secs(4);
/// The interval of forecasts and plans.
const TICK: Duration = Duration::from_secs(1);
const TARGET_HIT_RATE: f64 = 0.95;
const MOST_INSTANCES: u32 = 40;

/// What is made before the server starts.
pub(super) struct Scene {
    folder: TempDir,
    pool: PoolName,
    /// The server starts here: what was asked for before is history.
    opening: Timestamp,
    /// The load starts here.
    start: Timestamp,
    requests: Vec<SampleRequest>,
}

impl Scene {
    /// Makes the sample history and trains on it.
    pub(super) fn prepare(args: &Args) -> Result<Self, Failure> {
        let folder = tempfile::Builder::new()
            .prefix("foreshadow-demo-")
            .tempdir()?;
        let now = clock::now();
        let opening = now + TRAINING + AROUND_TRAINING;
        let start = opening + STARTING;
        let rhythm = Rhythm::with_wave_at(start + FIRST_WAVE);
        let scene = Self {
            folder,
            pool: PoolName::new("notebook")?,
            opening,
            start,
            requests: rhythm.requests(args.seed, now - HISTORY, start + args.load),
        };
        let known = scene.before(now);
        step(&format!(
            "made a sample history of {} requests",
            known.len()
        ));
        sample::write(&scene.sample_path(), &scene.pool, known)?;
        step(&format!("training on it for {} s", TRAINING.as_secs()));
        train::run(scene.training())?;
        Ok(scene)
    }

    fn before(&self, at: Timestamp) -> &[SampleRequest] {
        let end = self.requests.partition_point(|request| request.at < at);
        &self.requests[..end]
    }

    fn load(&self) -> &[SampleRequest] {
        &self.requests[self.before(self.start).len()..]
    }

    /// On a machine that is so busy that the server is late, what came before is left out of the
    /// load, so that the rhythm is kept.
    fn start_no_earlier_than(&mut self, now: Timestamp) {
        self.start = self.start.max(now);
    }

    /// Serves, drives the load, prints the table and keeps the console open if that is wanted.
    pub(super) async fn play(mut self, args: &Args) -> Result<(), Failure> {
        let server = serve::bind(ServerOptions::new(args.listen)).await?;
        let address = server.local_addr();
        sleep(self.opening.since(clock::now())).await;
        // The requests that came while the model trained are history by now.
        sample::write(&self.sample_path(), &self.pool, self.before(self.opening))?;
        let engine = Engine::start(self.engine(args)?)
            .await
            .map_err(serve::not_started)?;
        let (stop, stopped) = oneshot::channel::<()>();
        let serving = tokio::spawn(server.run(engine.clone(), async {
            // A sender that is gone ends the server as well.
            let _asked = stopped.await;
        }));
        step(&format!("serving; the console is at http://{address}/"));
        self.start_no_earlier_than(clock::now());
        let outcome = self.drive(&address.to_string(), args).await?;
        self.report(&outcome, args)?;
        if !args.once {
            println!("\nThe console stays open at http://{address}/ until you press Ctrl-C.");
            tokio::signal::ctrl_c().await?;
        }
        drop(stop);
        let served = serving.await;
        engine.shutdown_with(OnShutdown::StopAll).await?;
        served??;
        Ok(())
    }

    async fn drive(&self, address: &str, args: &Args) -> Result<Outcome, Failure> {
        let channel = Channel::from_shared(format!("http://{address}"))?
            .connect()
            .await?;
        let left = self.start.since(clock::now());
        step(&format!(
            "{} users' requests over {} s follow; each notebook is a process that takes {} s to start",
            self.load().len(),
            args.load.as_secs(),
            args.startup.as_secs_f64()
        ));
        let origin = Instant::now() + left;
        Ok(load::drive(channel, self.pool.as_str(), self.load(), self.start, origin).await)
    }

    fn report(&self, outcome: &Outcome, args: &Args) -> Result<(), Failure> {
        let reached = outcome.hit_rate().clamp(0.01, 0.999);
        let peers = replay::peers(
            &self.pool,
            &self.requests,
            self.start,
            args.startup,
            TICK,
            reached,
        )?;
        println!("\n{}", table::render(outcome, &peers));
        println!("{}", table::first_answers(outcome));
        Ok(())
    }

    fn training(&self) -> train::Args {
        train::Args::for_requests(&self.sample_path(), TICK, TRAINING, &self.model_path())
    }

    fn engine(&self, args: &Args) -> Result<EngineConfig, Failure> {
        let mut config = EngineConfig::new(self.folder.path().join("data"));
        config.shadow.tick = TICK;
        config.shadow.horizon = Duration::from_mins(2);
        config.model_dir = Some(self.model_path());
        config.demand_import = vec![self.sample_path().to_string_lossy().into_owned()];
        let mut pool = PoolConfig::new(self.pool.clone(), process(args)?, MOST_INSTANCES);
        pool.aim = Aim::HitRate(TARGET_HIT_RATE);
        pool.spec.startup = args.startup;
        config.pools.push(pool);
        config.validate().map_err(Failure::bad_input)?;
        Ok(config)
    }

    fn sample_path(&self) -> PathBuf {
        self.folder.path().join("sample.parquet")
    }

    fn model_path(&self) -> PathBuf {
        self.folder.path().join("model")
    }
}

/// This program as the notebook that takes its time to start.
fn process(args: &Args) -> Result<ProcessSpec, Failure> {
    let program: &Path = &std::env::current_exe()?;
    let mut process = ProcessSpec::new(vec![
        program.to_string_lossy().into_owned(),
        "demo-worker".to_owned(),
        "--port".to_owned(),
        "{port}".to_owned(),
        "--startup-ms".to_owned(),
        args.startup.as_millis().to_string(),
    ]);
    process.ready = Readiness::Tcp;
    process.hold = Hold::Freeze;
    Ok(process)
}

fn step(text: &str) {
    eprintln!("» {text}");
}
