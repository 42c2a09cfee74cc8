//! `sealbus dispatcher`.

use sealbus_runtime::settings::Settings;
use tokio_util::sync::CancellationToken;

use crate::failure::Failure;

pub async fn serve(_settings: &Settings, shutdown: CancellationToken) -> Result<(), Failure> {
    shutdown.cancelled().await;
    Ok(())
}
