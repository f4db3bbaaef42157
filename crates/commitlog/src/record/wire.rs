//! How numbers are spelled in records: counters as numbers, random bits in hexadecimal, since many
//! readers of JSON round integers above 2⁵³.

macro_rules! number {
    ($name:ident, $type:ident, $repr:ty) => {
        pub(crate) mod $name {
            use plimsoll_model::$type;
            use serde::{Deserialize, Deserializer, Serializer};

            pub(crate) fn serialize<S: Serializer>(value: &$type, to: S) -> Result<S::Ok, S::Error> {
                to.serialize_u64(u64::from(value.0))
            }

            pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<$type, D::Error> {
                <$repr>::deserialize(from).map($type)
            }
        }
    };
}

number!(epoch, Epoch, u32);
number!(txid, Txid, u64);
number!(lsn, Lsn, u64);

pub(crate) mod maybe_lsn {
    use plimsoll_model::Lsn;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub(crate) fn serialize<S: Serializer>(value: &Option<Lsn>, to: S) -> Result<S::Ok, S::Error> {
        value.map(|lsn| lsn.0).serialize(to)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Lsn>, D::Error> {
        Ok(Option::<u64>::deserialize(from)?.map(Lsn))
    }
}

pub(crate) mod maybe_epoch {
    use plimsoll_model::Epoch;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub(crate) fn serialize<S: Serializer>(value: &Option<Epoch>, to: S) -> Result<S::Ok, S::Error> {
        value.map(|epoch| epoch.0).serialize(to)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Epoch>, D::Error> {
        Ok(Option::<u32>::deserialize(from)?.map(Epoch))
    }
}

macro_rules! hex {
    ($name:ident, $type:ty, $digits:literal, $to:expr, $of:expr) => {
        pub(crate) mod $name {
            #[allow(unused_imports)]
            use plimsoll_model::WriterId;
            use serde::{Deserialize, Deserializer, Serializer, de::Error};

            pub(crate) fn serialize<S: Serializer>(value: &$type, to: S) -> Result<S::Ok, S::Error> {
                to.serialize_str(&$to(value))
            }

            pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<$type, D::Error> {
                let word = String::deserialize(from)?;
                let hex = word.len() == $digits && word.bytes().all(|byte| byte.is_ascii_hexdigit());
                let value = if hex { $of(&word) } else { None };
                value.ok_or_else(|| D::Error::custom(concat!("not ", $digits, " hexadecimal digits")))
            }
        }
    };
}

hex!(writer, WriterId, 16, |writer: &WriterId| writer.to_string(), |word: &str| u64::from_str_radix(word, 16)
    .ok()
    .map(WriterId));
hex!(uuid, [u8; 16], 32, |uuid: &[u8; 16]| format!("{:032x}", u128::from_be_bytes(*uuid)), |word: &str| {
    u128::from_str_radix(word, 16).ok().map(u128::to_be_bytes)
});
hex!(bits, u64, 16, |bits: &u64| format!("{bits:016x}"), |word: &str| u64::from_str_radix(word, 16).ok());
