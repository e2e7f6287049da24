// Connects with the PostgreSQL JDBC driver once for each URL that it is given, and
// says in a line whose connection it is, or why there is none.

import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Statement;

public class Connect {
    public static void main(String[] urls) {
        for (String url : urls) {
            try (Connection c = DriverManager.getConnection(url, "anyone", "");
                    Statement s = c.createStatement();
                    ResultSet r = s.executeQuery("SELECT current_user")) {
                r.next();
                System.out.println(r.getString(1));
            } catch (SQLException e) {
                System.out.println("refused: " + e.getSQLState() + " " + e.getMessage().replace('\n', ' '));
            }
        }
    }
}
