// The same as workers.py, by node-postgres: node worker.mjs NUMBER DSN

import { createRequire } from "node:module";

const pg = createRequire(`${process.env.SOAK_NODE_MODULES}/`)("pg");
const [client, dsn] = [Number(process.argv[2]), process.argv[3]];
const tell = (what) => console.log(JSON.stringify(what));

let over = false;
process.stdin.on("end", () => (over = true)).resume();

const there = [];
const doubt = [];
let next = 0;

const ranges = (numbers) =>
  numbers.reduce((found, n) => {
    if (found.length && found.at(-1)[1] === n - 1) found.at(-1)[1] = n;
    else found.push([n, n]);
    return found;
  }, []);

while (!over) {
  const connection = new pg.Client({ connectionString: dsn });
  // An error that comes between two statements: the next one fails, and is told.
  connection.on("error", () => {});
  try {
    await connection.connect();
    for (let turn = 0; turn < 200 && !over; turn += 1) {
      const row = next;
      next += 1;
      let commits = false;
      try {
        await connection.query("begin");
        await connection.query({ name: "insert", text: "insert into soak values ($1, $2)", values: [client, row] });
        commits = true;
        await connection.query("commit");
      } catch (error) {
        if (commits) doubt.push(row);
        throw error;
      }
      there.push(row);
    }
  } catch (error) {
    tell({ at: Date.now() / 1000, code: error.code ?? "", error: error.message });
    await new Promise((resolve) => setTimeout(resolve, 50));
  } finally {
    await connection.end().catch(() => {});
  }
}
tell({ client, written: there.length, there: ranges(there), doubt });
process.exit(0);
