// node-postgres, unmodified and with its default settings, in every pool mode.

import assert from "node:assert/strict";
import { createRequire } from "node:module";

// Installed beside the repository's other caches, not into its tree.
const pg = createRequire(`${process.env.PGVALET_TEST_NODE_MODULES}/`)("pg");

const user = process.env.PGVALET_TEST_USER;
const modes = { session: process.env.PGVALET_TEST_DSN_SESSION, transaction: process.env.PGVALET_TEST_DSN_TRANSACTION };

async function connected(dsn, use) {
  const client = new pg.Client({ connectionString: dsn });
  await client.connect();
  try {
    await use(client);
  } finally {
    await client.end();
  }
}

const checks = {
  async "is the secret's user"(dsn) {
    await connected(dsn, async (client) => {
      const { rows } = await client.query("SELECT current_user AS u");
      assert.equal(rows[0].u, user);
    });
  },

  async "parameters and types"(dsn) {
    await connected(dsn, async (client) => {
      const { rows } = await client.query(
        "SELECT $1::int + 1 AS n, $2::text AS t, $3::bytea AS b, $4::jsonb AS j, $5::timestamptz AS d",
        [41, "ä€\u{1f418}", Buffer.from([0, 255]), { a: [1, null] }, new Date(0)],
      );
      assert.equal(rows[0].n, 42);
      assert.equal(rows[0].t, "ä€\u{1f418}");
      assert.deepEqual(rows[0].b, Buffer.from([0, 255]));
      assert.deepEqual(rows[0].j, { a: [1, null] });
      assert.equal(rows[0].d.getTime(), 0);
    });
  },

  // The same name for another text on another client: names are a client's own.
  async "named statements over a pool"(dsn) {
    const pool = new pg.Pool({ connectionString: dsn, max: 6 });
    const asked = Array.from({ length: 120 }, (_, i) =>
      pool.query({ name: "double", text: "SELECT $1::int * 2 AS n", values: [i] }),
    );
    const answers = (await Promise.all(asked)).map((r) => r.rows[0].n);
    assert.deepEqual(answers, Array.from({ length: 120 }, (_, i) => i * 2));
    await pool.end();
    await connected(dsn, async (client) => {
      const { rows } = await client.query({ name: "double", text: "SELECT $1::int * 3 AS n", values: [5] });
      assert.equal(rows[0].n, 15);
    });
  },

  // Sent without waiting; node-postgres queues them on the connection.
  async "many queries at once keep their order"(dsn) {
    await connected(dsn, async (client) => {
      const queries = Array.from({ length: 50 }, (_, i) => client.query("SELECT $1::int AS n", [i]));
      const answers = (await Promise.all(queries)).map((r) => r.rows[0].n);
      assert.deepEqual(answers, Array.from({ length: 50 }, (_, i) => i));
    });
  },

  async "transactions, errors and savepoints"(dsn, mode) {
    await connected(dsn, async (client) => {
      const table = `node_${mode}`;
      await client.query(`DROP TABLE IF EXISTS ${table}`);
      await client.query(`CREATE TABLE ${table} (n int primary key)`);
      await client.query("BEGIN");
      await client.query(`INSERT INTO ${table} VALUES (1)`);
      await client.query("SAVEPOINT s");
      await assert.rejects(client.query(`INSERT INTO ${table} VALUES ($1)`, [1]), { code: "23505" });
      await assert.rejects(client.query("SELECT 1"), { code: "25P02" });
      await client.query("ROLLBACK TO s");
      await client.query(`INSERT INTO ${table} VALUES (2)`);
      await client.query("COMMIT");
      const { rows } = await client.query(`SELECT sum(n)::int AS s FROM ${table}`);
      assert.equal(rows[0].s, 3);
      await client.query(`DROP TABLE ${table}`);
    });
  },

  async "an error leaves the connection usable"(dsn) {
    await connected(dsn, async (client) => {
      await assert.rejects(client.query("SELEKT 1"), { code: "42601" });
      await assert.rejects(client.query("SELECT 1 / $1::int", [0]), { code: "22012" });
      const { rows } = await client.query("SELECT 1 AS n; SELECT 2 AS n").then((r) => r[1]);
      assert.equal(rows[0].n, 2);
    });
  },

  async "notifications"(dsn) {
    await connected(dsn, (listener) =>
      connected(dsn, async (notifier) => {
        const heard = new Promise((resolve) => listener.once("notification", resolve));
        await listener.query("LISTEN node_channel");
        await notifier.query("SELECT pg_notify('node_channel', 'hello')");
        assert.equal((await heard).payload, "hello");
        await listener.query("UNLISTEN *");
      }),
    );
  },

  async "a large value there and back"(dsn) {
    await connected(dsn, async (client) => {
      const value = "ü".repeat(3_000_000);
      const { rows } = await client.query("SELECT $1::text AS t", [value]);
      assert.equal(rows[0].t, value);
    });
  },
};

for (const [mode, dsn] of Object.entries(modes)) {
  for (const [name, check] of Object.entries(checks)) {
    try {
      await check(dsn, mode);
    } catch (error) {
      console.error(`${mode} mode: ${name}`);
      throw error;
    }
  }
}
console.log(`${Object.keys(checks).length} checks in each mode`);
