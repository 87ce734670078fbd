//! IO. Writes Events of the group's object, as many as the API server takes, and loses the others.

use std::time::Duration;

use common::chain::Chain;
use k8s_openapi::api::core::v1::{ConfigMap, ObjectReference};
use kube::runtime::events::{Event, EventType, Recorder, Reporter};
use kube::{Api, Client, Resource as _};
use tokio::sync::mpsc;
use tokio::time::timeout;
use tracing::warn;

use super::announce::Announcement;
use super::names::MANAGER;

const CALL_LIMIT: Duration = Duration::from_secs(5);

/// Runs until nobody announces anything any more.
pub async fn publish(
    client: Client,
    group_object: String,
    instance: String,
    mut announcements: mpsc::Receiver<Announcement>,
) {
    let reporter = Reporter { controller: MANAGER.into(), instance: Some(instance) };
    let objects: Api<ConfigMap> = Api::default_namespaced(client.clone());
    let mut regarding: Option<ObjectReference> = None;
    while let Some(announcement) = announcements.recv().await {
        let told = timeout(CALL_LIMIT, async {
            if regarding.is_none() {
                regarding = Some(objects.get(&group_object).await?.object_ref(&()));
            }
            let regarding = regarding.as_ref().expect("it was looked up a line ago");
            // A new one each time: it would take two of one kind for the same, whatever they say.
            let recorder = Recorder::new(client.clone(), reporter.clone());
            recorder.publish(&event(&announcement), regarding).await
        });
        match told.await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                let reason = announcement.reason;
                warn!(reason, error = %Chain(&error), "an Event was not written");
            }
            Err(_) => warn!(reason = announcement.reason, "an Event was not written in time"),
        }
    }
}

fn event(announcement: &Announcement) -> Event {
    Event {
        type_: if announcement.is_warning { EventType::Warning } else { EventType::Normal },
        reason: announcement.reason.into(),
        note: Some(announcement.note.clone()),
        action: announcement.reason.into(),
        secondary: None,
    }
}
