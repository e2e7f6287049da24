//! SHOW: what there is to see, and where its rows come from.

use std::sync::Arc;

use super::averages::Averages;
use super::table::{Column, Row};
use super::{
    show_audit, show_clients, show_config, show_databases, show_lists, show_pools, show_rules,
    show_secrets, show_servers, show_stats, show_trouble,
};
use crate::access::AdminRight;
use crate::admin::{ClientView, Operations};

/// What the rows are made of.
#[derive(Clone)]
pub struct World {
    pub proxy: Arc<dyn Operations>,
    pub averages: Arc<Averages>,
}

/// One word that SHOW knows.
pub struct Show {
    pub word: &'static str,
    pub columns: &'static [Column],
    pub rows: Rows,
    /// Who may see it.
    pub right: AdminRight,
}

/// Where rows come from.
#[derive(Clone, Copy)]
pub enum Rows {
    /// From memory.
    Now(fn(&World) -> Vec<Row>),
    /// From memory, and from the clients of the process before this one.
    Both(fn(&World, &[ClientView]) -> Vec<Row>),
    /// From a file, so many of them at most, which may take a while, or not be possible; the error
    /// says why.
    Read(fn(&World, usize) -> Result<Vec<Row>, String>),
}

const fn all(word: &'static str, columns: &'static [Column], rows: fn(&World) -> Vec<Row>) -> Show {
    Show {
        word,
        columns,
        rows: Rows::Now(rows),
        right: AdminRight::Read,
    }
}

/// Those of PgBouncer 1.25 with its columns, in its order, and then those of pgvalet.
pub static SHOWS: &[Show] = &[
    Show {
        word: "CLIENTS",
        columns: show_clients::COLUMNS,
        rows: Rows::Both(show_clients::clients),
        right: AdminRight::Read,
    },
    all("CONFIG", show_config::CONFIG, show_config::config),
    all(
        "DATABASES",
        show_databases::DATABASES,
        show_databases::databases,
    ),
    Show {
        word: "FDS",
        columns: show_config::FDS,
        rows: Rows::Now(|_| Vec::new()),
        right: AdminRight::Change,
    },
    all("LISTS", show_lists::LISTS, show_lists::lists),
    all("PEERS", show_databases::PEERS, |_| Vec::new()),
    all("PEER_POOLS", show_databases::PEER_POOLS, |_| Vec::new()),
    all("POOLS", show_pools::COLUMNS, show_pools::pools),
    all("SERVERS", show_servers::COLUMNS, show_servers::servers),
    all("SOCKETS", show_clients::SOCKETS, show_clients::sockets),
    all(
        "ACTIVE_SOCKETS",
        show_clients::SOCKETS,
        show_clients::active_sockets,
    ),
    all("STATS", show_stats::STATS, show_stats::stats),
    all(
        "STATS_TOTALS",
        show_stats::TOTALS_OF_EACH,
        show_stats::totals_of_each,
    ),
    all(
        "STATS_AVERAGES",
        show_stats::AVERAGES_OF_EACH,
        show_stats::averages_of_each,
    ),
    all("USERS", show_lists::USERS, show_lists::users),
    all("VERSION", show_config::VERSION, show_config::version),
    all("TOTALS", show_stats::TOTALS, show_stats::totals),
    all("MEM", show_config::MEM, show_config::memory),
    all("DNS_HOSTS", show_config::DNS_HOSTS, |_| Vec::new()),
    all("DNS_ZONES", show_config::DNS_ZONES, |_| Vec::new()),
    all("STATE", show_config::STATE, show_config::state),
    all("SECRETS", show_secrets::SECRETS, show_secrets::secrets),
    all(
        "GENERATIONS",
        show_secrets::GENERATIONS,
        show_secrets::generations,
    ),
    all("DRAINS", show_secrets::DRAINS, show_secrets::drains),
    all(
        "ROTATIONS",
        show_secrets::ROTATIONS,
        show_secrets::rotations,
    ),
    all("RULES", show_rules::RULES, show_rules::rules),
    all("TROUBLE", show_trouble::TROUBLE, show_trouble::trouble),
    Show {
        word: "AUDIT",
        columns: show_audit::AUDIT,
        rows: Rows::Read(show_audit::audit),
        right: AdminRight::Change,
    },
];

/// What SHOW HELP says.
pub fn help() -> String {
    let words: Vec<&str> = SHOWS.iter().map(|show| show.word).collect();
    let mut lines = vec![String::new()];
    for group in words.chunks(6) {
        lines.push(format!("\tSHOW {}", group.join("|")));
    }
    for line in [
        "SHOW <what> <name>\tonly rows with that name",
        "SHOW AUDIT <number>\tso many records",
        "PAUSE|RESUME|KILL|RECONNECT|WAIT_CLOSE [<database>]",
        "DISABLE|ENABLE <database>",
        "KILL_CLIENT <id of SHOW CLIENTS>",
        "REFRESH [<secret>]",
        "ROTATE <secret>",
        "APPROVE <secret>",
        "RELOAD",
        "SET key = value",
        "SHUTDOWN [WAIT_FOR_CLIENTS]",
    ] {
        lines.push(format!("\t{line}"));
    }
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The columns of PgBouncer 1.25, for programs that read them.
    const PGBOUNCER: &[(&str, &str)] = &[
        (
            "CLIENTS",
            "type user database replication state addr port local_addr local_port connect_time request_time wait wait_us close_needed ptr link remote_pid tls application_name prepared_statements id",
        ),
        (
            "SERVERS",
            "type user database replication state addr port local_addr local_port connect_time request_time wait wait_us close_needed ptr link remote_pid tls application_name prepared_statements id",
        ),
        (
            "SOCKETS",
            "type user database replication state addr port local_addr local_port connect_time request_time wait wait_us close_needed ptr link remote_pid tls application_name prepared_statements id recv_pos pkt_pos pkt_remain send_pos send_remain pkt_avail send_avail",
        ),
        ("CONFIG", "key value default changeable"),
        (
            "DATABASES",
            "name host port database force_user pool_size min_pool_size reserve_pool_size server_lifetime pool_mode load_balance_hosts max_connections current_connections max_client_connections current_client_connections paused disabled",
        ),
        (
            "FDS",
            "fd task user database addr port cancel link client_encoding std_strings datestyle timezone password scram_client_key scram_server_key",
        ),
        ("LISTS", "list items"),
        ("PEERS", "peer_id host port pool_size"),
        (
            "PEER_POOLS",
            "peer_id cl_active_cancel_req cl_waiting_cancel_req sv_active_cancel sv_login",
        ),
        (
            "POOLS",
            "database user cl_active cl_waiting cl_active_cancel_req cl_waiting_cancel_req sv_active sv_active_cancel sv_being_canceled sv_idle sv_used sv_tested sv_login maxwait maxwait_us pool_mode load_balance_hosts",
        ),
        (
            "STATS",
            "database total_server_assignment_count total_xact_count total_query_count total_received total_sent total_xact_time total_query_time total_wait_time total_client_parse_count total_server_parse_count total_bind_count avg_server_assignment_count avg_xact_count avg_query_count avg_recv avg_sent avg_xact_time avg_query_time avg_wait_time avg_client_parse_count avg_server_parse_count avg_bind_count",
        ),
        (
            "STATS_TOTALS",
            "database server_assignment_count xact_count query_count bytes_received bytes_sent xact_time query_time wait_time client_parse_count server_parse_count bind_count",
        ),
        (
            "STATS_AVERAGES",
            "database server_assignment_count xact_count query_count bytes_received bytes_sent xact_time query_time wait_time avg_client_parse_count avg_server_parse_count avg_bind_count",
        ),
        (
            "USERS",
            "name pool_size reserve_pool_size pool_mode max_user_connections current_connections max_user_client_connections current_client_connections",
        ),
        ("VERSION", "version"),
        ("TOTALS", "name value"),
        ("MEM", "name size used free memtotal"),
        ("DNS_HOSTS", "hostname ttl addrs"),
        ("DNS_ZONES", "zonename serial count"),
        ("STATE", "key value"),
    ];

    #[test]
    fn the_columns_of_pgbouncer_in_its_order() {
        for (word, expected) in PGBOUNCER {
            let show = SHOWS.iter().find(|show| show.word == *word);
            let show = show.unwrap_or_else(|| panic!("there is no SHOW {word}"));
            // Behind PgBouncer's columns there may be some of pgvalet's own.
            let columns = show.columns.iter().map(|c| &*c.name);
            let columns: Vec<&str> = columns.filter(|c| !c.starts_with("fleet_")).collect();
            assert_eq!(columns.join(" "), *expected, "SHOW {word}");
        }
    }

    #[test]
    fn help_has_every_word() {
        let help = help();
        for show in SHOWS {
            assert!(help.contains(show.word), "{}", show.word);
        }
    }
}
