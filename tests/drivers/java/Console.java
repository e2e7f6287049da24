// The console with the PostgreSQL JDBC driver, unmodified. It prepares on the server from the
// fifth execution on, and asks for results in binary where it knows the type.

import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Statement;

public class Console {
    static void same(Object expected, Object found) {
        if (!expected.equals(found)) {
            throw new AssertionError("expected " + expected + ", found " + found);
        }
    }

    public static void main(String[] arguments) throws Exception {
        String url = "jdbc:postgresql://127.0.0.1:" + System.getenv("PGVALET_TEST_PORT") + "/pgvalet";
        try (Connection c = DriverManager.getConnection(url, "dba", "")) {
            same(true, c.isValid(5));
            same("14.0", c.getMetaData().getDatabaseProductVersion().split(" ")[0]);
            try (PreparedStatement s = c.prepareStatement("SHOW DATABASES")) {
                for (int i = 0; i < 8; i++) {
                    try (ResultSet r = s.executeQuery()) {
                        same(true, r.next());
                        same("app", r.getString("name"));
                        same(20, r.getInt("pool_size"));
                    }
                }
            }
            try (Statement s = c.createStatement()) {
                ResultSet stats = s.executeQuery("SHOW STATS");
                same(true, stats.next());
                same(true, stats.getLong("total_xact_count") >= 0);
                s.execute("PAUSE other");
                s.execute("RESUME other");
                try {
                    s.execute("PUASE other");
                    throw new AssertionError("no error");
                } catch (SQLException e) {
                    same("42601", e.getSQLState());
                }
            }
            // In a transaction, a few rows at a time.
            c.setAutoCommit(false);
            try (Statement s = c.createStatement()) {
                s.setFetchSize(2);
                int rules = 0;
                try (ResultSet r = s.executeQuery("SHOW RULES")) {
                    while (r.next()) {
                        rules++;
                    }
                }
                same(3, rules);
            }
            c.commit();
        }
    }
}
