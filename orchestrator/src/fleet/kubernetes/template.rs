//! Pure. What users say consumers' pods and volumes are like, read from a ConfigMap and checked.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{
    Container, PersistentVolumeClaimSpec, PodTemplateSpec, VolumeResourceRequirements,
};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use thiserror::Error;

pub const POD: &str = "pod-template.yaml";
pub const CLAIM: &str = "volume-claim.yaml";
/// The container that consumers run in.
pub const CONTAINER: &str = "consumer";

const ONE_POD: &str = "ReadWriteOncePod";
const ONE_NODE: &str = "ReadWriteOnce";

/// What the pods and the volumes of consumers are like.
#[derive(Clone, Debug, PartialEq)]
pub struct Template {
    pub pod: PodTemplateSpec,
    /// Without one consumers keep their state no longer than their pods.
    pub claim: Option<PersistentVolumeClaimSpec>,
}

/// Why a template cannot be used.
#[derive(Debug, Error)]
pub enum TemplateError {
    #[error("the template has no key {POD}")]
    NoPod,
    #[error("{key} of the template is no YAML")]
    Yaml {
        key: &'static str,
        #[source]
        source: Box<serde_saphyr::Error>,
    },
    #[error("{key} of the template is not what it should be")]
    Malformed {
        key: &'static str,
        #[source]
        source: serde_json::Error,
    },
    #[error("{key} of the template has a field that Kubernetes does not know: {field}")]
    UnknownField { key: &'static str, field: String },
    #[error("{POD} of the template has no container called {CONTAINER}, but: {names}")]
    NoContainer { names: String },
    #[error("{POD} of the template says restartPolicy {policy}: a Deployment allows Always only")]
    RestartPolicy { policy: String },
    #[error(
        "{CLAIM} of the template has accessModes {modes}: a consumer's volume is {ONE_POD}, or \
         {ONE_NODE} where a storage class refuses that"
    )]
    AccessModes { modes: String },
    #[error(
        "{CLAIM} of the template does not say how large volumes are (resources.requests.storage)"
    )]
    NoSize,
}

impl Template {
    /// # Errors
    /// If it cannot be used, with the reason.
    pub fn parse(data: &BTreeMap<String, String>) -> Result<Self, TemplateError> {
        let pod = data.get(POD).ok_or(TemplateError::NoPod)?;
        let pod: PodTemplateSpec = read(POD, pod)?;
        check_pod(&pod)?;
        let claim = data.get(CLAIM).map(|text| claim(text)).transpose()?;
        Ok(Self { pod, claim })
    }
}

fn check_pod(pod: &PodTemplateSpec) -> Result<(), TemplateError> {
    let containers: &[Container] = pod.spec.as_ref().map_or(&[], |spec| &spec.containers);
    if !containers.iter().any(|container| container.name == CONTAINER) {
        let names: Vec<&str> = containers.iter().map(|container| &*container.name).collect();
        return Err(TemplateError::NoContainer { names: names.join(", ") });
    }
    match pod.spec.as_ref().and_then(|spec| spec.restart_policy.clone()) {
        Some(policy) if policy != "Always" => Err(TemplateError::RestartPolicy { policy }),
        Some(_) | None => Ok(()),
    }
}

fn claim(text: &str) -> Result<PersistentVolumeClaimSpec, TemplateError> {
    let mut claim: PersistentVolumeClaimSpec = read(CLAIM, text)?;
    let modes = claim.access_modes.get_or_insert_with(|| vec![ONE_POD.to_owned()]);
    if !matches!(&modes[..], [mode] if [ONE_POD, ONE_NODE].contains(&&**mode)) {
        return Err(TemplateError::AccessModes { modes: format!("[{}]", modes.join(", ")) });
    }
    let requests = |resources: &VolumeResourceRequirements| resources.requests.clone();
    let requests = claim.resources.as_ref().and_then(requests).unwrap_or_default();
    if requests.contains_key("storage") { Ok(claim) } else { Err(TemplateError::NoSize) }
}

/// Reads YAML. A misspelt field would be passed over without a word, and somebody rely on it.
fn read<T>(key: &'static str, text: &str) -> Result<T, TemplateError>
where
    T: DeserializeOwned + Serialize,
{
    let written: Value = serde_saphyr::from_str(text)
        .map_err(|source| TemplateError::Yaml { key, source: Box::new(source) })?;
    let parsed: T = serde_json::from_value(written.clone())
        .map_err(|source| TemplateError::Malformed { key, source })?;
    let known = serde_json::to_value(&parsed).unwrap_or_default();
    match unknown_field(&written, &known) {
        Some(field) => Err(TemplateError::UnknownField { key, field }),
        None => Ok(parsed),
    }
}

/// The first field that was written and is not known, as a path.
fn unknown_field(written: &Value, known: &Value) -> Option<String> {
    let within = |name: &str, rest: String| {
        if rest.is_empty() { name.to_owned() } else { format!("{name}.{rest}") }
    };
    match (written, known) {
        (Value::Object(written), Value::Object(known)) => {
            let fields = written.iter().filter(|(_, value)| !value.is_null());
            let mut unknown = fields.filter_map(|(name, value)| match known.get(name) {
                Some(known) => Some(within(name, unknown_field(value, known)?)),
                None => Some(name.clone()),
            });
            unknown.next()
        }
        (Value::Array(written), Value::Array(known)) => {
            let pairs = written.iter().zip(known).enumerate();
            let mut unknown = pairs.filter_map(|(at, (value, known))| {
                Some(within(&format!("[{at}]"), unknown_field(value, known)?))
            });
            unknown.next()
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD_POD: &str = "
metadata: {annotations: {a: b}}
spec:
  terminationGracePeriodSeconds: 60
  tolerations: []
  containers:
  - name: consumer
    image: stowage/consumer:1
    resources: {requests: {cpu: 500m, memory: 256Mi}}
  - {name: sidecar, image: s}
";
    const GOOD_CLAIM: &str = "resources: {requests: {storage: 1Gi}}";

    fn parse(pod: &str, claim: Option<&str>) -> Result<Template, String> {
        let claim = claim.map(|text| (CLAIM.to_owned(), text.to_owned()));
        let data = [(POD.to_owned(), pod.to_owned())].into_iter().chain(claim).collect();
        Template::parse(&data).map_err(|error| error.to_string())
    }

    #[test]
    fn a_template_without_access_modes_gets_the_strictest() {
        let template = parse(GOOD_POD, Some(GOOD_CLAIM)).unwrap();
        assert_eq!(template.claim.unwrap().access_modes, Some(vec![ONE_POD.to_owned()]));
        assert_eq!(template.pod.spec.unwrap().containers.len(), 2);
        assert_eq!(parse(GOOD_POD, None).unwrap().claim, None);
        let relaxed = format!("{GOOD_CLAIM}\naccessModes: [ReadWriteOnce]");
        assert!(parse(GOOD_POD, Some(&relaxed)).is_ok());
    }

    #[test]
    fn a_template_that_cannot_be_used_is_refused_by_what_is_wrong() {
        let refused = |pod: &str, claim| parse(pod, claim).unwrap_err();
        let sidecar = GOOD_POD.replace("name: consumer", "name: reader");
        assert!(
            refused(&sidecar, None).ends_with("no container called consumer, but: reader, sidecar")
        );
        let typo = GOOD_POD.replace("memory", "memory: 1}, lemits: {x");
        assert!(
            refused(&typo, None).ends_with("spec.containers.[0].resources.lemits"),
            "{}",
            refused(&typo, None)
        );
        let once = GOOD_POD.replace("tolerations: []", "restartPolicy: Never");
        assert!(refused(&once, None).contains("restartPolicy Never"));
        let shared = format!("{GOOD_CLAIM}\naccessModes: [ReadWriteMany]");
        assert!(refused(GOOD_POD, Some(&shared)).contains("accessModes [ReadWriteMany]"));
        assert!(refused(GOOD_POD, Some("storageClassName: fast")).contains("how large"));
        assert!(
            refused("spec: [", None).starts_with("pod-template.yaml of the template is no YAML")
        );
        assert!(refused("", None).starts_with("pod-template.yaml of the template"));
    }
}
