//! TLS hellos, sound and odd ones, as somebody could send them to get past a check of the name: what is sent, in which
//! pieces, and what becomes of the connection.

use serde::Deserialize;

use crate::bytes::Bytes;

/// One connection.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HelloCase {
    /// A stable name.
    pub id: String,
    /// Sent as it is, before the hello.
    before: Option<Bytes>,
    /// The hello.
    hello: Option<Hello>,
    /// At most so many bytes of the hello in one record; all in one where it is absent.
    records: Option<usize>,
    /// A record of this type, without content, between the records of the hello.
    between: Option<u8>,
    /// Sent after the hello.
    then: Option<Bytes>,
    /// A second hello after that.
    then_hello: Option<Hello>,
    /// At most so many bytes in one write.
    pieces: Option<usize>,
    /// Nothing more comes, and the client says so.
    #[serde(default)]
    pub ends: bool,
    /// `passes`; the reason's code where the plugin cut it; `cut` where Envoy did, before it asked the plugin.
    pub expect: String,
    /// Why it could work, or what it must not hinder.
    pub reason: String,
}

impl HelloCase {
    /// All that is sent.
    pub fn bytes(&self) -> Vec<u8> {
        let part = |bytes: &Option<Bytes>| bytes.as_deref().unwrap_or_default().to_vec();
        let hello = self.hello.as_ref().map(|hello| hello.records(self.records, self.between)).unwrap_or_default();
        let second = self.then_hello.as_ref().map(Hello::bytes).unwrap_or_default();
        [part(&self.before), hello, part(&self.then), second].concat()
    }

    /// The same in the pieces in which it is written.
    pub fn pieces(&self) -> Vec<Vec<u8>> {
        let bytes = self.bytes();
        bytes.chunks(self.pieces.unwrap_or(bytes.len()).max(1)).map(<[u8]>::to_vec).collect()
    }
}

/// A `ClientHello` (RFC 8446 section 4.1.2, RFC 5246 section 7.4.1.2). The default is a sound one without a name.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Hello {
    /// The server name extensions, each with its names.
    names: Vec<Vec<Name>>,
    /// What the type of the handshake message is; 1 is a `ClientHello`.
    kind: u8,
    /// The versions of the records, of the hello, and in `supported_versions`; the last is absent in an old hello.
    record_version: u16,
    version: u16,
    supported_version: Option<u16>,
    /// The size of the session id; a sound one has 32 bytes at most.
    session_id: u8,
    /// The size of a padding extension, before the names or after them.
    padding_before: Option<u16>,
    padding: Option<u16>,
    /// An `encrypted_client_hello` extension of the outer hello.
    ech: bool,
    /// A hello that ends before its extensions.
    without_extensions: bool,
    /// By how much the announced lengths are wrong.
    longer_record: i32,
    longer_handshake: i32,
    longer_extensions: i32,
    longer_names: i32,
    longer_name: i32,
}

impl Default for Hello {
    fn default() -> Hello {
        Hello {
            names: Vec::new(),
            kind: 1,
            record_version: 0x0301,
            version: 0x0303,
            supported_version: Some(0x0304),
            session_id: 0,
            padding_before: None,
            padding: None,
            ech: false,
            without_extensions: false,
            longer_record: 0,
            longer_handshake: 0,
            longer_extensions: 0,
            longer_names: 0,
            longer_name: 0,
        }
    }
}

/// A name in a server name extension.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Name {
    /// Of another type than `host_name`.
    Typed {
        kind: u8,
        name: Bytes,
    },
    Host(Bytes),
}

impl Hello {
    /// A sound hello with this name, whatever it is.
    pub fn named(name: &[u8]) -> Hello {
        Hello { names: vec![vec![Name::Host(Bytes::from(name))]], ..Hello::default() }
    }

    /// In one record.
    pub fn bytes(&self) -> Vec<u8> {
        self.records(None, None)
    }

    fn records(&self, at_most: Option<usize>, between: Option<u8>) -> Vec<u8> {
        let handshake = self.handshake();
        let mut bytes = Vec::new();
        for part in handshake.chunks(at_most.unwrap_or(handshake.len())) {
            if let Some(kind) = between.filter(|_| !bytes.is_empty()) {
                bytes.extend(record(kind, self.record_version, &[], 0));
            }
            bytes.extend(record(22, self.record_version, part, self.longer_record));
        }
        bytes
    }

    fn handshake(&self) -> Vec<u8> {
        let session = vec![9; usize::from(self.session_id)];
        let mut body = [&self.version.to_be_bytes()[..], &[7; 32], &[self.session_id], &session].concat();
        // Two cipher suites, no compression.
        body.extend([0, 4, 0x13, 0x01, 0xc0, 0x2f, 1, 0]);
        if !self.without_extensions {
            body.extend(sized(&self.extensions(), self.longer_extensions));
        }
        let length = number(body.len(), self.longer_handshake).to_be_bytes();
        [&[self.kind], &length[1..], &body].concat()
    }

    fn extensions(&self) -> Vec<u8> {
        let mut all = Vec::new();
        let mut extension = |kind: u16, content: &[u8]| {
            all.extend(kind.to_be_bytes());
            all.extend(sized(content, 0));
        };
        let zeros = |length: u16| vec![0; usize::from(length)];
        if let Some(length) = self.padding_before {
            extension(21, &zeros(length));
        }
        for names in &self.names {
            let list: Vec<u8> = names
                .iter()
                .flat_map(|name| {
                    let (kind, name) = match name {
                        Name::Typed { kind, name } => (*kind, name),
                        Name::Host(name) => (0, name),
                    };
                    [&[kind][..], &sized(name, self.longer_name)].concat()
                })
                .collect();
            extension(0, &sized(&list, self.longer_names));
        }
        if let Some(version) = self.supported_version {
            let [high, low] = version.to_be_bytes();
            extension(43, &[4, high, low, 3, 3]);
        }
        // supported_groups, signature_algorithms
        extension(10, &[0, 2, 0, 29]);
        extension(13, &[0, 2, 4, 3]);
        if self.ech {
            // outer, HKDF-SHA256 with AES-128-GCM, config 1, a key of 32 bytes, and what nobody here can read
            let content = [&[0, 0, 1, 0, 1, 1][..], &sized(&[5; 32], 0), &sized(&[6; 144], 0)].concat();
            extension(0xfe0d, &content);
        }
        if let Some(length) = self.padding {
            extension(21, &zeros(length));
        }
        all
    }
}

fn record(kind: u8, version: u16, content: &[u8], longer: i32) -> Vec<u8> {
    [&[kind][..], &version.to_be_bytes(), &sized(content, longer)].concat()
}

fn sized(content: &[u8], longer: i32) -> Vec<u8> {
    [&number(content.len(), longer).to_be_bytes()[2..], content].concat()
}

fn number(length: usize, longer: i32) -> i32 {
    i32::try_from(length).expect("a short part") + longer
}
