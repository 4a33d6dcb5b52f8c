//! Arrays that are made where they can be lent.

use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;

use procall_proto::buffer::{self, Place};
use procall_transport::shm::Buffer;
use serde::ser::{Error as _, Serialize, Serializer};

use super::typed_buffer::{self, Element};
use crate::client::AsChannel;
use crate::error::Error;
use crate::lent;

/// An array of numbers in memory that the other side of a channel can look at: as an argument of a call on that channel it is not copied.
///
/// Where the channel cannot lend memory, and as an argument of calls on others, it is copied like a [`TypedBuffer`](super::TypedBuffer).
///
/// ```no_run
/// # fn f(client: procall::BlockingClient) -> Result<(), procall::Error> {
/// use procall::Array;
///
/// let mut image = Array::<f32>::empty(&client, &[1080, 1920])?;
/// image.elements_mut().expect("nobody looks at it").fill(0.5);
/// let mean: f64 = client.call("mean", (&image,)).wait()?;
/// # Ok(()) }
/// ```
pub struct Array<T> {
    memory: Memory<T>,
    shape: Vec<u64>,
    element: PhantomData<T>,
}

enum Memory<T> {
    Lent(Arc<Buffer>),
    Own(Vec<T>),
}

impl<T: Element> Array<T> {
    /// An array with anything in it, for calls on a channel.
    ///
    /// # Errors
    ///
    /// INVALID_ARGUMENT for a shape that no array can have, INTERNAL when the system has no memory for it.
    pub fn empty(channel: &(impl AsChannel + ?Sized), shape: &[u64]) -> Result<Self, Error> {
        let wrong = |error: buffer::BufferError| Error::invalid(error.to_string());
        let len = buffer::TypedBuffer::inline(T::DTYPE, shape, &[]).nbytes().map_err(wrong)?;
        let len = usize::try_from(len).map_err(|_| wrong(buffer::BufferError::Overflow))?;
        let taken = match channel.as_channel().arena() {
            Some(arena) => arena.take(len).map_err(|error| {
                let message = format!("there is no memory for an array of {len} bytes: {error}");
                Error::new(procall_proto::ErrorCode::Internal, message)
            })?,
            None => None,
        };
        let memory = match taken {
            Some(buffer) => Memory::Lent(Arc::new(buffer)),
            None => Memory::Own(vec![T::default(); len / size_of::<T>()]),
        };
        Ok(Self { memory, shape: shape.to_vec(), element: PhantomData })
    }

    /// Its elements in C order, to be written; `None` while a call that it went with has not ended, or somebody over there has kept it: they
    /// look at this very memory.
    pub fn elements_mut(&mut self) -> Option<&mut [T]> {
        match &mut self.memory {
            Memory::Lent(buffer) => {
                let buffer = Arc::get_mut(buffer).filter(|buffer| !buffer.is_lent())?;
                Some(buffer.elements_mut())
            }
            Memory::Own(elements) => Some(elements),
        }
    }

    /// Elements in each dimension; none for a single element.
    pub fn shape(&self) -> &[u64] {
        &self.shape
    }

    fn bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        match &self.memory {
            Memory::Lent(buffer) => {
                // All of it is there, so that this does not fail.
                let _ = buffer.copy(0, buffer.len(), &mut bytes);
            }
            Memory::Own(elements) => elements.iter().for_each(|element| element.write(&mut bytes)),
        }
        bytes
    }
}

impl<T: Element> Serialize for Array<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let lent = match &self.memory {
            Memory::Lent(buffer) => {
                lent::lend_whole(buffer).map(|region| (region, buffer.len() as u64))
            }
            Memory::Own(_) => None,
        };
        if let Some((region, length)) = lent {
            let place = Place::Region { region, generation: 0, offset: 0, length };
            return typed_buffer::serialize(T::DTYPE, &self.shape, place, serializer);
        }
        super::TypedBuffer::new(T::DTYPE, &self.shape, self.bytes())
            .map_err(S::Error::custom)?
            .serialize(serializer)
    }
}

impl<T> fmt::Debug for Array<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Array").field("shape", &self.shape).finish_non_exhaustive()
    }
}
