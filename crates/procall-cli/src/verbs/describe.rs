//! `procall describe`: all that is known of a service or a method.

use clap::Args;
use procall::Shape;
use serde_json::json;

use crate::directory::{Directory, Found, Service, counted};
use crate::failure::Failure;
use crate::style::Style;
use crate::{output, plain, schema};

const EXAMPLES: &str = "Examples:
  procall describe calc.add          a method
  procall describe add               the same, when no other service has an add
  procall describe calc              a service
  procall describe calc.add --json   its schemas";

/// Show what is known of a method or a service.
#[derive(Debug, Args)]
#[command(before_help = EXAMPLES)]
pub(crate) struct Describe {
    /// A service, or a method, with its service or without.
    name: String,

    /// Ask only the service at this address, such as tcp:127.0.0.1:9000.
    #[arg(long, value_name = "ADDRESS")]
    at: Option<String>,
}

impl Describe {
    pub(crate) async fn run(self, style: &Style) -> Result<(), Failure> {
        let directory = Directory::survey(self.at.as_deref()).await?;
        match directory.service(&self.name) {
            Some(service) => describe_service(service, style),
            None => describe_method(directory.method(&self.name)?, style),
        }
    }
}

/// A line with a label before it, or none.
fn row(style: &Style, name: &str, text: &str) -> Result<(), Failure> {
    output::line(&format!("{}{}", label(style, name), plain::line(text.trim_end())))
}

fn label(style: &Style, label: &str) -> String {
    style.out.dim(&format!("  {label:<12}"))
}

fn describe_service(service: &Service, style: &Style) -> Result<(), Failure> {
    let registration = &service.registration;
    if style.json {
        let methods: Vec<_> = service.methods().collect();
        let object = json!({
            "service": service.name,
            "version": registration.version,
            "description": registration.description,
            "pid": service.pid,
            "workers": service.workers,
            "peers": service.through.as_ref().map(|through| &through.peers),
            "methods": methods,
        });
        return output::json(&object.to_string(), style);
    }
    let (name, version) = (plain::line(&service.name), plain::line(&registration.version));
    output::line(format!("{} {version}", style.out.bold(&name)).trim_end())?;
    for line in registration.description.lines() {
        output::line(&format!("  {}", plain::line(line)))?;
    }
    let behind = match (&service.through, &service.workers) {
        (Some(through), _) if through.peers.is_empty() => "nobody now: it is away".to_owned(),
        (Some(through), _) => {
            let names: Vec<&str> = through.peers.iter().map(|peer| &*peer.name).collect();
            format!("{} of the engine: {}", counted(names.len(), "peer"), names.join(", "))
        }
        (None, Some(workers)) => counted(workers.len(), "worker"),
        (None, None) => "no pool: the process itself".to_owned(),
    };
    row(style, "served by", &behind)?;
    for method in service.methods() {
        row(style, "method", &schema::signature(method))?;
    }
    if let Some(method) = service.methods().next() {
        style.hint(&format!("procall describe {}", method.name));
    }
    Ok(())
}

fn describe_method(found: Found<'_>, style: &Style) -> Result<(), Failure> {
    let (method, service) = (found.method, found.service);
    let example = schema::example(method);
    if style.json {
        let object = json!({
            "service": service.name,
            "signature": schema::signature(method),
            "example": example,
            "method": method,
        });
        return output::json(&object.to_string(), style);
    }
    output::line(&style.out.bold(&plain::line(&schema::signature(method))))?;
    for line in method.description.lines() {
        output::line(&format!("  {}", plain::line(line)))?;
    }
    let parameters = schema::parameters(method);
    let width = parameters.iter().map(|parameter| parameter.name.chars().count()).max();
    for (at, parameter) in parameters.iter().enumerate() {
        let need = match (parameter.required, parameter.default) {
            (true, _) => "required".to_owned(),
            (false, Some(default)) => format!("default {default}"),
            (false, None) => "optional".to_owned(),
        };
        let text = format!(
            "{:<width$}  {}, {need}  {}",
            parameter.name,
            parameter.kind,
            parameter.description,
            width = width.unwrap_or_default()
        );
        row(style, if at == 0 { "params" } else { "" }, &text)?;
    }
    if parameters.is_empty() {
        row(style, "params", "none")?;
    }
    let streams = match method.shape {
        Shape::Unary => "none",
        Shape::ItemsOut => "the answer is one",
        Shape::ItemsIn => "the caller sends one",
        Shape::Duplex => "the caller sends one, and the answer is one",
    };
    let idempotent = if method.idempotent { "yes" } else { "no" };
    let rows = [
        ("result", schema::result(method)),
        ("streams", streams.to_owned()),
        ("idempotent", idempotent.to_owned()),
        ("service", service.name.clone()),
    ];
    for (name, text) in rows {
        row(style, name, &text)?;
    }
    for (at, error) in method.errors.iter().enumerate() {
        let text = match &*error.description {
            "" => error.name.clone(),
            description => format!("{}  {description}", error.name),
        };
        row(style, if at == 0 { "errors" } else { "" }, &text)?;
    }
    if style.verbose {
        for (name, schema) in [("params", &method.params_schema), ("result", &method.result_schema)]
        {
            let text =
                schema.as_ref().map_or_else(|| "none".to_owned(), |schema| format!("{schema:#}"));
            let name = label(style, &format!("{name} schema "));
            output::line(&format!("{name}{}", plain::text(&text)))?;
        }
    }
    row(style, "try", &example)
}
