//! What one request, one cache model and one response may cost, whatever a peer asks.

/// Bounds of the protocol core; each is checked before the allocation or loop that it bounds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Items of one comma list (`comps`, `stream`, `context`, `type` …).
    pub max_list_items: usize,
    /// Bracket groups of one `metareq`.
    pub max_metareq_groups: usize,
    /// Box properties of one `metareq` group.
    pub max_metareq_properties: usize,
    /// Cache descriptors of one `model` or `need`.
    pub max_model_items: usize,
    /// Codestreams that one response serves; the rest is left out and `JPIP-stream` says so.
    pub max_codestreams: usize,
    /// Cache descriptors times codestreams that one request may edit; what lies beyond is forgotten.
    pub max_model_edits: usize,
    /// Entries (id ranges and partial bins) of one cache model; beyond, the model forgets.
    pub max_model_entries: usize,
    /// Statements of one cache model that only the codestream's geometry can resolve.
    pub max_model_rules: usize,
    /// Bytes of index that are asked for at a time.
    pub index_ahead: u64,
    /// Bytes of one message body other than that of a metadata-bin. With its header such a message
    /// fits one chunk of the http-tcp transport [15444-9 G].
    pub max_message: u64,
    /// Bytes of one response, EOR 7 beyond.
    pub max_response: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_list_items: 16_384,
            max_metareq_groups: 64,
            max_metareq_properties: 64,
            max_model_items: 1_000_000,
            max_codestreams: 4096,
            max_model_edits: 2_000_000,
            max_model_entries: 65_536,
            max_model_rules: 256,
            index_ahead: 8 << 20,
            max_message: 60 << 10,
            max_response: 1 << 40,
        }
    }
}
