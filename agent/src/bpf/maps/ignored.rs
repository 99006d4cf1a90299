//! What agents have ignored, in a map that outlives them.

use aya::maps::{HashMap, MapData};
use halfopen_common::{GroupKey, IgnoredDeaths};
use halfopen_core::model::groups::Ignored;
use tracing::warn;

use super::Wire;
use crate::bpf::{Error, loaded_object::Object};

/// The map of deaths that were ignored.
pub struct IgnoredMap {
    map: HashMap<MapData, Wire<GroupKey>, Wire<IgnoredDeaths>>,
    has_failed: bool,
}

impl IgnoredMap {
    /// Takes it out of the loaded object.
    ///
    /// # Errors
    /// When the object has none.
    pub fn take(object: &mut Object) -> Result<Self, Error> {
        Ok(Self {
            map: object.map("IGNORED")?,
            has_failed: false,
        })
    }

    /// What the agents before have ignored.
    pub fn read(&self) -> Ignored {
        let entries = self.map.iter().filter_map(Result::ok);
        entries.map(|(key, deaths)| (key.0, deaths.0)).collect()
    }

    /// Keeps what was ignored of one group for the agents to come.
    pub fn write(&mut self, key: &GroupKey, deaths: &IgnoredDeaths) {
        let written = self.map.insert(Wire(*key), Wire(*deaths), 0);
        if let Err(error) = written
            && !std::mem::replace(&mut self.has_failed, true)
        {
            warn!(%error, "the next agent will count deaths that this one has ignored");
        }
    }
}
