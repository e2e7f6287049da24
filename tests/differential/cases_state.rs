//! State of a session: settings, statements of SQL, listening, temporary
//! tables, locks.

use super::dsl::*;

pub fn cases() -> Vec<Case> {
    vec![
        case(
            "set and show",
            [
                q("set work_mem = '5MB'"),
                q("show work_mem"),
                q("reset work_mem"),
                q("show work_mem"),
            ],
        ),
        case(
            "set reported ones",
            [
                q("set application_name = 'n'"),
                q("set timezone = 'Asia/Tokyo'"),
                q("set datestyle = 'German'"),
                q("set intervalstyle = 'iso_8601'"),
                q("select '2020-01-02'::date, '1 day'::interval"),
                q("reset all"),
                q("show timezone"),
            ],
        ),
        case(
            "set client_encoding",
            [
                q("set client_encoding = 'LATIN1'"),
                q("select 'é'"),
                q("reset client_encoding"),
                q("select U&'\\00e9'"),
            ],
        ),
        case(
            "set to the same",
            [
                q("set application_name = 'n'"),
                q("set application_name = 'n'"),
            ],
        ),
        case(
            "set wrong",
            [
                q("set work_mem = 'x'"),
                q("set none_such = 1"),
                q("show none_such"),
            ],
        ),
        case(
            "set local",
            [
                q("begin"),
                q("set local work_mem = '6MB'"),
                q("show work_mem"),
                q("commit"),
                q("show work_mem"),
            ],
        ),
        case(
            "set local reported",
            [
                q("begin"),
                q("set local application_name = 'l'"),
                q("show application_name"),
                q("commit"),
                q("show application_name"),
            ],
        ),
        case("set local outside", [q("set local work_mem = '6MB'")]),
        case(
            "set rolled back",
            [
                q("begin"),
                q("set application_name = 'r'"),
                q("rollback"),
                q("show application_name"),
            ],
        ),
        case(
            "set and reset in one query",
            [q(
                "set application_name = 'a'; set application_name = 'b'; reset application_name",
            )],
        ),
        case(
            "set_config",
            [
                q("select set_config('application_name', 'sc', false)"),
                q("show application_name"),
                q("select set_config('application_name', 'local', true)"),
                q("show application_name"),
            ],
        ),
        case(
            "set by a function",
            [
                q(
                    "create function st_set() returns void language sql set work_mem = '7MB' as 'select 1'",
                ),
                q("select st_set()"),
                q("show work_mem"),
            ],
        ),
        case(
            "custom setting",
            [
                q("set my.own = 'x'"),
                q("show my.own"),
                q("select current_setting('my.own')"),
                q("reset my.own"),
                q("select current_setting('my.own', true)"),
            ],
        ),
        case(
            "custom setting never set",
            [
                q("show my.never"),
                q("select current_setting('my.never', true)"),
            ],
        ),
        case(
            "search_path",
            [
                q("create schema st_s"),
                q("create table st_s.st_t (a int)"),
                q("set search_path = st_s"),
                q("select * from st_t"),
                p("", "select * from st_t"),
                b("", "", &[]),
                e("", 0),
                s(),
            ],
        ),
        case(
            "isolation level",
            [
                q("set session characteristics as transaction isolation level serializable"),
                q("show transaction_isolation"),
                q("show default_transaction_isolation"),
            ],
        ),
        case(
            "read only by default",
            [
                q("set default_transaction_read_only = on"),
                q("create table st_ro (a int)"),
                q("reset default_transaction_read_only"),
                q("create table st_ro (a int)"),
            ],
        ),
        case(
            "role",
            [
                q("set role app_user"),
                q("show role"),
                q("reset role"),
                q("show role"),
                q("set role postgres"),
            ],
        ),
        case(
            "session authorization",
            [
                q("select session_user, current_user"),
                q("set session authorization postgres"),
                q("reset session authorization"),
            ],
        ),
        case(
            "prepare and execute",
            [
                q("prepare pp as select $1::int"),
                q("execute pp(1)"),
                q("execute pp(2)"),
                q("deallocate pp"),
                q("execute pp(3)"),
            ],
        ),
        case(
            "prepare twice",
            [
                q("prepare pp as select 1"),
                q("prepare pp as select 1"),
                q("execute pp"),
            ],
        ),
        case(
            "bind of one prepared by SQL",
            [
                q("prepare pp (int) as select $1"),
                b("", "pp", &["5"]),
                e("", 0),
                s(),
                ds("pp"),
                s(),
                cs("pp"),
                s(),
                q("execute pp(1)"),
            ],
        ),
        case(
            "parse of a name prepared by SQL",
            [
                q("prepare pp as select 1"),
                p("pp", "select 2"),
                s(),
                b("", "pp", &[]),
                e("", 0),
                s(),
            ],
        ),
        case(
            "execute by SQL of one parsed",
            [p("pp", "select 3"), s(), q("execute pp"), q("select 1")],
        ),
        case(
            "prepare by SQL of a name parsed",
            [
                p("pp", "select 3"),
                s(),
                q("prepare pp as select 4"),
                b("", "pp", &[]),
                e("", 0),
                s(),
            ],
        ),
        case(
            "pg_prepared_statements",
            [
                p("pp", "select 3"),
                s(),
                q("select name, statement, from_sql from pg_prepared_statements"),
            ],
        ),
        case(
            "discard all",
            [
                q("set application_name = 'd'"),
                p("a", "select 1"),
                s(),
                q("discard all"),
                q("show application_name"),
                b("", "a", &[]),
                e("", 0),
                s(),
                p("a", "select 5"),
                b("", "a", &[]),
                e("", 0),
                s(),
            ],
        ),
        case(
            "discard all in a transaction",
            [
                p("a", "select 1"),
                s(),
                q("begin"),
                q("discard all"),
                q("rollback"),
                b("", "a", &[]),
                e("", 0),
                s(),
            ],
        ),
        case(
            "discard others",
            [
                q("discard plans"),
                q("discard sequences"),
                q("discard temp"),
            ],
        ),
        case(
            "temporary table",
            [
                q("create temp table st_temp (a int)"),
                q("insert into st_temp values (1)"),
                q("select * from st_temp"),
                p("", "select * from st_temp"),
                b("", "", &[]),
                e("", 0),
                s(),
                q("discard temp"),
                q("select * from st_temp"),
            ],
        ),
        case(
            "temporary table on commit drop",
            [
                q("begin"),
                q("create temp table st_cd (a int) on commit drop"),
                q("commit"),
                q("select * from st_cd"),
            ],
        ),
        case(
            "listen and notify",
            [
                q("listen st_one"),
                q("notify st_one, 'hello'"),
                q("select 1"),
                q("notify st_one"),
            ],
        ),
        case(
            "unlisten",
            [
                q("listen st_six"),
                q("listen st_seven"),
                q("unlisten st_six"),
                q("notify st_six, 'nobody'"),
                q("notify st_seven, 'somebody'"),
            ],
        ),
        case(
            "unlisten everything",
            [
                q("listen st_eight"),
                q("unlisten *"),
                q("notify st_eight, 'nobody'"),
                q("select 1"),
            ],
        ),
        case(
            "notify in a transaction",
            [
                q("listen st_two"),
                q("begin"),
                q("notify st_two, 'a'"),
                q("notify st_two, 'b'"),
                q("select 1"),
                q("commit"),
            ],
        ),
        case(
            "notify rolled back",
            [
                q("listen st_three"),
                q("begin"),
                q("notify st_three"),
                q("rollback"),
                q("select 1"),
                q("unlisten *"),
            ],
        ),
        case(
            "notify, extended",
            [
                q("listen st_four"),
                p("", "select pg_notify('st_four', 'x')"),
                b("", "", &[]),
                e("", 0),
                s(),
                q("select 1"),
            ],
        ),
        case(
            "listen in one query",
            [q("listen st_five; notify st_five, 'y'; select 1")],
        ),
        case(
            "holdable cursor",
            [
                q("declare st_c cursor with hold for select generate_series(1, 3)"),
                q("fetch 1 from st_c"),
                q("select 1"),
                q("fetch 2 from st_c"),
                q("close st_c"),
            ],
        ),
        case(
            "advisory lock",
            [
                q("select pg_advisory_lock(hashtext(current_database()))"),
                q("select pg_advisory_unlock(hashtext(current_database()))"),
                q("select pg_advisory_unlock(hashtext(current_database()))"),
            ],
        ),
        case(
            "sequence",
            [
                q("create sequence st_seq"),
                q("select currval('st_seq')"),
                q("select nextval('st_seq')"),
                q("select currval('st_seq')"),
                q("select lastval()"),
            ],
        ),
        case(
            "prepared transaction",
            [
                q("begin"),
                q("prepare transaction 'x'"),
                q("rollback prepared 'x'"),
            ],
        ),
    ]
}
