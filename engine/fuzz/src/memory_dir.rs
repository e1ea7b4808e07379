//! A directory in memory that loses nothing.

use pinion_engine::dir::Dir;
use pinion_engine::io::FileName;
use std::collections::BTreeMap;
use std::io::{ErrorKind, Result};

/// Files by name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MemoryDir {
    /// Their bytes.
    pub files: BTreeMap<FileName, Vec<u8>>,
}

impl MemoryDir {
    fn file(&self, file: FileName) -> Result<&Vec<u8>> {
        self.files.get(&file).ok_or_else(|| ErrorKind::NotFound.into())
    }
}

impl Dir for MemoryDir {
    fn list(&self) -> Result<Vec<FileName>> {
        Ok(self.files.keys().copied().collect())
    }

    fn len(&self, file: FileName) -> Result<u64> {
        Ok(self.file(file)?.len() as u64)
    }

    fn read(&self, file: FileName, offset: u64, len: usize) -> Result<Vec<u8>> {
        let range = offset as usize..(offset as usize).saturating_add(len);
        self.file(file)?.get(range).map(<[u8]>::to_vec).ok_or_else(|| ErrorKind::UnexpectedEof.into())
    }

    fn create(&mut self, file: FileName) -> Result<()> {
        self.files.insert(file, Vec::new());
        Ok(())
    }

    fn write(&mut self, file: FileName, offset: u64, data: &[u8]) -> Result<()> {
        let bytes = self.files.get_mut(&file).ok_or(ErrorKind::NotFound)?;
        let (start, end) = (offset as usize, offset as usize + data.len());
        if bytes.len() < end {
            bytes.resize(end, 0);
        }
        bytes[start..end].copy_from_slice(data);
        Ok(())
    }

    fn sync(&mut self, file: FileName) -> Result<()> {
        self.file(file).map(|_| ())
    }

    fn sync_dir(&mut self) -> Result<()> {
        Ok(())
    }

    fn rename(&mut self, from: FileName, to: FileName) -> Result<()> {
        let bytes = self.files.remove(&from).ok_or(ErrorKind::NotFound)?;
        self.files.insert(to, bytes);
        Ok(())
    }

    fn unlink(&mut self, file: FileName) -> Result<()> {
        self.files.remove(&file).map(|_| ()).ok_or_else(|| ErrorKind::NotFound.into())
    }

    fn path(&self) -> String {
        "store/shard-000".to_owned()
    }
}
