//! A file that takes what is downloaded, inflates what is compressed, and grows to its limit and no further.

use std::fs::File;
use std::io::{self, BufWriter, Write};

use flate2::write::MultiGzDecoder;

const GZIP: [u8; 2] = [0x1f, 0x8b];

/// Takes bytes that may be gzip, and gzip within gzip: some servers compress a `.gz` file once more on the way. What
/// comes out of either layer is counted, so that neither a bomb nor one inside another can fill the disk or run for
/// long.
#[derive(Debug)]
pub(crate) struct Sink(Layer<Counted<Layer<Counted<BufWriter<File>>>>>);

impl Sink {
    /// Writes to `file`, at most that many bytes.
    pub(crate) fn new(file: File, most: u64) -> Self {
        let counted = Counted { inner: BufWriter::new(file), left: most };
        Self(Layer::new(Counted { inner: Layer::new(counted), left: most }))
    }

    /// Ends it, and gives the file back.
    ///
    /// # Errors
    /// Compressed data that ends early or is damaged, and whatever writing meets.
    pub(crate) fn finish(self) -> io::Result<File> {
        let file = self.0.finish()?.inner.finish()?.inner;
        file.into_inner().map_err(io::IntoInnerError::into_error)
    }
}

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

/// Whether an error of a sink says that its limit is reached.
pub(crate) fn is_too_large(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::FileTooLarge
}

/// Whether an error of a sink says that the compressed data is damaged or incomplete.
pub(crate) fn is_damaged(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput | io::ErrorKind::UnexpectedEof
    )
}

/// Passes on at most as many bytes as are left.
#[derive(Debug)]
struct Counted<W> {
    inner: W,
    left: u64,
}

impl<W: Write> Write for Counted<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if bytes.len() as u64 > self.left {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        let written = self.inner.write(bytes)?;
        self.left = self.left.saturating_sub(written as u64);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

/// Inflates when the first two bytes are those of gzip.
#[derive(Debug)]
enum Layer<W: Write> {
    /// Fewer than two bytes came.
    Start(Vec<u8>, W),
    Plain(W),
    Gzip(Box<MultiGzDecoder<W>>),
    /// While it becomes one of the others.
    Turning,
}

impl<W: Write> Layer<W> {
    fn new(inner: W) -> Self {
        Self::Start(Vec::new(), inner)
    }

    fn finish(self) -> io::Result<W> {
        match self {
            Self::Start(start, mut inner) => inner.write_all(&start).map(|()| inner),
            Self::Plain(inner) => Ok(inner),
            Self::Gzip(decoder) => decoder.finish(),
            Self::Turning => Err(io::ErrorKind::BrokenPipe.into()),
        }
    }

    /// Takes the first bytes, and turns when they say what follows.
    fn begin(&mut self, bytes: &[u8]) -> io::Result<()> {
        let Self::Start(mut start, mut inner) = std::mem::replace(self, Self::Turning) else {
            return Err(io::ErrorKind::BrokenPipe.into());
        };
        start.extend_from_slice(bytes);
        *self = if start.len() < GZIP.len() {
            Self::Start(start, inner)
        } else if start.starts_with(&GZIP) {
            let mut decoder = MultiGzDecoder::new(inner);
            decoder.write_all(&start)?;
            Self::Gzip(Box::new(decoder))
        } else {
            inner.write_all(&start)?;
            Self::Plain(inner)
        };
        Ok(())
    }
}

impl<W: Write> Write for Layer<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain(inner) => inner.write(bytes),
            Self::Gzip(decoder) => decoder.write(bytes),
            Self::Start(..) | Self::Turning => self.begin(bytes).map(|()| bytes.len()),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(inner) | Self::Start(_, inner) => inner.flush(),
            Self::Gzip(decoder) => decoder.flush(),
            Self::Turning => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Seek};

    use flate2::Compression;
    use flate2::write::GzEncoder;

    use super::*;

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    /// What is in the file after these bytes came in chunks of that size.
    fn taken(bytes: &[u8], chunk: usize, most: u64) -> io::Result<Vec<u8>> {
        let mut sink = Sink::new(tempfile::tempfile()?, most);
        for chunk in bytes.chunks(chunk) {
            sink.write_all(chunk)?;
        }
        let mut file = sink.finish()?;
        let mut text = Vec::new();
        file.rewind()?;
        file.read_to_end(&mut text)?;
        Ok(text)
    }

    #[test]
    fn what_is_compressed_once_or_twice_comes_out_as_it_was() {
        let text: Vec<u8> = (0..5_000_u32).flat_map(u32::to_le_bytes).collect();
        let (once, twice) = (gzip(&text), gzip(&gzip(&text)));
        let members = [gzip(&text[..100]), gzip(&text[100..])].concat();
        for bytes in [&text, &once, &twice, &members] {
            for chunk in [1, 7, 100_000] {
                assert_eq!(taken(bytes, chunk, 20_000).unwrap(), text);
            }
        }
        for short in [&b""[..], b"1", b"12"] {
            assert_eq!(taken(short, 1, 2).unwrap(), short);
        }
    }

    #[test]
    fn a_file_grows_to_its_limit_and_no_further() {
        let text = vec![b'1'; 100_000];
        for bytes in [text.clone(), gzip(&text), gzip(&gzip(&text))] {
            assert!(taken(&bytes, 1_000, 100_000).is_ok());
            assert!(is_too_large(&taken(&bytes, 1_000, 99_999).unwrap_err()));
        }
    }

    #[test]
    fn a_bomb_of_many_empty_members_ends_at_the_limit_too() {
        let bomb = gzip(&gzip(b"").repeat(100_000));
        assert!(bomb.len() < 20_000);
        assert!(is_too_large(&taken(&bomb, 1_000, 1_000_000).unwrap_err()));
    }

    #[test]
    fn compressed_data_that_is_cut_off_or_damaged_is_an_error() {
        let whole = gzip(&(0..2_000_u32).flat_map(u32::to_le_bytes).collect::<Vec<_>>());
        for end in (2..whole.len()).step_by(97).chain([whole.len() - 1]) {
            let error = taken(&whole[..end], 64, 1 << 20).unwrap_err();
            assert!(is_damaged(&error), "{end}: {error:?}");
        }
        let mut damaged = whole.clone();
        let end = damaged.len() - 6;
        damaged[end] ^= 1;
        assert!(is_damaged(&taken(&damaged, 64, 1 << 20).unwrap_err()));
    }
}
