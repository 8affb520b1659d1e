//! `glancefs serve`: the embedded Image service alone.

use crate::server::{Accounts, Behaviour, Faults, Quota, Ranges, Server, Settings, WebAccess};
use anyhow::{Context, Result, bail};
use std::io::Write;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};

/// Serve a folder as an OpenStack Image service.
#[derive(Debug, clap::Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is an option of its own")]
pub struct Serve {
    /// The folder that holds the images; made where there is none.
    folder: PathBuf,
    /// Where the Image API listens; port 0 takes any free one.
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:9292")]
    listen: SocketAddr,
    /// Where Keystone listens, if there are accounts; port 0 takes any free one.
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:5000")]
    keystone_listen: SocketAddr,
    /// A YAML file of users, projects and roles; without it there is no login, and every caller may do everything.
    #[arg(long, value_name = "FILE", conflicts_with = "example_accounts")]
    accounts: Option<PathBuf>,
    /// Play admin, demo, demo2, reader, alt and small, all with the password "secret".
    #[arg(long)]
    example_accounts: bool,
    /// Leave out the Compute API's images, which are otherwise at /compute/v2.1 of the Image API's port.
    #[arg(long)]
    no_compute: bool,
    /// Leave the Image service out of the catalogue, as in clouds that show images by the Compute API alone.
    #[arg(long, conflicts_with = "no_compute")]
    no_image: bool,
    /// What becomes of ranged downloads.
    #[arg(long, value_enum, default_value_t = RangeArgument::Honoured)]
    ranges: RangeArgument,
    /// Milliseconds to wait before each request is looked at.
    #[arg(long, value_name = "MS", default_value_t = 0)]
    latency: u64,
    /// Bytes a second for each download.
    #[arg(long, value_name = "BYTES")]
    rate: Option<u64>,
    /// Bytes a second for each upload.
    #[arg(long, value_name = "BYTES")]
    upload_rate: Option<u64>,
    /// The largest image that is taken, in bytes; 1 TiB unless given.
    #[arg(long, value_name = "BYTES")]
    size_cap: Option<u64>,
    /// Without accounts: the MiB that all images together may have.
    #[arg(long, value_name = "MIB", conflicts_with_all = ["accounts", "example_accounts"])]
    quota: Option<u32>,
    /// Without accounts: how many images there may be.
    #[arg(long, value_name = "N", conflicts_with_all = ["accounts", "example_accounts"])]
    image_quota: Option<u32>,
    /// A place that imports may fetch from, beside ports 80 and 443 of other machines; `any` for whatever can be reached.
    #[arg(long, value_name = "HOST:PORT")]
    import_from: Vec<String>,
    /// Let one request in this many meet a fault.
    #[arg(long, value_name = "N")]
    fault_one_in: Option<u32>,
    /// The seed of the faults.
    #[arg(long, value_name = "N", default_value_t = 0)]
    fault_seed: u64,
    /// Close the connection after each answer, as Glance under uWSGI does.
    #[arg(long)]
    no_keep_alive: bool,
    /// Seconds for which a token is valid.
    #[arg(long, value_name = "SECONDS", default_value_t = 3600)]
    token_lifetime: u64,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum RangeArgument {
    Honoured,
    Refused,
    Ignored,
    Whole206,
}

impl From<RangeArgument> for Ranges {
    fn from(argument: RangeArgument) -> Self {
        match argument {
            RangeArgument::Honoured => Self::Honoured,
            RangeArgument::Refused => Self::Refused,
            RangeArgument::Ignored => Self::Ignored,
            RangeArgument::Whole206 => Self::Whole206,
        }
    }
}

impl Serve {
    /// Serves until it is interrupted or told to end. Prints the URLs once connections are taken.
    pub fn run(self) -> Result<()> {
        let runtime = tokio::runtime::Runtime::new().context("the asynchronous runtime could not be started")?;
        runtime.block_on(self.serve())
    }

    async fn serve(self) -> Result<()> {
        // The handlers stand before the URLs are told, so that a caller may end the service at once.
        let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
        let server = Server::start(self.settings()?).await?;
        tell(&server).context("the URLs could not be printed")?;
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
        server.stop().await;
        Ok(())
    }

    fn settings(&self) -> Result<Settings> {
        let mut settings = Settings::new(&self.folder);
        settings.listen = self.listen;
        settings.keystone_listen = self.keystone_listen;
        settings.accounts = self.accounts()?;
        settings.compute = !self.no_compute;
        settings.image_listed = !self.no_image;
        settings.behaviour = Behaviour {
            ranges: self.ranges.into(),
            latency: Duration::from_millis(self.latency),
            rate: self.rate,
            faults: self.fault_one_in.map(|one_in| Faults { seed: self.fault_seed, one_in }),
            keep_alive: !self.no_keep_alive,
            token_lifetime: Duration::from_secs(self.token_lifetime),
            upload_rate: self.upload_rate,
            size_cap: self.size_cap.unwrap_or(Behaviour::default().size_cap),
            web_download: self.web_access(),
            quota: self.limits(),
            ..Behaviour::default()
        };
        if settings.accounts.is_none() && !settings.listen.ip().is_loopback() {
            bail!("without accounts anyone who reaches {} could do everything: give --accounts", settings.listen);
        }
        Ok(settings)
    }

    /// The limits of a service without accounts, where any is given.
    fn limits(&self) -> Option<Quota> {
        let limit = |given: Option<u32>| given.map_or(-1, i64::from);
        let any = self.quota.is_some() || self.image_quota.is_some();
        any.then(|| Quota {
            image_size_total: limit(self.quota),
            image_count_total: limit(self.image_quota),
            ..Quota::default()
        })
    }

    fn web_access(&self) -> WebAccess {
        if self.import_from.is_empty() {
            WebAccess::Others
        } else if self.import_from.iter().any(|place| place == "any") {
            WebAccess::Anywhere
        } else {
            WebAccess::OthersAnd(self.import_from.clone())
        }
    }

    fn accounts(&self) -> Result<Option<Accounts>> {
        if self.example_accounts {
            return Ok(Some(Accounts::example()));
        }
        let Some(path) = &self.accounts else { return Ok(None) };
        let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
        Accounts::from_yaml(&text).map(Some).with_context(|| format!("in {}", path.display()))
    }
}

fn tell(server: &Server) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "Image service: {}", server.url())?;
    if let Some(keystone) = server.keystone_url() {
        writeln!(out, "Keystone: {keystone}")?;
    }
    out.flush()
}
