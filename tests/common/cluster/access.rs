//! Access to a cluster: its pg_hba.conf.

use std::fs;
use std::path::Path;

use super::{Cluster, files};

const EVERYBODY: &str = "host all all 127.0.0.1/32 scram-sha-256\n";

impl Cluster {
    /// Keeps a role out of one database.
    pub async fn keep_out(&self, database: &str, role: &str) {
        let rules = fs::read_to_string(self.hba()).expect("pg_hba.conf");
        let first = format!("host {database} {role} all reject\n");
        self.set_hba(&(first + &rules)).await;
    }

    /// Changes the method for one role on the unix socket.
    pub async fn permit_on_socket(&self, role: &str, method: &str) {
        let rules = fs::read_to_string(self.hba()).expect("pg_hba.conf");
        let first = format!("local all {role} {method}\n");
        self.set_hba(&(first + &rules)).await;
    }

    /// Changes the method for everybody.
    pub async fn permit(&self, method: &str) {
        let rules = format!("local all all {method}\nhost all all 127.0.0.1/32 {method}\n");
        self.set_hba(&rules).await;
    }

    /// Lets everybody into these databases without a password; into the others
    /// as before.
    pub async fn trust_in(&self, databases: &[String]) {
        let first = format!("host {} all 127.0.0.1/32 trust\n", databases.join(","));
        self.set_hba(&(first + EVERYBODY)).await;
    }

    /// Lets one role in through the socket if it is named after the user of the system; the
    /// others as before.
    pub async fn permit_peer(&self, role: &str) {
        let first = format!("local all {role} peer\n");
        self.set_hba(&(first + EVERYBODY)).await;
    }

    /// Lets one role in by certificate alone, over TLS; the others as before.
    pub async fn permit_certificate(&self, role: &str) {
        let first = format!("hostssl all {role} 127.0.0.1/32 cert\n");
        self.set_hba(&(first + EVERYBODY)).await;
    }

    /// Restarts the server with another certificate and key.
    pub async fn show(&mut self, certificate: &Path, key: &Path) {
        self.stop();
        let tls = self.ca().parent().expect("a directory").to_owned();
        for (from, to) in [(certificate, "server.crt"), (key, "server.key")] {
            fs::write(tls.join(to), fs::read(from).expect("a file")).expect("written");
        }
        files::give_to_postgres(&tls);
        self.run().await;
    }

    async fn set_hba(&self, rules: &str) {
        fs::write(self.hba(), rules).expect("pg_hba.conf");
        self.execute("SELECT pg_reload_conf()").await;
    }
}
