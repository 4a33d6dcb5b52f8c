//! The element types and their numbers.

macro_rules! dtypes {
    ($($variant:ident = $number:literal, $name:literal, $size:literal, $dlpack:expr, $doc:literal;)*) => {
        /// What an element is. Numbers are for ever.
        ///
        /// ```
        /// use procall_proto::buffer::Dtype;
        ///
        /// assert_eq!(Dtype::from_name("float32"), Some(Dtype::F32));
        /// assert_eq!(Dtype::F32.size(), 4);
        /// assert_eq!(Dtype::BF16.dlpack(), (4, 16));
        /// ```
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        #[repr(u8)]
        pub enum Dtype {
            $(#[doc = $doc] $variant = $number,)*
        }

        impl Dtype {
            /// All of them, by number.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            /// The type with this wire number.
            pub const fn from_number(number: u8) -> Option<Self> {
                match number {
                    $($number => Some(Self::$variant),)*
                    _ => None,
                }
            }

            /// The type with this name.
            pub fn from_name(name: &str) -> Option<Self> {
                match name {
                    $($name => Some(Self::$variant),)*
                    _ => None,
                }
            }

            /// The name that numpy gives it.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)*
                }
            }

            /// Bytes of one element.
            pub const fn size(self) -> usize {
                match self {
                    $(Self::$variant => $size,)*
                }
            }

            const fn dlpack_code(self) -> u8 {
                match self {
                    $(Self::$variant => $dlpack,)*
                }
            }
        }
    };
}

/// DLPack's `DLDataTypeCode`.
const INT: u8 = 0;
const UINT: u8 = 1;
const FLOAT: u8 = 2;
const BFLOAT: u8 = 4;
const COMPLEX: u8 = 5;
const BOOL: u8 = 6;

dtypes! {
    Bool = 0, "bool", 1, BOOL, "One byte, 0 or 1; receivers take any other byte for true.";
    I8 = 1, "int8", 1, INT, "Signed, 8 bits.";
    I16 = 2, "int16", 2, INT, "Signed, 16 bits.";
    I32 = 3, "int32", 4, INT, "Signed, 32 bits.";
    I64 = 4, "int64", 8, INT, "Signed, 64 bits.";
    U8 = 5, "uint8", 1, UINT, "Unsigned, 8 bits.";
    U16 = 6, "uint16", 2, UINT, "Unsigned, 16 bits.";
    U32 = 7, "uint32", 4, UINT, "Unsigned, 32 bits.";
    U64 = 8, "uint64", 8, UINT, "Unsigned, 64 bits.";
    F16 = 9, "float16", 2, FLOAT, "IEEE 754 half precision.";
    BF16 = 10, "bfloat16", 2, BFLOAT, "The upper half of a single-precision number.";
    F32 = 11, "float32", 4, FLOAT, "IEEE 754 single precision.";
    F64 = 12, "float64", 8, FLOAT, "IEEE 754 double precision.";
    C64 = 13, "complex64", 8, COMPLEX, "Two single-precision numbers: real, imaginary.";
    C128 = 14, "complex128", 16, COMPLEX, "Two double-precision numbers: real, imaginary.";
}

impl Dtype {
    /// The wire number.
    pub const fn number(self) -> u8 {
        self as u8
    }

    /// DLPack's type code and bits.
    pub const fn dlpack(self) -> (u8, u8) {
        (self.dlpack_code(), 8 * self.size() as u8)
    }

    /// Bytes of one number: half of an element that is a pair. Byte order concerns these.
    pub(super) const fn number_size(self) -> usize {
        match self {
            Self::C64 | Self::C128 => self.size() / 2,
            _ => self.size(),
        }
    }
}
