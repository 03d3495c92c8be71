//! Who may call what: the gate that every request passes before anything looks at it.

mod admission;
mod caller;
mod credentials;
mod refusals;
mod sites;
mod table;

use std::{
    convert::Infallible,
    future::{Ready, ready},
    net::SocketAddr,
    sync::{Arc, PoisonError, RwLock},
    task::{Context, Poll},
    time::Duration,
};

use axum::{
    http::{HeaderMap, HeaderValue, Request, StatusCode, header},
    response::{IntoResponse, Response},
};
use foreshadow_access::{Directory, Presented, Principal, Refusal};
use futures::future::Either;
use http_body::Body;
use tonic::{Code, Status, codegen::Service};

pub(crate) use self::caller::{Caller, is_grpc};
pub(crate) use self::refusals::{Refusals, Why};
use self::{
    admission::{InTurn, Refusing},
    credentials::bearer,
    table::Need,
};
use crate::{
    arrival::Timely,
    clock::now,
    cluster::FORWARDED,
    error::ApiError,
    listen::Peer,
    options::ServerOptions,
    traces::Traced,
    turns::{Turn, Turns},
};

/// What a name that resolves to this machine is told: a page of another site may have made it do so.
const NOT_LOCAL: &str = "without tokens the server answers to 127.0.0.1, [::1] and localhost only; \
                         call it by one of these, or give it a token";

/// What an address is told from which many calls came that nobody is known by.
const TOO_MANY_TRIES: &str = "too many calls from this address were refused; come back later, with a \
                              token that is known";

/// What a page of another site is told, through the browser that shows it.
const OTHER_SITE: &str = "requests from pages of other sites are not taken";

/// Everybody who may call; it can be exchanged while calls go on.
#[derive(Debug, Clone)]
pub struct Access(Arc<RwLock<Arc<Directory>>>);

impl Access {
    /// Lets in whom the directory knows.
    pub fn new(directory: Directory) -> Self {
        Self(Arc::new(RwLock::new(Arc::new(directory))))
    }

    /// Puts another directory in the place of the present one, for calls to come.
    pub fn replace(&self, directory: Directory) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(directory);
    }

    fn directory(&self) -> Arc<Directory> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }
}

/// The gate: who passes, what is refused, and how long a request may take to arrive.
#[derive(Debug, Clone)]
pub(crate) struct Gate {
    whom: Whom,
    refusals: Arc<Refusals>,
    arrival: Duration,
    /// Of claims.
    turns: Turns,
}

/// Of a server that knows its callers, or of one that is open to this machine.
#[derive(Debug, Clone)]
enum Whom {
    Guarded(Access),
    Open(Arc<Principal>),
}

impl Gate {
    /// `turns` are those that claims have.
    pub(crate) fn of(options: &ServerOptions, turns: Turns) -> Self {
        let whom = match &options.access {
            Some(access) => Whom::Guarded(access.clone()),
            None => Whom::Open(Arc::new(Principal::admin("local"))),
        };
        Self {
            whom,
            refusals: Arc::clone(&options.refusals),
            arrival: options.arrival,
            turns,
        }
    }
}

/// All services behind the gate: a request that its caller may make passes with the caller in its
/// extensions, any other is answered here. It is on the way of every claim, so it neither boxes nor
/// waits.
#[derive(Debug, Clone)]
pub(crate) struct Gated {
    gate: Gate,
    inner: Traced,
}

impl Gated {
    pub(crate) fn new(gate: Gate, inner: Traced) -> Self {
        Self { gate, inner }
    }
}

/// An answer of the services, in its turn; a refusal that is made at once; one after the call has arrived.
type Answer<F, B> =
    Either<InTurn<F>, Either<Ready<Result<Response, Infallible>>, Refusing<Timely<B>>>>;

impl<B> Service<Request<B>> for Gated
where
    B: Body + Unpin,
    Timely<B>: Body + Unpin,
    Traced: Service<Request<Timely<B>>, Response = Response, Error = Infallible>,
{
    type Response = Response;
    type Error = Infallible;
    type Future = Answer<<Traced as Service<Request<Timely<B>>>>::Future, B>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Service::<Request<Timely<B>>>::poll_ready(&mut self.inner, cx)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        let (caller, turn) = match self.gate.admitted(&request) {
            Ok(admitted) => admitted,
            Err(refused) => return self.gate.refuse(refused, request),
        };
        if let Some(principal) = caller {
            let peer = request.extensions().get::<Peer>();
            let caller = Caller::new(
                principal,
                peer.and_then(|peer| peer.address),
                request.headers(),
            );
            request.extensions_mut().insert(caller);
        }
        let request = self.gate.timely(request);
        Either::Left(InTurn::new(self.inner.call(request), turn))
    }
}

impl Gate {
    /// Whoever makes a request that they may make, with the turn that it needs.
    fn admitted<B>(
        &self,
        request: &Request<B>,
    ) -> Result<(Option<Arc<Principal>>, Option<Turn>), Refused> {
        let caller = self.known(request)?;
        let claims = table::is_claim(request.method(), request.uri().path());
        let turn = claims.then(|| self.turns.claim()).transpose();
        Ok((caller, turn.map_err(Refused::Busy)?))
    }

    /// The request with a bound on how long it may take to arrive.
    fn timely<B>(&self, request: Request<B>) -> Request<Timely<B>> {
        let stream = table::is_stream(request.uri().path());
        let within = (!stream).then_some(self.arrival);
        request.map(|body| Timely::new(body, within))
    }

    /// Answers a call that was refused.
    fn refuse<F, B>(&self, refused: Refused, request: Request<B>) -> Answer<F, B> {
        let peer = request.extensions().get::<Peer>();
        let refused = self.told(refused, peer.and_then(|peer| peer.address));
        let busy = matches!(refused, Refused::Busy(_));
        let answer = refused.answer(request.headers());
        Either::Right(if busy {
            Either::Right(Refusing::new(self.timely(request).into_body(), answer))
        } else {
            Either::Left(ready(Ok(answer)))
        })
    }

    /// Whoever makes a request that they may make; nobody where nothing is needed.
    fn known<B>(&self, request: &Request<B>) -> Result<Option<Arc<Principal>>, Refused> {
        if !request.method().is_safe() && !sites::same_site(request) {
            return Err(Refused::Forbidden(OTHER_SITE.to_owned()));
        }
        match &self.whom {
            Whom::Open(local) if sites::is_local(request) => Ok(Some(Arc::clone(local))),
            Whom::Open(_) => Err(Refused::Forbidden(NOT_LOCAL.to_owned())),
            Whom::Guarded(access) => admitted(access, request),
        }
    }

    /// What is answered to a call that was refused, once it is counted and told of. Who fails too often
    /// is told to come later, whatever it shows.
    fn told(&self, refused: Refused, peer: Option<SocketAddr>) -> Refused {
        let now = now();
        let refused = match refused {
            Refused::Unrecognised(refusal) => match self.refusals.take_try(peer, now) {
                Ok(()) => Refused::Unrecognised(refusal),
                Err(delay) => Refused::TooOften(ApiError::too_often(TOO_MANY_TRIES, delay)),
            },
            Refused::Forbidden(_) | Refused::TooOften(_) | Refused::Busy(_) => refused,
        };
        let (why, said) = match &refused {
            Refused::Unrecognised(refusal) => (Why::Unauthenticated, refusal.to_string()),
            Refused::Forbidden(message) => (Why::Forbidden, message.clone()),
            Refused::TooOften(error) => (Why::TooOften, error.message.clone()),
            Refused::Busy(error) => (Why::Busy, error.message.clone()),
        };
        self.refusals.note(why, peer, &said, now);
        refused
    }
}

/// Whoever makes a request that they may make; nobody where nothing is needed.
fn admitted<B>(access: &Access, request: &Request<B>) -> Result<Option<Arc<Principal>>, Refused> {
    let need = table::need(request.method(), request.uri().path());
    if need == Need::Nothing {
        return Ok(None);
    }
    let now = now();
    let token = bearer(request.headers());
    let peer = request.extensions().get::<Peer>();
    // The certificate of a replica that sends a call on says nothing of who made it.
    let own = peer.filter(|_| !request.headers().contains_key(FORWARDED));
    let shown = Presented {
        bearer: token.as_deref(),
        certificate_names: own.map_or(&[], |peer| &peer.names),
    };
    let principal = access.directory().recognise(shown, now);
    let principal = principal.map_err(Refused::Unrecognised)?;
    // Also what is refused is a call: it is answered, and told of in the log.
    let counted = principal.take_call(now);
    counted.map_err(|delay| Refused::TooOften(too_often(delay)))?;
    if let Need::Permission(permission) = need
        && !principal.may(permission)
    {
        let message = format!(
            "`{}` is {}, and {} needs {}",
            principal.name(),
            principal.role(),
            request.uri().path(),
            permission.holders()
        );
        return Err(Refused::Forbidden(message));
    }
    Ok(Some(principal))
}

/// What a caller is told that calls more often than its rate allows.
pub(crate) fn too_often(delay: Duration) -> ApiError {
    ApiError::too_often("this caller calls more often than it may", delay)
}

/// Why a request does not pass.
enum Refused {
    Unrecognised(Refusal),
    Forbidden(String),
    TooOften(ApiError),
    Busy(ApiError),
}

impl Refused {
    fn answer(self, headers: &HeaderMap) -> Response {
        let unrecognised = matches!(self, Self::Unrecognised(_));
        let error = match self {
            Self::Unrecognised(refusal) => ApiError::new(
                Code::Unauthenticated,
                StatusCode::UNAUTHORIZED,
                refusal.to_string(),
            ),
            Self::Forbidden(message) => {
                ApiError::new(Code::PermissionDenied, StatusCode::FORBIDDEN, message)
            }
            Self::TooOften(error) | Self::Busy(error) => error,
        };
        if is_grpc(headers) {
            return Status::from(error).into_http();
        }
        let mut response = error.into_response();
        if unrecognised {
            // What makes a browser ask for the token.
            let challenge = HeaderValue::from_static("Basic realm=\"foreshadow\"");
            let headers = response.headers_mut();
            headers.insert(header::WWW_AUTHENTICATE, challenge);
        }
        response
    }
}
