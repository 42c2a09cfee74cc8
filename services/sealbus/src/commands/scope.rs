//! Which plans a command is about: `--plan P`, `--tenant T` or `--all`.

use sealbus_core::names::{Plan, Tenant};
use sealbus_ledger::verification::Scope;
use sealbus_runtime::settings::Settings;

use super::names;
use crate::failure::Failure;

/// One of the three.
#[derive(clap::Args)]
pub(crate) struct ScopeArgs {
    /// One plan, of `--tenant` or SEALBUS_TENANT
    #[arg(long, conflicts_with = "all", value_parser = Plan::parse_any)]
    plan: Option<Plan>,
    /// Every plan of a tenant
    #[arg(long, conflicts_with = "all", value_parser = Tenant::parse_any)]
    tenant: Option<Tenant>,
    /// Every plan of every tenant
    #[arg(long)]
    all: bool,
}

impl ScopeArgs {
    /// The scope; a tenant that is only in the environment does not stand for all of its plans.
    pub(crate) fn scope(&self, settings: &Settings) -> Result<Scope, Failure> {
        match (self.all, names::tenant(self.tenant.clone(), settings)?, self.plan.clone()) {
            (true, _, _) => Ok(Scope::Everything),
            (false, Some(tenant), Some(plan)) => Ok(Scope::Plan(tenant, plan)),
            (false, None, Some(_)) => Err(Failure::usage("--plan needs a tenant: give --tenant or set SEALBUS_TENANT")),
            (false, Some(tenant), None) if self.tenant.is_some() => Ok(Scope::Tenant(tenant)),
            (false, _, None) => Err(Failure::usage("say which plans: --plan P, --tenant T or --all")),
        }
    }
}
