//! What the clients did according to Postgres itself: nothing lost, nothing doubled.

use tokio_postgres::Client;

use super::DemoError;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ledger {
    /// Committed transfers.
    pub entries: i64,
    /// Zero, because every transfer takes as much as it gives.
    pub balance: i64,
}

impl Ledger {
    pub async fn read(superuser: &Client) -> Result<Self, DemoError> {
        let sql = "SELECT (SELECT count(*) FROM entry), (SELECT sum(balance)::bigint FROM account)";
        let row = superuser.query_one(sql, &[]).await?;
        Ok(Self {
            entries: row.try_get(0)?,
            balance: row.try_get(1)?,
        })
    }

    /// What does not agree with the transfers that clients were told are committed.
    pub fn disagrees(&self, transfers: u64) -> Option<String> {
        if u64::try_from(self.entries) != Ok(transfers) {
            let entries = self.entries;
            return Some(format!(
                "clients committed {transfers} transfers, but the ledger has {entries}"
            ));
        }
        (self.balance != 0).then(|| format!("the ledger's balances sum to {}, not 0", self.balance))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lost_a_doubled_and_half_a_transfer_show() {
        let ledger = |entries, balance| Ledger { entries, balance };
        assert_eq!(ledger(5, 0).disagrees(5), None);
        assert!(ledger(4, 0).disagrees(5).is_some());
        assert!(ledger(6, 0).disagrees(5).is_some());
        assert!(ledger(5, -3).disagrees(5).is_some());
    }
}
