//! What a policy costs: in hours, and in money where prices are given.

/// Prices in any one currency.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Prices {
    /// Of an instance that idles for an hour.
    pub idle_hour: Option<f64>,
    /// Of a request that waits for an hour.
    pub waiting_hour: Option<f64>,
}

/// The cost of one policy in the scored window.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Cost {
    /// Instance-hours of idle time.
    pub idle_unit_hours: f64,
    /// Hours that requests waited, added up.
    pub waiting_hours: f64,
    /// Both at their prices; nothing without any price.
    pub money: Option<f64>,
}

const HOUR_S: f64 = 3_600.0;

impl Prices {
    /// The cost of so much idle time and waiting.
    pub(crate) fn cost(&self, idle_s: f64, waiting_s: f64) -> Cost {
        let (idle_unit_hours, waiting_hours) = (idle_s / HOUR_S, waiting_s / HOUR_S);
        let parts = [
            self.idle_hour.map(|price| price * idle_unit_hours),
            self.waiting_hour.map(|price| price * waiting_hours),
        ];
        Cost {
            idle_unit_hours,
            waiting_hours,
            money: parts
                .into_iter()
                .flatten()
                .reduce(|idle, waiting| idle + waiting),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn money_adds_up_what_has_a_price() {
        let money = |idle_hour, waiting_hour| {
            let prices = Prices {
                idle_hour,
                waiting_hour,
            };
            prices.cost(7_200.0, 1_800.0).money
        };
        assert_eq!(money(None, None), None);
        assert_eq!(money(Some(0.5), None), Some(1.0));
        assert_eq!(money(Some(0.5), Some(4.0)), Some(3.0));
    }
}
