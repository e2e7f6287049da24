//! Command tags of commands whose effect outlives their transaction.

use super::Scan;
use crate::session::relay::findings::Finding;
use crate::session::relay::from_client::{Restored, Watch};
use crate::session::relay::replies::{Reply, Sets};

impl Scan<'_> {
    /// Notes what a command of the client's means for the session.
    pub(super) fn note_command(&mut self, tag: &[u8]) {
        let selects = tag.starts_with(b"SELECT");
        if (selects || tag == b"EXPLAIN") && self.sets().makes_table {
            self.note_ddl();
        }
        // What is created under a search_path that is not known may be temporary, although no
        // word of a text says so.
        let makes = self.sets().makes_table && selects || tag.starts_with(b"CREATE");
        if makes && self.from_client.watch.touched {
            self.findings.add(Finding::MayStay);
        }
        if selects {
            return;
        }
        // The tags of everyday statements differ in the first letter.
        if !matches!(
            tag.first(),
            Some(b'A' | b'S' | b'R' | b'D' | b'L' | b'P' | b'U' | b'C' | b'G')
        ) {
            return;
        }
        if matches!(tag, b"SET" | b"RESET" | b"DISCARD ALL") {
            self.from_client.watch.touched = true;
            // A SET of a text that resets nothing is no reset.
            if tag != b"SET" || self.sets().may_reset {
                self.from_client.note_reset(tag, self.view.initial);
            }
        }
        if may_be_ddl(tag) {
            self.note_ddl();
        }
        match tag {
            b"SET" if self.sets().locally => {}
            b"SET" | b"RESET" | b"LISTEN" | b"PREPARE" | b"DO" | b"CALL" => {
                self.findings.add(Finding::MayStay);
            }
            b"ALTER ROLE" | b"ALTER DATABASE" => self.findings.add(Finding::DefaultsAltered),
            // A statement that was not made by Parse: the server is asked what is left.
            b"DEALLOCATE" if !matches!(self.replies.front(), Some(Reply::Deallocate(_))) => {
                self.findings.add(Finding::MayBeFree);
                self.findings.add(Finding::MayStay);
            }
            b"UNLISTEN" | b"DEALLOCATE" | b"CLOSE CURSOR" | b"CLOSE CURSOR ALL" | b"DROP TABLE"
            | b"DROP VIEW" | b"DISCARD TEMP" => self.findings.add(Finding::MayBeFree),
            b"ROLLBACK" if self.from_client.listens.restored == Restored::InTransaction => {
                self.from_client.listens.restored = Restored::No;
            }
            b"DISCARD ALL" => {
                self.forget_statements();
                self.from_client.watch = Watch {
                    touched: true,
                    ..Watch::default()
                };
                self.findings.add(Finding::Discarded);
            }
            b"DEALLOCATE ALL" => self.forget_statements(),
            _ => {}
        }
    }

    /// Notes that texts may mean something else from now on; others see that only when the
    /// transaction ends.
    fn note_ddl(&mut self) {
        self.view.statements.plans.ddl.note();
        self.state.ddl = true;
    }

    fn forget_statements(&mut self) {
        self.from_client
            .forget_statements(self.replies, self.view.prepared);
    }

    /// What is known of each SET of the text that is being answered.
    fn sets(&self) -> Sets {
        match self.replies.front() {
            Some(Reply::Query(sets) | Reply::Execute(sets)) => *sets,
            _ => Sets::MAYBE,
        }
    }
}

/// Whether a command may change what a text means, or who may parse it. DO and CALL may run
/// anything.
fn may_be_ddl(tag: &[u8]) -> bool {
    const WORDS: [&[u8]; 8] = [
        b"CREATE",
        b"ALTER",
        b"DROP",
        b"DO",
        b"CALL",
        b"GRANT",
        b"REVOKE",
        b"COMMIT PREPARED",
    ];
    WORDS.iter().any(|word| tag.starts_with(word))
}
