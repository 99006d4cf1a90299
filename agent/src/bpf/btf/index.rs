//! The types of a BTF that the agent needs, found by name.

use std::collections::{HashMap, HashSet};

use btfparse::{Integer32Value, Offset, TypeInformation, TypeVariant};
use halfopen_common::kernel::{FIELDS, SIZES, VALUES};

use crate::bpf::hooks;

/// Of which a single bit is read.
pub const REQUEST: &str = "inet_request_sock";
/// The type of the argument that says why a reset is sent.
const REASON: &str = "sk_rst_reason";
const REASON_PREFIX: &str = "SK_RST_REASON_";
/// BTF's declaration of the tracepoint; its first argument is not the program's.
const TRACE_RESET: &str = "btf_trace_tcp_send_reset";

/// One pass over the types: names alone do not do, since a function or variable may share a
/// structure's name.
pub struct Index<'a> {
    types: &'a TypeInformation,
    structs: HashMap<&'static str, Vec<u32>>,
    /// Numbers of prototypes, by function.
    pub functions: HashMap<&'static str, u32>,
    values: HashMap<&'static str, u32>,
    /// Names of [`REASON`]'s values, in lower case without prefix.
    pub reset_reasons: HashMap<u32, String>,
    /// What [`TRACE_RESET`] points to.
    pub trace_reset: Option<u32>,
}

impl<'a> Index<'a> {
    pub fn new(types: &'a TypeInformation) -> Self {
        let mut index = Self {
            types,
            structs: HashMap::new(),
            functions: HashMap::new(),
            values: HashMap::new(),
            reset_reasons: HashMap::new(),
            trace_reset: None,
        };
        let structs = FIELDS
            .iter()
            .map(|field| field.owner)
            .chain(SIZES.iter().map(|size| size.structure))
            .chain([REQUEST])
            .collect();
        let functions = hooks::functions().collect();
        for (id, kind) in types.get() {
            index.add(*id, kind, &structs, &functions);
        }
        index
    }

    fn add(
        &mut self,
        id: u32,
        kind: &'a TypeVariant,
        structs: &HashSet<&'static str>,
        functions: &HashSet<&'static str>,
    ) {
        match kind {
            TypeVariant::Struct(found) => {
                if let Some(name) = found.name().as_deref().and_then(|name| structs.get(name)) {
                    self.structs.entry(name).or_default().push(id);
                }
            }
            TypeVariant::Func(found) => {
                let name = found.name();
                if let Some(name) = name.as_deref().and_then(|name| functions.get(name)) {
                    self.functions.insert(name, *found.prototype_tid());
                }
            }
            TypeVariant::Typedef(found) if found.name().as_deref() == Some(TRACE_RESET) => {
                self.trace_reset = Some(*found.tid());
            }
            TypeVariant::Enum(found) => {
                for named in found.named_value_list() {
                    let value = match named.value {
                        Integer32Value::Unsigned(value) => value,
                        Integer32Value::Signed(value) => value.cast_unsigned(),
                    };
                    // There are tens of thousands: no others are kept.
                    if let Some(known) = VALUES.iter().find(|known| known.name == named.name) {
                        self.values.insert(known.name, value);
                    }
                    if found.name().as_deref() == Some(REASON)
                        && let Some(name) = named.name.strip_prefix(REASON_PREFIX)
                    {
                        self.reset_reasons.insert(value, name.to_lowercase());
                    }
                }
            }
            _ => {}
        }
    }

    /// Offset of a field in bytes, in the first structure of that name that has it.
    pub fn find(&self, structure: &str, field: &str) -> Option<u32> {
        self.structs.get(structure)?.iter().find_map(|id| {
            match self.types.offset_of(*id, field).ok()?.1 {
                Offset::ByteOffset(offset) => Some(offset),
                Offset::BitOffsetAndSize(..) => None,
            }
        })
    }

    /// Type of a field, by its number.
    #[cfg(test)]
    pub fn of_type(&self, structure: &str, field: &str) -> Option<u32> {
        let ids = self.structs.get(structure)?;
        let found = |id: &u32| Some(self.types.offset_of(*id, field).ok()?.0);
        ids.iter().find_map(found)
    }

    /// Offset of the byte that holds a field of a few bits.
    pub fn byte_of_bits(&self, structure: &str, field: &str) -> Option<u32> {
        let offset = |id: &u32| match self.types.offset_of(*id, field).ok()?.1 {
            Offset::ByteOffset(offset) => Some(offset),
            Offset::BitOffsetAndSize(bits, size) if bits % 8 + size <= 8 => Some(bits / 8),
            Offset::BitOffsetAndSize(..) => None,
        };
        self.structs.get(structure)?.iter().find_map(offset)
    }

    /// Offset of the byte that holds a field of one bit, and that bit of it: BTF counts bits from the
    /// lowest on a little-endian machine.
    pub fn bit(&self, structure: &str, field: &str) -> Option<(u32, u32)> {
        let bit = |id: &u32| match self.types.offset_of(*id, field).ok()?.1 {
            Offset::BitOffsetAndSize(bits, 1) if cfg!(target_endian = "little") => {
                Some((bits / 8, 1 << (bits % 8)))
            }
            _ => None,
        };
        self.structs.get(structure)?.iter().find_map(bit)
    }

    /// Size of a structure in bytes.
    pub fn size(&self, structure: &str) -> Option<u32> {
        let size = |id: &u32| match self.types.get().get(id) {
            Some(TypeVariant::Struct(found)) => u32::try_from(*found.size()).ok(),
            _ => None,
        };
        self.structs.get(structure)?.iter().find_map(size)
    }

    /// Value of an enumerator.
    pub fn value(&self, name: &str) -> Option<u32> {
        self.values.get(name).copied()
    }

    /// Types of a function's parameters.
    pub fn parameters(&self, prototype: u32) -> Option<Vec<u32>> {
        match self.types.get().get(&prototype)? {
            TypeVariant::FuncProto(found) => {
                Some(found.parameter_list().iter().map(|p| p.tid()).collect())
            }
            TypeVariant::Ptr(pointer) => self.parameters(*pointer.tid()),
            _ => None,
        }
    }

    /// Position of the reason among a function's parameters.
    pub fn reason_argument(&self, prototype: Option<u32>) -> Option<u32> {
        let parameters = self.parameters(prototype?)?;
        let position = parameters.iter().position(|id| self.is_reason(*id))?;
        u32::try_from(position).ok()
    }

    fn is_reason(&self, id: u32) -> bool {
        match self.types.get().get(&id) {
            Some(TypeVariant::Enum(found)) => found.name().as_deref() == Some(REASON),
            Some(TypeVariant::Const(inner)) => self.is_reason(*inner.tid()),
            _ => false,
        }
    }
}
