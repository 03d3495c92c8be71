//! Quantities with their units.

use std::{fmt, str::FromStr};

use thiserror::Error;

/// Why a quantity was refused.
#[derive(Debug, Clone, PartialEq, Error)]
pub enum UnitError {
    /// The text is no size.
    #[error("`{0}` is not a size; write for example `256MiB` or `2GiB`")]
    NotASize(String),
    /// The number of virtual CPUs is not finite or not above zero.
    #[error("{0} vCPUs is not a positive, finite number")]
    NotVcpus(f64),
}

/// How many instances.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct InstanceCount(pub u32);

impl fmt::Display for InstanceCount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A number of bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Bytes(pub u64);

impl FromStr for Bytes {
    type Err = UnitError;

    /// Reads `256MiB`, `2GiB`, `500MB` or a plain number of bytes.
    fn from_str(text: &str) -> Result<Self, UnitError> {
        let refused = || UnitError::NotASize(text.to_owned());
        let trimmed = text.trim();
        let digits = trimmed
            .find(|c: char| !(c.is_ascii_digit() || c == '.'))
            .unwrap_or(trimmed.len());
        let number: f64 = trimmed[..digits].parse().map_err(|_| refused())?;
        let unit: f64 = match trimmed[digits..].trim() {
            "" | "B" => 1.0,
            "kB" | "KB" => 1e3,
            "MB" => 1e6,
            "GB" => 1e9,
            "TB" => 1e12,
            "KiB" | "Ki" => 1024.0,
            "MiB" | "Mi" => 1024.0 * 1024.0,
            "GiB" | "Gi" => 1024.0 * 1024.0 * 1024.0,
            "TiB" | "Ti" => 1024.0 * 1024.0 * 1024.0 * 1024.0,
            _ => return Err(refused()),
        };
        let bytes = number * unit;
        if bytes.is_finite() && bytes <= u64::MAX as f64 {
            Ok(Self(bytes as u64))
        } else {
            Err(refused())
        }
    }
}

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (unit, size) in [
            ("TiB", 1_u64 << 40),
            ("GiB", 1 << 30),
            ("MiB", 1 << 20),
            ("KiB", 1 << 10),
        ] {
            if self.0 >= size && self.0.is_multiple_of(size) {
                return write!(f, "{}{unit}", self.0 / size);
            }
        }
        write!(f, "{}B", self.0)
    }
}

/// Virtual CPUs, in thousandths, so that shapes compare exactly.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Vcpus(u64);

impl Vcpus {
    /// From a number such as 0.5 or 2.
    ///
    /// # Errors
    /// [`UnitError::NotVcpus`] if it is negative or not finite.
    pub fn new(vcpus: f64) -> Result<Self, UnitError> {
        if vcpus.is_finite() && (0.0..=1e9).contains(&vcpus) {
            Ok(Self((vcpus * 1000.0).round() as u64))
        } else {
            Err(UnitError::NotVcpus(vcpus))
        }
    }

    /// From thousandths of a CPU.
    pub const fn from_thousandths(thousandths: u64) -> Self {
        Self(thousandths)
    }

    /// In thousandths of a CPU.
    pub const fn thousandths(self) -> u64 {
        self.0
    }

    /// As a number of CPUs.
    pub fn as_f64(self) -> f64 {
        self.0 as f64 / 1000.0
    }
}

impl fmt::Display for Vcpus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_f64().fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_with_their_units() {
        assert_eq!("256MiB".parse(), Ok(Bytes(256 << 20)));
        assert_eq!("1.5GiB".parse(), Ok(Bytes(3 << 29)));
        assert_eq!(Bytes(256 << 20).to_string(), "256MiB");
        assert!("lots".parse::<Bytes>().is_err());
    }

    #[test]
    fn vcpus_are_finite_and_not_negative() {
        assert_eq!(Vcpus::new(0.5).unwrap().as_f64(), 0.5);
        assert!(Vcpus::new(f64::NAN).is_err());
        assert!(Vcpus::new(-1.0).is_err());
    }
}
