// The PostgreSQL JDBC driver, unmodified, in every pool mode. It prepares on the
// server from the fifth execution on, under names that all connections share.

import java.io.StringReader;
import java.io.StringWriter;
import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Statement;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.Callable;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import org.postgresql.PGConnection;
import org.postgresql.copy.CopyManager;

public class Drivers {
    static final String USER = System.getenv("PGVALET_TEST_USER");

    static String url;
    static String table;

    static Connection connect(String more) throws SQLException {
        return DriverManager.getConnection(url + more, "anyone", "");
    }

    static void same(Object expected, Object found) {
        if (!expected.equals(found)) {
            throw new AssertionError("expected " + expected + ", found " + found);
        }
    }

    static void fails(String sqlstate, Callable<?> action) throws Exception {
        try {
            action.call();
        } catch (SQLException e) {
            same(sqlstate, e.getSQLState());
            return;
        }
        throw new AssertionError("no error, " + sqlstate + " was expected");
    }

    static int number(Connection c, String sql) throws SQLException {
        try (Statement s = c.createStatement(); ResultSet r = s.executeQuery(sql)) {
            r.next();
            return r.getInt(1);
        }
    }

    static void isTheSecretsUser() throws Exception {
        try (Connection c = connect(""); Statement s = c.createStatement()) {
            ResultSet r = s.executeQuery("SELECT current_user");
            r.next();
            same(USER, r.getString(1));
            // Catalogue queries of the driver's own.
            try (ResultSet tables = c.getMetaData().getTables(null, "public", table, null)) {
                tables.next();
                same(table, tables.getString("TABLE_NAME"));
            }
        }
    }

    static void preparedOnManyConnections() throws Exception {
        ExecutorService threads = Executors.newFixedThreadPool(6);
        List<Future<?>> all = new ArrayList<>();
        for (int t = 0; t < 6; t++) {
            int factor = t + 2;
            all.add(threads.submit(() -> {
                try (Connection c = connect("");
                        PreparedStatement p = c.prepareStatement("SELECT ?::int * " + factor)) {
                    for (int i = 0; i < 40; i++) {
                        p.setInt(1, i);
                        try (ResultSet r = p.executeQuery()) {
                            r.next();
                            same(i * factor, r.getInt(1));
                        }
                    }
                }
                return null;
            }));
        }
        for (Future<?> one : all) {
            one.get();
        }
        threads.shutdown();
    }

    static void transactionsAndErrors() throws Exception {
        try (Connection c = connect("?autosave=always"); Statement s = c.createStatement()) {
            c.setAutoCommit(false);
            s.execute("INSERT INTO " + table + " VALUES (1, 'a')");
            fails("22012", () -> s.executeQuery("SELECT 1/0"));
            s.execute("INSERT INTO " + table + " VALUES (2, 'b')");
            c.commit();
            s.execute("DELETE FROM " + table);
            c.rollback();
            same(2, number(c, "SELECT count(*) FROM " + table));
            s.execute("DELETE FROM " + table);
            c.commit();
        }
        try (Connection c = connect("")) {
            fails("42601", () -> c.createStatement().executeQuery("SELEKT 1"));
            same(1, number(c, "SELECT 1"));
        }
    }

    static void batches() throws Exception {
        for (String more : new String[] {"", "?reWriteBatchedInserts=true"}) {
            try (Connection c = connect(more);
                    PreparedStatement p = c.prepareStatement("INSERT INTO " + table + " VALUES (?, ?)")) {
                for (int i = 0; i < 1000; i++) {
                    p.setInt(1, i);
                    p.setString(2, "row " + i);
                    p.addBatch();
                }
                same(1000, p.executeBatch().length);
                same(1000, number(c, "SELECT count(*) FROM " + table));
                c.createStatement().execute("TRUNCATE " + table);
            }
        }
    }

    static void cursorInATransaction() throws Exception {
        try (Connection c = connect(""); Statement s = c.createStatement()) {
            c.setAutoCommit(false);
            s.setFetchSize(100);
            int n = 0;
            try (ResultSet r = s.executeQuery("SELECT generate_series(1, 1000)")) {
                while (r.next()) {
                    same(++n, r.getInt(1));
                }
            }
            same(1000, n);
            c.commit();
        }
    }

    static void copy() throws Exception {
        try (Connection c = connect("")) {
            CopyManager copy = c.unwrap(PGConnection.class).getCopyAPI();
            StringBuilder rows = new StringBuilder();
            for (int i = 0; i < 5000; i++) {
                rows.append(i).append("\trow ").append(i).append('\n');
            }
            same(5000L, copy.copyIn("COPY " + table + " FROM STDIN", new StringReader(rows.toString())));
            StringWriter out = new StringWriter();
            copy.copyOut("COPY (SELECT * FROM " + table + " ORDER BY n) TO STDOUT", out);
            same(rows.toString(), out.toString());
            fails("22P02", () -> copy.copyIn("COPY " + table + " FROM STDIN", new StringReader("x\ty\n")));
            c.createStatement().execute("TRUNCATE " + table);
        }
    }

    /** The driver sends a cancel request from a thread of its own. */
    static void queryTimeout() throws Exception {
        try (Connection c = connect(""); Statement s = c.createStatement()) {
            s.setQueryTimeout(1);
            fails("57014", () -> s.executeQuery("SELECT pg_sleep(60)"));
            s.setQueryTimeout(0);
            same(1, number(c, "SELECT 1"));
        }
    }

    static void notifications() throws Exception {
        try (Connection listener = connect(""); Connection notifier = connect("")) {
            listener.createStatement().execute("LISTEN java_channel");
            notifier.createStatement().execute("SELECT pg_notify('java_channel', 'hello')");
            var heard = listener.unwrap(PGConnection.class).getNotifications(10_000);
            same(1, heard.length);
            same("hello", heard[0].getParameter());
            listener.createStatement().execute("UNLISTEN *");
        }
    }

    static void settings() throws Exception {
        try (Connection c = connect("?currentSchema=public,pg_catalog&ApplicationName=java")) {
            same("public", c.getSchema());
            c.setAutoCommit(false);
            c.setReadOnly(true);
            fails("25006", () -> c.createStatement().execute("DELETE FROM " + table));
            c.rollback();
            c.setReadOnly(false);
            c.setTransactionIsolation(Connection.TRANSACTION_SERIALIZABLE);
            same(Connection.TRANSACTION_SERIALIZABLE, c.getTransactionIsolation());
        }
    }

    interface Check {
        void run() throws Exception;
    }

    public static void main(String[] arguments) throws Exception {
        Check[] checks = {
            Drivers::isTheSecretsUser, Drivers::preparedOnManyConnections,
            Drivers::transactionsAndErrors, Drivers::batches, Drivers::cursorInATransaction,
            Drivers::copy, Drivers::queryTimeout, Drivers::notifications, Drivers::settings,
        };
        String port = System.getenv("PGVALET_TEST_PORT");
        for (String mode : new String[] {"session", "transaction"}) {
            url = "jdbc:postgresql://127.0.0.1:" + port + "/" + mode;
            table = "java_" + mode;
            try (Connection c = connect(""); Statement s = c.createStatement()) {
                s.execute("DROP TABLE IF EXISTS " + table);
                s.execute("CREATE TABLE " + table + " (n int, t text)");
            }
            for (Check check : checks) {
                check.run();
            }
        }
        System.out.println(checks.length + " checks in each mode");
    }
}
