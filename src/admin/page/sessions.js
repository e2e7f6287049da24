// The views of the clients and of the server connections.

import { button } from "./actions.js";
import { h } from "./dom.js";
import { colour, model } from "./model.js";
import { choice, Source, table } from "./table.js";
import { age, short, span } from "./words.js";

const clientSource = new Source("clients");
const serverSource = new Source("servers");
const clientChoice = choice("Does");
const serverChoice = choice("Database");

/// What a client does, those first who want attention.
const DOES = {
  waiting: "waits for a server connection",
  "idle in transaction": "is idle in a transaction",
  active: "runs a query",
  idle: "is idle",
};

/// Who waits comes first, then who keeps others waiting, then who works; of these, who has longest.
const urgency = (c) => Object.keys(DOES).indexOf(c.state) * 1e12 - c.state_ms;

export const clients = {
  refresh: (then) => clientSource.refresh(then),
  draw: (redraw) => {
    const keeps = holders();
    return table(clientSource, {
      caption: "Clients", one: "client", view: clientChoice, redraw,
      key: (c) => c.id,
      texts: (c) => [c.client, c.database, c.source, c.user, c.application_name, c.version, c.id, DOES[c.state]],
      only: { label: "Only who keeps an old version", keeps: (c) => c.old },
      columns: [
        ["Session", (c) => c.id],
        ["Client", (c) => c.client],
        ["Database", (c) => c.database],
        ["From", (c) => c.source],
        ["Application", (c) => c.application_name ?? ""],
        ["Does", (c) => `${DOES[c.state] ?? c.state} for ${span(c.state_ms / 1000)}`, urgency],
        ["Version", (c) => version(c, keeps.get(String(c.id))), (c) => `${c.old ? 0 : 1} ${c.version ?? ""}`],
        ["Connected", (c) => `for ${age(c.since)}`, (c) => c.since],
        model.mayChange ? ["Do", (c) => button("kill-client", { id: c.id, client: c.client }), null] : null,
      ],
    });
  },
};

/// By session: since when the generation drains that it keeps, and why it does.
function holders() {
  const found = new Map();
  for (const generation of model.status.databases.flatMap((pool) => pool.generations)) {
    for (const { session, reason } of generation.holders) {
      found.set(session, { reason, since: generation.draining_since });
    }
  }
  return found;
}

/// The version of the connection that a client holds, and why it keeps an old one.
function version(client, keeps) {
  if (!client.version) return "";
  const held = [swatch(client.version, client.old), ` ${short(client.version)}`];
  if (client.old && keeps) {
    return [held, h("b", { class: "mark" }, ` drains for ${age(keeps.since)}`), `: ${keeps.reason}`];
  }
  return client.pinned ? [held, `, keeps ${client.pinned}`] : held;
}

/// A cell in the colour of the generation that has this version.
function swatch(version, old) {
  const all = model.status.databases.flatMap((pool) => pool.generations);
  const generation = all.find((g) => g.version === version) ?? { number: 1 };
  return h("i", { class: `${colour(generation)} held${old ? " old" : ""}` });
}

/// What a server connection does, for those who do not know PgBouncer's words.
const USES = {
  active: "in use",
  idle: "idle",
  used: "idle, is tried before it is lent",
  tested: "pgvalet uses it itself",
  being_canceled: "its query is being cancelled",
};

export const servers = {
  refresh: (then) => serverSource.refresh(then),
  draw: (redraw) => table(serverSource, {
    caption: "Server connections", one: "server connection", view: serverChoice, redraw,
    key: (s) => `${s.server} ${s.pid} ${s.since}`,
    texts: (s) => [s.database, s.server, s.user, s.version, USES[s.state], s.pid, s.client_id],
    only: { label: "Only those on their way out", keeps: (s) => s.closing },
    columns: [
      ["Database", (s) => s.database],
      ["Server", (s) => s.server],
      ["Process", (s) => s.pid],
      ["User", (s) => s.user],
      ["Version", (s) => [swatch(s.version, s.closing), ` ${short(s.version)}`], (s) => s.version],
      ["State", (s) => (s.closing ? `${USES[s.state]}, then closed` : USES[s.state] ?? s.state)],
      ["Held by session", (s) => s.client_id ?? ""],
      ["Open", (s) => `for ${age(s.since)}`, (s) => s.since],
    ],
  }),
};
