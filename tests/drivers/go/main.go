// pgx, unmodified and with its default settings, in every pool mode. It
// prepares every query, under names that it counts up on each connection.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/jackc/pgconn"
	"github.com/jackc/pgx/v4"
	"github.com/jackc/pgx/v4/pgxpool"
)

var ctx = context.Background()

func must(err error) {
	if err != nil {
		panic(err)
	}
}

func same[T comparable](expected, found T) {
	if expected != found {
		panic(fmt.Sprintf("expected %v, found %v", expected, found))
	}
}

func fails(sqlstate string, err error) {
	var said *pgconn.PgError
	if !errors.As(err, &said) {
		panic(fmt.Sprintf("expected %s, found %v", sqlstate, err))
	}
	same(sqlstate, said.Code)
}

func value[T any](c *pgx.Conn, sql string, arguments ...interface{}) (v T) {
	must(c.QueryRow(ctx, sql, arguments...).Scan(&v))
	return
}

func connect(dsn string) *pgx.Conn {
	c, err := pgx.Connect(ctx, dsn)
	must(err)
	return c
}

func queries(dsn, table string) {
	c := connect(dsn)
	defer c.Close(ctx)
	same(os.Getenv("PGVALET_TEST_USER"), value[string](c, "SELECT current_user"))
	for i := 0; i < 20; i++ {
		same(i*2, value[int](c, "SELECT $1::int * 2", i))
	}
	_, err := c.Exec(ctx, "SELEKT 1")
	fails("42601", err)
	_, err = c.Exec(ctx, "SELECT 1 / $1::int", 0)
	fails("22012", err)
	same(1, value[int](c, "SELECT 1"))
	_, err = c.Prepare(ctx, "mine", "SELECT $1::text || 'x'")
	must(err)
	same("ax", value[string](c, "mine", "a"))
	// By SQL.
	must(c.Deallocate(ctx, "mine"))
	_, err = c.Prepare(ctx, "mine", "SELECT $1::text || 'y'")
	must(err)
	same("ay", value[string](c, "mine", "a"))
}

// More goroutines than server connections, all with statements of the same names.
func pool(dsn, table string) {
	config, err := pgxpool.ParseConfig(dsn)
	must(err)
	config.MaxConns = 8
	pool, err := pgxpool.ConnectConfig(ctx, config)
	must(err)
	defer pool.Close()
	var all sync.WaitGroup
	failed := make(chan error, 200)
	for i := 0; i < 200; i++ {
		all.Add(1)
		go func(i int) {
			defer all.Done()
			var n int
			sql := fmt.Sprintf("SELECT $1::int + %d", i%7)
			if err := pool.QueryRow(ctx, sql, i).Scan(&n); err != nil {
				failed <- err
			} else if n != i+i%7 {
				failed <- fmt.Errorf("%d for %d", n, i)
			}
		}(i)
	}
	all.Wait()
	close(failed)
	must(<-failed)
}

func transactions(dsn, table string) {
	c := connect(dsn)
	defer c.Close(ctx)
	insert := "INSERT INTO " + table + " VALUES ($1, 'x')"
	must(c.BeginFunc(ctx, func(tx pgx.Tx) error {
		_, err := tx.Exec(ctx, insert, 1)
		must(err)
		fails("22012", tx.BeginFunc(ctx, func(inner pgx.Tx) error {
			_, err := inner.Exec(ctx, insert, 2)
			must(err)
			_, err = inner.Exec(ctx, "SELECT 1/0")
			return err
		}))
		return nil
	}))
	same(1, value[int](c, "SELECT count(*) FROM "+table))
	_, err := c.Exec(ctx, "TRUNCATE "+table)
	must(err)
}

// A batch is one pipeline with one Sync; its error takes all of it back.
func batches(dsn, table string) {
	c := connect(dsn)
	defer c.Close(ctx)
	batch := &pgx.Batch{}
	for i := 0; i < 100; i++ {
		batch.Queue("INSERT INTO "+table+" VALUES ($1, $2)", i, fmt.Sprint(i))
	}
	batch.Queue("SELECT count(*) FROM " + table)
	answers := c.SendBatch(ctx, batch)
	for i := 0; i < 100; i++ {
		_, err := answers.Exec()
		must(err)
	}
	var count int
	must(answers.QueryRow().Scan(&count))
	must(answers.Close())
	same(100, count)

	batch = &pgx.Batch{}
	batch.Queue("DELETE FROM " + table)
	batch.Queue("SELECT 1/0")
	fails("22012", c.SendBatch(ctx, batch).Close())
	same(100, value[int](c, "SELECT count(*) FROM "+table))
	_, err := c.Exec(ctx, "TRUNCATE "+table)
	must(err)
}

func copies(dsn, table string) {
	c := connect(dsn)
	defer c.Close(ctx)
	rows := make([][]interface{}, 5000)
	for i := range rows {
		rows[i] = []interface{}{i, fmt.Sprint("row ", i)}
	}
	n, err := c.CopyFrom(ctx, pgx.Identifier{table}, []string{"n", "t"}, pgx.CopyFromRows(rows))
	must(err)
	same(5000, n)
	found, err := c.Query(ctx, "SELECT n, t FROM "+table+" ORDER BY n")
	must(err)
	at := 0
	for ; found.Next(); at++ {
		var n int
		var t string
		must(found.Scan(&n, &t))
		same(at, n)
		same(fmt.Sprint("row ", at), t)
	}
	must(found.Err())
	same(5000, at)
	_, err = c.Exec(ctx, "TRUNCATE "+table)
	must(err)
}

func notifications(dsn, table string) {
	listener, notifier := connect(dsn), connect(dsn)
	defer listener.Close(ctx)
	defer notifier.Close(ctx)
	_, err := listener.Exec(ctx, "LISTEN go_channel")
	must(err)
	_, err = notifier.Exec(ctx, "SELECT pg_notify('go_channel', 'hello')")
	must(err)
	patience, stop := context.WithTimeout(ctx, 10*time.Second)
	defer stop()
	heard, err := listener.WaitForNotification(patience)
	must(err)
	same("hello", heard.Payload)
}

func largeObjects(dsn, table string) {
	c := connect(dsn)
	defer c.Close(ctx)
	must(c.BeginFunc(ctx, func(tx pgx.Tx) error {
		objects := tx.LargeObjects()
		id, err := objects.Create(ctx, 0)
		must(err)
		object, err := objects.Open(ctx, id, pgx.LargeObjectModeRead|pgx.LargeObjectModeWrite)
		must(err)
		_, err = object.Write(make([]byte, 100_000))
		must(err)
		end, err := object.Seek(0, 2)
		must(err)
		same(100_000, end)
		return objects.Unlink(ctx, id)
	}))
}

// pgx cancels by hanging up: the server connection must not reach another
// client in the middle of that query.
func deadline(dsn, table string) {
	c := connect(dsn)
	short, stop := context.WithTimeout(ctx, time.Second)
	defer stop()
	_, err := c.Exec(short, "SELECT pg_sleep(60)")
	if err == nil {
		panic("no timeout")
	}
	c.Close(ctx)
	next := connect(dsn)
	defer next.Close(ctx)
	same(1, value[int](next, "SELECT 1"))
}

// The console, whose commands pgx prepares like everything else.
func console(dsn string) {
	c := connect(dsn)
	defer c.Close(ctx)
	for i := 0; i < 3; i++ {
		rows, err := c.Query(ctx, "SHOW POOLS")
		must(err)
		var names []string
		for rows.Next() {
			values, err := rows.Values()
			must(err)
			names = append(names, values[0].(string))
			same(int32(0), values[3].(int32))
		}
		must(rows.Err())
		same(2, len(names))
		same("app", names[0])
	}
	tag, err := c.Exec(ctx, "PAUSE other")
	must(err)
	same("PAUSE", tag.String())
	_, err = c.Exec(ctx, "RESUME other")
	must(err)
	_, err = c.Exec(ctx, "PUASE other")
	fails("42601", err)
	same("PgBouncer 1.25.2", value[string](c, "SHOW VERSION")[:16])
}

func main() {
	if dsn := os.Getenv("PGVALET_TEST_DSN_CONSOLE"); dsn != "" {
		console(dsn)
		return
	}
	checks := []func(dsn, table string){
		queries, pool, transactions, batches, copies, notifications, largeObjects, deadline,
	}
	for mode, dsn := range map[string]string{
		"session":     os.Getenv("PGVALET_TEST_DSN_SESSION"),
		"transaction": os.Getenv("PGVALET_TEST_DSN_TRANSACTION"),
	} {
		table := "go_" + mode
		c := connect(dsn)
		_, err := c.Exec(ctx, "CREATE TABLE IF NOT EXISTS "+table+" (n int, t text)")
		must(err)
		must(c.Close(ctx))
		for _, check := range checks {
			check(dsn, table)
		}
	}
	fmt.Println(len(checks), "checks in each mode")
}
