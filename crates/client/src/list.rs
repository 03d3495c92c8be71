//! Allocations, page by page.

use foreshadow_api::v1::{ListRequest, allocations_client::AllocationsClient};
use futures::{
    Stream, TryStreamExt as _,
    stream::{self, try_unfold},
};

use crate::{Allocation, Client, Error, State};

/// Which allocations are listed: those that match each filter that is set.
///
/// ```
/// use foreshadow_client::{Filter, State};
///
/// let held = Filter::all().pool("notebook").user("ada").state(State::Granted);
/// ```
#[derive(Debug, Clone, PartialEq)]
#[must_use = "a filter does nothing until something is listed"]
pub struct Filter(ListRequest);

impl Filter {
    /// The most allocations in one page.
    pub const MAX_PAGE: u32 = foreshadow_api::MAX_PAGE;

    /// All that the token may see.
    pub fn all() -> Self {
        Self(ListRequest {
            page_size: Self::MAX_PAGE,
            ..ListRequest::default()
        })
    }

    /// Of this tenant.
    pub fn tenant(mut self, id: impl Into<String>) -> Self {
        self.0.tenant_id = id.into();
        self
    }

    /// Of this user.
    pub fn user(mut self, id: impl Into<String>) -> Self {
        self.0.user_id = id.into();
        self
    }

    /// Of this pool.
    pub fn pool(mut self, name: impl Into<String>) -> Self {
        self.0.pool = name.into();
        self
    }

    /// In this state, or another one that was given.
    pub fn state(mut self, state: State) -> Self {
        self.0.states.push(state.to_wire().into());
        self
    }

    /// How many are asked for at a time, at most [`MAX_PAGE`](Self::MAX_PAGE), which is usual.
    pub fn page_size(mut self, size: u32) -> Self {
        self.0.page_size = size.clamp(1, Self::MAX_PAGE);
        self
    }
}

impl Client {
    /// Allocations that match a filter, in the order of their ids. The next page is asked for when the
    /// one before has been read.
    ///
    /// ```no_run
    /// # async fn example(client: foreshadow_client::Client) -> Result<(), foreshadow_client::Error> {
    /// use foreshadow_client::{Filter, State};
    /// use futures::TryStreamExt as _;
    ///
    /// let held = client.allocations(Filter::all().state(State::Granted));
    /// let mut held = std::pin::pin!(held);
    /// while let Some(one) = held.try_next().await? {
    ///     println!("{} at {:?}", one.id, one.address);
    /// }
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// The stream ends with those of any call.
    pub fn allocations(
        &self,
        filter: Filter,
    ) -> impl Stream<Item = Result<Allocation, Error>> + Send + use<> {
        let client = self.clone();
        let pages = try_unfold(Some(filter.0), move |next| {
            let client = client.clone();
            async move {
                let Some(request) = next else {
                    return Ok(None);
                };
                let (page, next) = client.page(request).await?;
                Ok::<_, Error>(Some((stream::iter(page), next)))
            }
        });
        pages.try_flatten()
    }

    /// One page, and the request for the next.
    async fn page(&self, request: ListRequest) -> Result<Page, Error> {
        let asked = self.ask("List", request.clone(), |to, request| async move {
            AllocationsClient::new(to).list(request).await
        });
        let answer = asked.await?.message;
        let read = |wire| {
            let known = Allocation::of_wire(wire);
            known.ok_or_else(|| self.misunderstood("List", "a state is unknown"))
        };
        let page = answer.allocations.into_iter().map(read).collect();
        let page_token = answer.next_page_token;
        let next = (!page_token.is_empty()).then_some(ListRequest {
            page_token,
            ..request
        });
        Ok((page, next))
    }
}

type Page = (Vec<Result<Allocation, Error>>, Option<ListRequest>);
