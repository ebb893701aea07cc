//! What tests ask a host: its state, its process ids, its apps' answers.

use std::io;

use serde_json::Value;

use super::checkout::{App, Checkout};
use super::host::Host;
use super::http::{Request, Response};
use super::{SOON, wait_until};

impl Host {
    /// `paas status --json`.
    #[track_caller]
    pub(crate) fn status(&self) -> Value {
        self.paas(&["status", "--json"]).expect_ok().json()
    }

    /// The process that decides.
    #[track_caller]
    pub(crate) fn server_pid(&self) -> u32 {
        pid_of(&self.status()["server_pid"])
    }

    /// The shim beside the router.
    #[track_caller]
    pub(crate) fn router_shim_pid(&self) -> u32 {
        pid_of(&self.status()["router_shim_pid"])
    }

    /// A checkout of an example.
    pub(crate) fn checkout(&self, example: &str) -> Checkout<'_> {
        Checkout::of_example(self, example)
    }

    /// Creates an app from a checkout, as its author does.
    #[track_caller]
    pub(crate) fn create<'h>(&'h self, name: &str, checkout: Checkout<'h>) -> App<'h> {
        self.paas_in(checkout.folder(), &["apps:create", name]).expect_ok();
        App::new(name, checkout)
    }

    /// Sends a request through the front door.
    pub(crate) fn send(&self, request: &Request<'_>) -> io::Result<Response> {
        request.send(self.seat.http())
    }

    /// GET from an app by its name; the answer must come.
    #[track_caller]
    pub(crate) fn get(&self, app: &str, path: &str) -> Response {
        let name = format!("{app}.localhost");
        self.send(&Request::get(&name, path)).unwrap_or_else(|error| panic!("GET {path} from {name}: {error}"))
    }

    /// POST to an app by its name; the answer must come.
    #[track_caller]
    pub(crate) fn post(&self, app: &str, path: &str) -> Response {
        let name = format!("{app}.localhost");
        self.send(&Request::post(&name, path)).unwrap_or_else(|error| panic!("POST {path} to {name}: {error}"))
    }

    /// The facts that an example tells about itself, once it answers with 200.
    #[track_caller]
    pub(crate) fn facts(&self, app: &str) -> Value {
        let name = format!("{app}.localhost");
        let request = Request { headers: &["Accept: application/json"], ..Request::get(&name, "/") };
        wait_until(&format!("{app} answers with 200"), SOON, || {
            self.send(&request).ok().filter(|response| response.status == 200).map(|response| response.json())
        })
    }
}

/// A process id in a reply.
#[track_caller]
pub(crate) fn pid_of(value: &Value) -> u32 {
    value.as_u64().and_then(|pid| u32::try_from(pid).ok()).unwrap_or_else(|| panic!("{value} is no process id"))
}
