// The same as workers.py, by the JDBC driver: java -cp JAR Worker.java NUMBER URL

import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.PreparedStatement;
import java.sql.SQLException;
import java.util.ArrayList;
import java.util.List;
import java.util.StringJoiner;

public class Worker {
    static volatile boolean over = false;

    static String quoted(String text) {
        return '"' + text.replace("\\", "\\\\").replace("\"", "\\\"").replace("\n", " ") + '"';
    }

    static String ranges(List<Integer> numbers) {
        var joined = new StringJoiner(", ", "[", "]");
        for (int at = 0; at < numbers.size(); ) {
            int first = numbers.get(at), last = first;
            for (at++; at < numbers.size() && numbers.get(at) == last + 1; at++) last++;
            joined.add("[" + first + ", " + last + "]");
        }
        return joined.toString();
    }

    public static void main(String[] arguments) throws Exception {
        int client = Integer.parseInt(arguments[0]), next = 0;
        var waits = new Thread(() -> {
            try {
                while (System.in.read() >= 0) {}
            } catch (java.io.IOException error) {
                // As good as the end.
            }
            over = true;
        });
        waits.setDaemon(true);
        waits.start();
        List<Integer> there = new ArrayList<>(), doubt = new ArrayList<>();
        while (!over) {
            try (Connection connection = DriverManager.getConnection(arguments[1])) {
                connection.setAutoCommit(false);
                for (int turn = 0; turn < 200 && !over; turn++) {
                    int row = next++;
                    boolean commits = false;
                    try (PreparedStatement insert = connection.prepareStatement("insert into soak values (?, ?)")) {
                        insert.setInt(1, client);
                        insert.setInt(2, row);
                        insert.executeUpdate();
                        commits = true;
                        connection.commit();
                    } catch (SQLException error) {
                        if (commits) doubt.add(row);
                        throw error;
                    }
                    there.add(row);
                }
            } catch (SQLException error) {
                String code = error.getSQLState() == null ? "" : error.getSQLState();
                System.out.println("{\"at\": " + System.currentTimeMillis() / 1000.0 + ", \"code\": " + quoted(code)
                    + ", \"error\": " + quoted(String.valueOf(error.getMessage())) + "}");
                Thread.sleep(50);
            }
        }
        var doubts = new StringJoiner(", ", "[", "]");
        doubt.forEach(n -> doubts.add(n.toString()));
        System.out.println("{\"client\": " + client + ", \"written\": " + there.size() + ", \"there\": "
            + ranges(there) + ", \"doubt\": " + doubts + "}");
    }
}
