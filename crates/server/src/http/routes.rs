//! Routes with their descriptions: who adds a route says what it takes and answers, and the OpenAPI document is made of
//! that. There is no other list of routes.

use std::sync::Arc;

use axum::{
    Router,
    handler::Handler,
    routing::{MethodFilter, on},
};
use http::Method;

use crate::app::App;

/// Routes, and what they do.
#[derive(Default)]
pub(super) struct Routes {
    router: Router<Arc<App>>,
    described: Vec<Route>,
}

/// One method of one path.
#[derive(Debug, Clone)]
pub(super) struct Route {
    pub(super) method: Method,
    /// As the router writes it: `{name}` stands for one segment, `{*name}` for all that follow.
    pub(super) path: String,
    pub(super) operation: Operation,
}

/// What is said of a route.
#[derive(Debug, Clone, Copy)]
pub(super) struct Operation {
    pub(super) summary: &'static str,
    pub(super) query: &'static [Field],
    /// Media types that a body may have; none is taken if there are none.
    pub(super) body: &'static [&'static str],
    pub(super) answers: &'static [Answer],
}

/// A field of a query.
#[derive(Debug, Clone, Copy)]
pub(super) struct Field {
    pub(super) name: &'static str,
    pub(super) words: &'static str,
}

/// An answer that a route may give.
#[derive(Debug, Clone, Copy)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) words: &'static str,
    pub(super) content: Content,
}

/// What is in an answer.
#[derive(Debug, Clone, Copy)]
pub(super) enum Content {
    Nothing,
    /// Bytes or text of these media types.
    Media(&'static [&'static str]),
    /// JSON of this shape.
    Item(&'static Shape),
    /// `{"items": […], "next": …}` of this shape.
    PageOf(&'static Shape),
    /// Problem details [RFC 9457].
    Problem,
}

/// A JSON object of ours: its name in the document, and its members.
#[derive(Debug)]
pub(super) struct Shape {
    pub(super) name: &'static str,
    pub(super) members: &'static [(&'static str, Kind)],
}

/// What a member is when it is not null.
#[derive(Debug, Clone, Copy)]
pub(super) enum Kind {
    Text,
    Number,
    Texts,
}

impl Routes {
    pub(super) fn new() -> Self {
        Self::default()
    }

    /// A route that GET and HEAD take.
    pub(super) fn get<H, T>(self, path: &str, handler: H, operation: Operation) -> Self
    where
        H: Handler<T, Arc<App>>,
        T: 'static,
    {
        self.on(Method::GET, MethodFilter::GET, path, handler, operation)
    }

    pub(super) fn post<H, T>(self, path: &str, handler: H, operation: Operation) -> Self
    where
        H: Handler<T, Arc<App>>,
        T: 'static,
    {
        self.on(Method::POST, MethodFilter::POST, path, handler, operation)
    }

    pub(super) fn delete<H, T>(self, path: &str, handler: H, operation: Operation) -> Self
    where
        H: Handler<T, Arc<App>>,
        T: 'static,
    {
        self.on(Method::DELETE, MethodFilter::DELETE, path, handler, operation)
    }

    pub(super) fn options<H, T>(self, path: &str, handler: H, operation: Operation) -> Self
    where
        H: Handler<T, Arc<App>>,
        T: 'static,
    {
        self.on(Method::OPTIONS, MethodFilter::OPTIONS, path, handler, operation)
    }

    fn on<H, T>(mut self, method: Method, filter: MethodFilter, path: &str, handler: H, operation: Operation) -> Self
    where
        H: Handler<T, Arc<App>>,
        T: 'static,
    {
        self.described.push(Route { method, path: path.to_owned(), operation });
        self.router = self.router.route(path, on(filter, handler));
        self
    }

    /// A route that is answered before the router is asked.
    pub(super) fn elsewhere(mut self, method: Method, path: &'static str, operation: Operation) -> Self {
        self.described.push(Route { method, path: path.to_owned(), operation });
        self
    }

    pub(super) fn merge(mut self, other: Self) -> Self {
        self.described.extend(other.described);
        self.router = self.router.merge(other.router);
        self
    }

    /// The routes of another below `base`.
    pub(super) fn nest(mut self, base: &'static str, other: Self) -> Self {
        let below = |route: Route| Route { path: format!("{base}{}", route.path), ..route };
        self.described.extend(other.described.into_iter().map(below));
        self.router = self.router.nest(base, other.router);
        self
    }

    pub(super) fn described(&self) -> &[Route] {
        &self.described
    }

    pub(super) fn into_router(self) -> Router<Arc<App>> {
        self.router
    }
}

impl Field {
    pub(super) const fn new(name: &'static str, words: &'static str) -> Self {
        Self { name, words }
    }
}

impl Answer {
    pub(super) const fn new(status: u16, words: &'static str, content: Content) -> Self {
        Self { status, words, content }
    }

    /// An error.
    pub(super) const fn problem(status: u16, words: &'static str) -> Self {
        Self::new(status, words, Content::Problem)
    }
}
