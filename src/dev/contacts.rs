//! The sample upstream: an in-memory JSON API in which each user owns contacts.
//!
//! Checks nothing itself, as a service behind the gateway would: it trusts the identity headers and tells what it saw of them.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
};

use async_trait::async_trait;
use http::{Method, Response, StatusCode, header};
use pingora::{apps::http_app::ServeHttp, protocols::http::ServerSession};
use serde_json::{Value, json};

const MAX_BODY: usize = 64 * 1024;
const MAX_CONTACTS: usize = 1_000;

type Book = BTreeMap<String, Value>;

/// The contacts of all users.
#[derive(Debug, Default)]
pub struct Contacts(Mutex<BTreeMap<String, Book>>);

impl Contacts {
    /// Two contacts for each owner.
    pub fn seeded(owners: &[&str]) -> Self {
        let book = || {
            let contact = |id: &str, name: &str| (id.to_owned(), json!({ "id": id, "name": name }));
            Book::from([contact("1", "Ada"), contact("2", "Grace")])
        };
        Self(Mutex::new(owners.iter().map(|owner| ((*owner).to_owned(), book())).collect()))
    }

    fn answer(&self, method: &Method, path: &str, body: Option<Value>) -> (StatusCode, Value) {
        let segments: Vec<&str> = path.split('/').skip(1).collect();
        match segments.as_slice() {
            ["users", owner, "contacts"] => self.collection(method, owner, body),
            ["users", owner, "contacts", id] => self.contact(method, owner, id, body),
            ["users", user, "profile"] => (StatusCode::OK, json!({ "profile": { "user": user } })),
            ["public", ..] => (StatusCode::OK, json!({ "public": path })),
            _ => (StatusCode::NOT_FOUND, json!({ "error": "no such resource" })),
        }
    }

    fn collection(&self, method: &Method, owner: &str, body: Option<Value>) -> (StatusCode, Value) {
        let mut books = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let book = books.entry(owner.to_owned()).or_default();
        if *method != Method::POST {
            return (StatusCode::OK, json!({ "contacts": book.values().collect::<Vec<_>>() }));
        }
        if book.len() >= MAX_CONTACTS {
            return (StatusCode::INSUFFICIENT_STORAGE, json!({ "error": "the book is full" }));
        }
        let id = (1..).map(|n: usize| n.to_string()).find(|id| !book.contains_key(id)).unwrap_or_default();
        let contact = named(body, &id);
        book.insert(id, contact.clone());
        (StatusCode::CREATED, json!({ "contact": contact }))
    }

    fn contact(&self, method: &Method, owner: &str, id: &str, body: Option<Value>) -> (StatusCode, Value) {
        let mut books = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let book = books.entry(owner.to_owned()).or_default();
        if *method == Method::PUT || *method == Method::PATCH {
            let contact = named(body, id);
            book.insert(id.to_owned(), contact.clone());
            return (StatusCode::OK, json!({ "contact": contact }));
        }
        if *method == Method::DELETE {
            return match book.remove(id) {
                Some(contact) => (StatusCode::OK, json!({ "deleted": contact })),
                None => (StatusCode::OK, json!({ "deleted": null })),
            };
        }
        match book.get(id) {
            Some(contact) => (StatusCode::OK, json!({ "contact": contact })),
            None => (StatusCode::NOT_FOUND, json!({ "error": "no such contact" })),
        }
    }
}

/// The contact in a body, under the id that the path gives it.
fn named(body: Option<Value>, id: &str) -> Value {
    let mut contact = match body {
        Some(Value::Object(fields)) => fields,
        Some(_) | None => serde_json::Map::new(),
    };
    contact.insert("id".to_owned(), id.into());
    Value::Object(contact)
}

#[async_trait]
impl ServeHttp for Contacts {
    async fn response(&self, session: &mut ServerSession) -> Response<Vec<u8>> {
        let body = read_body(session).await;
        let request = session.req_header();
        let (status, mut answer) = self.answer(&request.method, request.uri.path(), body);
        let seen: serde_json::Map<String, Value> = request
            .headers
            .iter()
            .filter(|(name, _)| name.as_str().starts_with("x-"))
            .map(|(name, value)| (name.as_str().to_owned(), String::from_utf8_lossy(value.as_bytes()).into()))
            .collect();
        if let Value::Object(fields) = &mut answer {
            fields.insert("upstream_saw".to_owned(), Value::Object(seen));
        }
        let text = format!("{answer}\n").into_bytes();
        let is_head = request.method == Method::HEAD;
        let mut response = Response::new(Vec::new());
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, header::HeaderValue::from_static("application/json"));
        headers.insert(header::CONTENT_LENGTH, header::HeaderValue::from(text.len()));
        if !is_head {
            *response.body_mut() = text;
        }
        response
    }
}

async fn read_body(session: &mut ServerSession) -> Option<Value> {
    let mut body = Vec::new();
    while let Ok(Some(chunk)) = session.read_request_body().await {
        if body.len() + chunk.len() > MAX_BODY {
            return None;
        }
        body.extend_from_slice(&chunk);
    }
    serde_json::from_slice(&body).ok()
}
