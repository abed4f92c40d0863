//! An audio server of its own with the simulated plate in it: `PulseAudio`, two null sinks, and the plate between two of its tools.
//!
//! ALSA's programs reach it as the PCM that the bench's own configuration names; `ALSA_CONFIG_PATH` leads them to it.

use std::io::{self, Read, Write};
use std::os::unix::fs::DirBuilderExt;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use drivers::audio::AudioPlateConfig;
use sims::System;

use super::PlateStream;
use crate::Faults;

/// A server that does not listen within this is not going to.
const PATIENCE: Duration = Duration::from_secs(10);
/// Between two looks whether it listens.
const LOOK: Duration = Duration::from_millis(5);
/// Buffers of silence in stock: what the plate may be late without a gap.
const STOCK_BUFFERS: usize = 5;
/// A server that nobody uses any more ends itself after so many s: that of a process that was killed.
const IDLE_SECONDS: &str = "20";
/// What both tools are told of the latency that they should keep, in buffers.
const LATENCY_BUFFERS: f64 = 2.0;

/// Benches of this process so far.
static COUNT: AtomicU32 = AtomicU32::new(0);

/// A running audio server with a simulated plate; dropping it ends both.
#[derive(Debug)]
pub struct AudioBench {
    folder: PathBuf,
    device: String,
    /// The server first.
    children: Vec<Child>,
    plate: Option<JoinHandle<()>>,
}

impl AudioBench {
    /// Starts a server with the plate `system` between the output and the input that `config` describes.
    pub fn serve(system: Arc<dyn System>, config: &AudioPlateConfig, faults: &Faults) -> io::Result<Self> {
        config.check().map_err(|error| io::Error::other(error.to_string()))?;
        let waveform = &config.waveform;
        if waveform.rest_samples < waveform.samples {
            return Err(io::Error::other(format!(
                "the simulated plate tells shots apart by their rest: `waveform.rest_samples` = {} must be at least \
                 `waveform.samples` = {}",
                waveform.rest_samples, waveform.samples
            )));
        }
        let name = format!("{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let folder = std::env::temp_dir().join(format!("pnnlab-audio-{name}"));
        std::fs::DirBuilder::new().mode(0o700).create(&folder)?;
        let mut bench = Self { folder, device: format!("simulated-plate-{name}"), children: vec![], plate: None };
        std::fs::write(bench.configuration(), bench.describe())?;
        bench.start_server(config)?;
        bench.start_plate(PlateStream::new(system, config, faults.clone()), config)?;
        Ok(bench)
    }

    /// Where its sound is, for those who are led there by [`Self::environment`].
    pub fn address(&self) -> String {
        format!("audio://{}", self.device)
    }

    /// The variable, and its value, that a process must have in its environment to find the bench.
    pub fn environment(&self) -> (&'static str, PathBuf) {
        ("ALSA_CONFIG_PATH", self.configuration())
    }

    fn configuration(&self) -> PathBuf {
        self.folder.join("asound.conf")
    }

    fn socket(&self) -> PathBuf {
        self.folder.join("native")
    }

    /// The PCM as ALSA reads it.
    fn describe(&self) -> String {
        let server = format!("unix:{}", self.socket().display());
        let pcm = |device: &str| format!("{{ type pulse server \"{server}\" device \"{device}\" }}");
        format!(
            "pcm.{} {{\n    type asym\n    playback.pcm {}\n    capture.pcm {}\n    hint {{ show on description \"{}\" }}\n}}\n",
            self.device,
            pcm("drive"),
            pcm("microphone.monitor"),
            format_args!("SIMULATED plate of pnnlab, {}", self.device),
        )
    }

    /// A program of the audio server, among its own files, with its complaints in a log.
    fn command(&self, program: &str) -> io::Result<Command> {
        let log = std::fs::File::create(self.log(program))?;
        let mut command = Command::new(program);
        for (key, path) in [
            ("HOME", &self.folder),
            ("XDG_RUNTIME_DIR", &self.folder),
            ("XDG_CONFIG_HOME", &self.folder),
            ("PULSE_RUNTIME_PATH", &self.folder),
            ("PULSE_STATE_PATH", &self.folder),
        ] {
            command.env(key, path);
        }
        command.env("PULSE_SERVER", format!("unix:{}", self.socket().display()));
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        Ok(command)
    }

    fn log(&self, program: &str) -> PathBuf {
        self.folder.join(format!("{program}.log"))
    }

    fn start_server(&mut self, config: &AudioPlateConfig) -> io::Result<()> {
        let rate = config.waveform.sample_rate_hertz;
        let mut command = self.command("pulseaudio")?;
        command.env_remove("PULSE_SERVER").args(["--daemonize=no", "-n", "--use-pid-file=no", "--disable-shm=yes"]);
        command.args([format!("--exit-idle-time={IDLE_SECONDS}"), "--log-target=stderr".to_owned()]);
        for sink in ["drive", "microphone"] {
            command.arg(format!("--load=module-null-sink sink_name={sink} rate={rate} format=float32le channels=1"));
        }
        // Last: who can talk to it finds the sinks.
        let socket = self.socket();
        command.arg(format!("--load=module-native-protocol-unix auth-anonymous=1 socket={}", socket.display()));
        self.spawn("pulseaudio", command)?;
        let start = Instant::now();
        while UnixStream::connect(&socket).is_err() {
            let ended = self.children[0].try_wait()?;
            if ended.is_some() || PATIENCE < start.elapsed() {
                let log = std::fs::read_to_string(self.log("pulseaudio")).unwrap_or_default();
                return Err(io::Error::other(format!("`pulseaudio` does not listen: {}", last_line(&log))));
            }
            std::thread::sleep(LOOK);
        }
        Ok(())
    }

    /// Starts the plate between the monitor of the one sink and the other.
    fn start_plate(&mut self, mut plate: PlateStream, config: &AudioPlateConfig) -> io::Result<()> {
        let (rate, buffer) = (config.waveform.sample_rate_hertz, config.buffer_frames);
        // In whole ms, so that the server counts both sinks' time without rounding.
        let latency = (1e3 * LATENCY_BUFFERS * f64::from(buffer) / rate).ceil();
        let latency = format!("--latency-msec={latency}");
        let format = ["--raw", "--format=float32le", "--channels=1", &latency];
        let mut hear = self.command("parec")?;
        hear.args(format).args(["--device=drive.monitor", &format!("--rate={rate}")]).stdout(Stdio::piped());
        let mut say = self.command("pacat")?;
        say.args(format).args(["--device=microphone", &format!("--rate={rate}")]).stdin(Stdio::piped());
        let missing = || io::Error::other("an audio tool has no pipe");
        let mut from = self.spawn("parec", hear)?.stdout.take().ok_or_else(missing)?;
        let mut to = self.spawn("pacat", say)?.stdin.take().ok_or_else(missing)?;
        let stock = plate.lead() + STOCK_BUFFERS * buffer as usize;
        let (begun, begins) = mpsc::channel();
        self.plate = Some(std::thread::Builder::new().name("plate".to_owned()).spawn(move || {
            // It ends when one of the tools does.
            let _ = answer(&mut plate, stock, &mut from, &mut to, &begun);
        })?);
        begins.recv_timeout(PATIENCE).map_err(|_| {
            let logs = ["parec", "pacat"].map(|program| std::fs::read_to_string(self.log(program)).unwrap_or_default());
            io::Error::other(format!("the audio server gives the plate no sound: {}", last_line(&logs.concat())))
        })
    }

    fn spawn(&mut self, program: &str, mut command: Command) -> io::Result<&mut Child> {
        let child = command.spawn().map_err(|error| {
            io::Error::other(format!(
                "`{program}` cannot be started: {error}. Install PulseAudio (on Debian: apt-get install pulseaudio libasound2-plugins)"
            ))
        })?;
        self.children.push(child);
        let last = self.children.len() - 1;
        Ok(&mut self.children[last])
    }
}

impl Drop for AudioBench {
    fn drop(&mut self) {
        // The tools first, the server last; one that is gone already is no harm.
        for child in self.children.iter_mut().rev() {
            let _ = child.kill();
            let _ = child.wait();
        }
        if let Some(plate) = self.plate.take() {
            let _ = plate.join();
        }
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// Answers sound with sound until one end closes; says once that it has begun.
fn answer(
    plate: &mut PlateStream,
    stock: usize,
    from: &mut impl Read,
    to: &mut impl Write,
    begun: &mpsc::Sender<()>,
) -> io::Result<()> {
    let (mut bytes, mut buffer) = (vec![], [0; 4096]);
    to.write_all(&vec![0; 4 * stock])?;
    loop {
        let count = from.read(&mut buffer)?;
        if count == 0 {
            return Ok(());
        }
        bytes.extend_from_slice(&buffer[..count]);
        let whole = bytes.len() / 4 * 4;
        let played: Vec<f32> = bytes
            .drain(..whole)
            .collect::<Vec<u8>>()
            .as_chunks()
            .0
            .iter()
            .map(|four| f32::from_le_bytes(*four))
            .collect();
        let heard: Vec<u8> = plate.push(&played).into_iter().flat_map(f32::to_le_bytes).collect();
        to.write_all(&heard)?;
        to.flush()?;
        // Nobody listens after the first time.
        let _ = begun.send(());
    }
}

/// The last line of a log.
fn last_line(log: &str) -> &str {
    log.lines().last().unwrap_or("it says nothing")
}
