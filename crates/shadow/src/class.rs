//! Which resource a metric measures, by the words of its name.

/// The kind of resource that a metric measures.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ResourceClass {
    /// Processor time, share or frequency.
    Cpu,
    /// Memory in use.
    Memory,
    /// Reads and writes of disks and file systems.
    StorageIo,
    /// Traffic received or sent.
    Network,
    /// Anything else, such as counts of requests.
    Other,
}

impl ResourceClass {
    /// The four classes of physical resources, in the order of a fingerprint's levels.
    pub const PHYSICAL: [Self; 4] = [Self::Cpu, Self::Memory, Self::StorageIo, Self::Network];

    /// Reads the class off a metric's name: the first word that is known decides.
    ///
    /// Words are separated by `_`, `.`, `:`, `/` and `-`, so that `container_cpu_usage_seconds_total`,
    /// `disk_read_bytes_per_s` and `network.rx_bytes` are all understood.
    pub fn of_metric(name: &str) -> Self {
        name.split(['_', '.', ':', '/', '-'])
            .find_map(Self::of_word)
            .unwrap_or(Self::Other)
    }

    fn of_word(word: &str) -> Option<Self> {
        match word.to_ascii_lowercase().as_str() {
            "cpu" | "cpus" | "vcpu" | "vcpus" | "processor" => Some(Self::Cpu),
            "memory" | "mem" | "ram" | "rss" | "swap" => Some(Self::Memory),
            "disk" | "storage" | "fs" | "filesystem" | "io" | "iops" | "blkio" | "block" => {
                Some(Self::StorageIo)
            }
            "network" | "net" | "rx" | "tx" | "receive" | "transmit" | "bandwidth" => {
                Some(Self::Network)
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_class_is_read_off_the_name() {
        for (name, class) in [
            ("cpu_usage_pct", ResourceClass::Cpu),
            ("container_cpu_usage_seconds_total", ResourceClass::Cpu),
            ("memory_usage_bytes", ResourceClass::Memory),
            ("disk_read_bytes_per_s", ResourceClass::StorageIo),
            ("network.rx_bytes", ResourceClass::Network),
            ("requests", ResourceClass::Other),
            ("", ResourceClass::Other),
        ] {
            assert_eq!(ResourceClass::of_metric(name), class, "{name}");
        }
    }
}
