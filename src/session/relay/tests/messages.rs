//! Messages as tests write and read them.

pub(super) use crate::session::relay::fuzz::readable;

pub fn frame(tag: u8, body: &[u8]) -> Vec<u8> {
    let mut out = vec![tag];
    out.extend((body.len() as u32 + 4).to_be_bytes());
    out.extend(body);
    out
}

fn texts(parts: &[&[u8]]) -> Vec<u8> {
    let mut body = parts.join(&0);
    body.push(0);
    body
}

/// What a client may say, by statement name, portal name and text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Say {
    Query(&'static str),
    Parse(&'static str, &'static str),
    /// Portal, statement, size of a parameter.
    Bind(&'static str, &'static str, usize),
    Describe(&'static str),
    DescribePortal(&'static str),
    Execute(&'static str),
    Close(&'static str),
    ClosePortal(&'static str),
    Sync,
    Flush,
    Function,
    CopyData(usize),
    CopyDone,
    CopyFail,
}

impl Say {
    pub fn bytes(&self) -> Vec<u8> {
        let named = |kind, name: &str| texts(&[&[&[kind], name.as_bytes()].concat()]);
        match self {
            Self::Query(sql) => frame(b'Q', &texts(&[sql.as_bytes()])),
            Self::Parse(name, sql) => {
                let mut body = texts(&[name.as_bytes(), sql.as_bytes()]);
                body.extend([0, 0]);
                frame(b'P', &body)
            }
            Self::Bind(portal, name, size) => {
                let mut body = texts(&[portal.as_bytes(), name.as_bytes()]);
                body.extend([0, 0, 0, 1]);
                body.extend((*size as u32).to_be_bytes());
                body.extend(vec![b'x'; *size]);
                body.extend([0, 0]);
                frame(b'B', &body)
            }
            Self::Describe(name) => frame(b'D', &named(b'S', name)),
            Self::DescribePortal(name) => frame(b'D', &named(b'P', name)),
            Self::Execute(portal) => {
                let mut body = texts(&[portal.as_bytes()]);
                body.extend([0; 4]);
                frame(b'E', &body)
            }
            Self::Close(name) => frame(b'C', &named(b'S', name)),
            Self::ClosePortal(name) => frame(b'C', &named(b'P', name)),
            Self::Sync => frame(b'S', &[]),
            Self::Flush => frame(b'H', &[]),
            Self::Function => frame(b'F', &[0; 10]),
            Self::CopyData(size) => frame(b'd', &vec![b'd'; *size]),
            Self::CopyDone => frame(b'c', &[]),
            Self::CopyFail => frame(b'f', b"no\0"),
        }
    }
}
