//! Arguments that several commands share, checked before a command opens the ledger: an invalid name is a usage error.

use std::process::ExitCode;

use sealbus_core::names::{Plan, Tenant};
use sealbus_core::verify::Report;
use sealbus_ledger::verification::Scope;
use sealbus_runtime::settings::{Settings, table};

use crate::failure::Failure;

/// The tenant of a command that works on one tenant.
///
/// The environment variable is read through the settings and not by clap, so that `SEALBUS_TENANT_FILE` and the
/// configuration file count too.
#[derive(clap::Args)]
pub(super) struct TenantArgs {
    /// Tenant [env: SEALBUS_TENANT]
    #[arg(long, value_parser = Tenant::parse_any)]
    tenant: Option<Tenant>,
}

impl TenantArgs {
    /// Returns `--tenant`, otherwise `SEALBUS_TENANT`.
    pub(super) fn require(self, settings: &Settings) -> Result<Tenant, Failure> {
        tenant(self.tenant, settings)?.ok_or_else(|| Failure::usage("no tenant: give --tenant or set SEALBUS_TENANT"))
    }
}

#[derive(clap::Args)]
pub(super) struct ActorArgs {
    /// Your name, recorded permanently in the event. It is not verified
    #[arg(long, env = "USER", hide_env_values = true, default_value = "operator")]
    pub(super) actor: String,
}

#[derive(Clone, Copy, clap::Args)]
pub(super) struct AnchorArgs {
    /// Go on although a configured anchor is missing or cannot be read [default: exit code 1]
    #[arg(long)]
    pub(super) allow_missing_anchors: bool,
}

impl AnchorArgs {
    /// Returns the exit code of a verification whose findings have this one: 1 if an anchor was not compared, unless that is
    /// allowed or a finding is worse.
    pub(super) fn exit_code(self, of_findings: u8, report: &Report) -> ExitCode {
        let lacks_anchor = report.lacks_anchor() && !self.allow_missing_anchors;
        ExitCode::from(if lacks_anchor && of_findings != 3 { 1 } else { of_findings })
    }
}

#[derive(clap::Args)]
pub(super) struct ScopeArgs {
    /// One plan, of --tenant or SEALBUS_TENANT
    #[arg(long, conflicts_with = "all", value_parser = Plan::parse_any)]
    plan: Option<Plan>,
    /// All plans of a tenant; with --plan, the plan's tenant
    #[arg(long, conflicts_with = "all", value_parser = Tenant::parse_any)]
    tenant: Option<Tenant>,
    /// All plans of all tenants
    #[arg(long)]
    all: bool,
}

impl ScopeArgs {
    /// Returns the scope. `SEALBUS_TENANT` completes `--plan`; it never selects all plans of a tenant.
    pub(super) fn scope(self, settings: &Settings) -> Result<Scope, Failure> {
        let tenant_is_given = self.tenant.is_some();
        match (self.all, tenant(self.tenant, settings)?, self.plan) {
            (true, _, _) => Ok(Scope::Everything),
            (false, Some(tenant), Some(plan)) => Ok(Scope::Plan(tenant, plan)),
            (false, None, Some(_)) => Err(Failure::usage("--plan needs a tenant: give --tenant or set SEALBUS_TENANT")),
            (false, Some(tenant), None) if tenant_is_given => Ok(Scope::Tenant(tenant)),
            (false, _, None) => Err(Failure::usage("no plans selected: give --plan, --tenant or --all")),
        }
    }
}

fn tenant(given: Option<Tenant>, settings: &Settings) -> Result<Option<Tenant>, Failure> {
    let Some(name) = settings.find(table::TENANT).filter(|_| given.is_none()) else { return Ok(given) };
    let tenant = Tenant::parse_any(&name);
    tenant.map(Some).map_err(|error| Failure::usage(format!("{}: {error}", table::TENANT.name())))
}
