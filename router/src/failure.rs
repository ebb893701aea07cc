//! What visitors and access lines get when there is no answer: Heroku's codes.

use crate::admit::Refusal;
use crate::http::HttpError;

/// Why a request has no answer of its app.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Failure {
    /// Heroku's code; none where the request itself is wrong.
    pub(crate) code: Option<&'static str>,
    /// Heroku's words for the log.
    pub(crate) words: &'static str,
    /// The status that the visitor gets.
    pub(crate) status: u16,
    /// The heading of the page.
    pub(crate) heading: &'static str,
    /// What it means, for a visitor.
    pub(crate) meaning: &'static str,
    /// What its owner runs to see more: `paas COMMAND -a APP`.
    pub(crate) command: Option<&'static str>,
    /// Seconds after which trying again makes sense.
    pub(crate) retry_after_s: Option<u32>,
}

const fn of_app(code: &'static str, words: &'static str, status: u16, meaning: &'static str, command: &'static str) -> Failure {
    Failure { code: Some(code), words, status, heading: "This app did not answer", meaning, command: Some(command), retry_after_s: None }
}

const fn of_request(words: &'static str, status: u16, heading: &'static str, meaning: &'static str) -> Failure {
    Failure { code: None, words, status, heading, meaning, command: None, retry_after_s: None }
}

/// H10.
pub(crate) const CRASHED: Failure =
    of_app("H10", "App crashed", 503, "It crashes each time it is started. It is being started again.", "ps:why web.1");
/// H11.
pub(crate) const QUEUE_FULL: Failure = Failure {
    retry_after_s: Some(5),
    ..of_app("H11", "Backlog too deep", 503, "It is being restarted, and too many visitors wait for it already.", "ps")
};
/// H12.
pub(crate) const TIMED_OUT: Failure = of_app("H12", "Request timeout", 504, "It took the request but sent nothing back in time.", "logs");
/// H13.
pub(crate) const NO_ANSWER: Failure =
    of_app("H13", "Connection closed without response", 502, "It closed the connection without an answer.", "logs");
/// H14.
pub(crate) const STOPPED: Failure = of_app(
    "H14",
    "No web processes running",
    503,
    "It was stopped (ps:start starts it), has no web process, or nothing was pushed yet.",
    "ps",
);
/// H15.
pub(crate) const IDLE: Failure = of_app("H15", "Idle connection", 504, "It stopped in the middle of its answer.", "logs");
/// H17.
pub(crate) const MALFORMED_ANSWER: Failure =
    of_app("H17", "Poorly formatted HTTP response", 502, "It answered with something that is not HTTP.", "logs");
/// H18.
pub(crate) const BROKEN: Failure = of_app("H18", "Server Request Interrupted", 502, "It broke off in the middle of its answer.", "logs");
/// H19.
pub(crate) const CONNECT_TIMED_OUT: Failure =
    of_app("H19", "Backend connection timeout", 503, "It is running but takes no connections.", "ps:why web.1");
/// H20.
pub(crate) const HELD_TOO_LONG: Failure =
    Failure { retry_after_s: Some(10), ..of_app("H20", "App boot timeout", 503, "It is being restarted and was not ready in time.", "ps") };
/// H21.
pub(crate) const REFUSED: Failure =
    Failure { retry_after_s: Some(5), ..of_app("H21", "Backend connection refused", 503, "It refuses connections.", "ps:why web.1") };
/// H27.
pub(crate) const CLIENT_GONE: Failure = of_request("Client Request Interrupted", 499, "", "");
/// H28.
pub(crate) const CLIENT_IDLE: Failure =
    of_request("Client Connection Idle", 408, "The request did not arrive", "The rest of the request did not come in time.");
/// H99.
pub(crate) const PLATFORM: Failure = of_app("H99", "Platform error", 503, "The platform could not connect to it.", "ps");
/// A name that leads nowhere.
pub(crate) const UNKNOWN_HOST: Failure = of_request("Unknown host", 404, "There is nothing here", "No app answers to this name.");
/// A head that came too slowly.
pub(crate) const SLOW_HEAD: Failure = CLIENT_IDLE;

/// Heroku's code for the log, also where visitors get none.
pub(crate) fn log_code(failure: &Failure) -> &'static str {
    match failure.code {
        Some(code) => code,
        None if *failure == CLIENT_GONE => "H27",
        None if *failure == CLIENT_IDLE => "H28",
        None => "-",
    }
}

/// The failure of a refused request.
pub(crate) fn of_refusal(refusal: &Refusal) -> Failure {
    match refusal {
        Refusal::Crashed => CRASHED,
        Refusal::Stopped => STOPPED,
        Refusal::Gone => UNKNOWN_HOST,
        Refusal::QueueFull => QUEUE_FULL,
        Refusal::HeldTooLong => HELD_TOO_LONG,
        Refusal::Refused => REFUSED,
        Refusal::ConnectTimedOut => CONNECT_TIMED_OUT,
        Refusal::Platform(_) => PLATFORM,
    }
}

/// The failure of a request that breaks HTTP.
pub(crate) fn of_http(error: HttpError) -> Failure {
    let (words, meaning) = match error {
        HttpError::Malformed(why) => ("Malformed request", why),
        HttpError::LineTooLong => ("Request line too long", "The address is longer than 8 KiB."),
        HttpError::HeadTooLarge => ("Request head too large", "The header is larger than 64 KiB or has more than 128 fields."),
        HttpError::Version => ("Unknown HTTP version", "Only HTTP/1.0 and HTTP/1.1 are spoken here."),
        HttpError::Connect => ("Method not allowed", "This is not a forward proxy."),
    };
    of_request(words, error.status(), "The request was not understood", meaning)
}

/// The reason phrase of the statuses that we give ourselves.
pub(crate) fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        400 => "Bad Request",
        404 => "Not Found",
        405 => "Method Not Allowed",
        408 => "Request Timeout",
        414 => "URI Too Long",
        431 => "Request Header Fields Too Large",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        505 => "HTTP Version Not Supported",
        _ => "Error",
    }
}
