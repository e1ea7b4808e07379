//! A scan as a stream of items: pages are asked for as they are needed.

use std::collections::VecDeque;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio_stream::Stream;

use super::Client;
use super::error::Error;
use super::types::{Item, ScanOptions, ScanPage};

type NextPage = Pin<Box<dyn Future<Output = Result<ScanPage, Error>> + Send>>;

/// The items of a scan. Ends after the last item, or after an error.
#[must_use = "a scan does nothing until it is read"]
pub struct ScanStream {
    client: Client,
    options: ScanOptions,
    items: VecDeque<Item>,
    /// The page on its way.
    page: Option<NextPage>,
    /// Items that may still be handed out.
    left: u64,
}

impl ScanStream {
    pub(super) fn new(client: Client, options: ScanOptions) -> ScanStream {
        let left = options.limit.unwrap_or(u64::MAX);
        let mut stream = ScanStream { client, options, items: VecDeque::new(), page: None, left };
        stream.ask(Vec::new());
        stream
    }

    fn ask(&mut self, cursor: Vec<u8>) {
        let wanted = self.left - (self.items.len() as u64).min(self.left);
        if wanted == 0 {
            return;
        }
        let (client, mut options) = (self.client.clone(), self.options.clone());
        let wanted = u32::try_from(wanted).unwrap_or(u32::MAX);
        let page = if options.page_items == 0 { u32::MAX } else { options.page_items };
        options.page_items = match wanted.min(page) {
            u32::MAX => 0,
            items => items,
        };
        self.page = Some(Box::pin(async move { client.scan_page(&options, &cursor).await }));
    }

    /// The next item; `None` at the end.
    pub async fn next(&mut self) -> Option<Result<Item, Error>> {
        std::future::poll_fn(|context| Pin::new(&mut *self).poll_next(context)).await
    }
}

impl Stream for ScanStream {
    type Item = Result<Item, Error>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            if self.left == 0 {
                return Poll::Ready(None);
            }
            if let Some(item) = self.items.pop_front() {
                self.left -= 1;
                return Poll::Ready(Some(Ok(item)));
            }
            let Some(page) = &mut self.page else { return Poll::Ready(None) };
            let page = ready!(page.as_mut().poll(context));
            self.page = None;
            match page {
                Ok(page) => {
                    self.items = page.items.into();
                    if let Some(cursor) = page.next {
                        self.ask(cursor);
                    }
                }
                Err(error) => return Poll::Ready(Some(Err(error))),
            }
        }
    }
}
