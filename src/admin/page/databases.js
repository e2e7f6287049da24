// The view of the databases: a row for each pool, with its connections, its load and what
// keeps an old version in use.

import { button } from "./actions.js";
import { fact, h } from "./dom.js";
import { cells, rateLine, timeLine, timeline } from "./figures.js";
import { colour, draining, load, model, troubles } from "./model.js";
import { sheet } from "./table.js";
import { age, clock, count, finds, list, short, span, until } from "./words.js";

const view = { wanted: "", open: new Set() };

/// Shows one database and nothing else, opened.
export function show(database) {
  view.wanted = database;
  for (const pool of model.status?.databases ?? []) {
    if (pool.name === database) view.open.add(pool.id);
  }
}

const of = (pool) => (trouble) =>
  trouble.database ? trouble.database === pool.name : trouble.secret === pool.secret;

/// What wants attention comes first.
function weight(pool) {
  if (troubles(of(pool)).length) return 0;
  if (draining(pool).length) return 1;
  return pool.waiting ? 2 : 3;
}

export function databases(redraw) {
  const all = model.status.databases;
  const found = all
    .filter((pool) => finds(view.wanted, [pool.name, pool.secret]))
    .map((pool) => [weight(pool), pool])
    .sort(([a, x], [b, y]) => a - b || x.name.localeCompare(y.name) || x.secret.localeCompare(y.secret))
    .map(([, pool]) => pool);
  return [
    h("div", { class: "tools" },
      h("label", {}, "Find a database or secret ",
        h("input", {
          type: "search", value: view.wanted,
          oninput: (event) => { view.wanted = event.target.value; redraw(); },
        })),
      h("span", { class: "quiet" }, found.length === all.length
        ? count(all.length, "database")
        : `${found.length} of ${count(all.length, "database")}`),
      h("span", { class: "legend quiet" },
        h("i", { class: "g0 held" }), " in use ", h("i", { class: "g0 idle" }), " idle ",
        h("i", { class: "g1 held old" }), " drains ", h("i", { class: "free" }), " not open")),
    found.length ? null : h("p", {}, "No database or secret is called that."),
    h("ul", { class: "rows pools" }, found.map((pool) => row(pool, redraw))),
  ];
}

function row(pool, redraw) {
  const { id } = pool;
  const open = view.open.has(id);
  const { rates, times } = load(pool);
  const wrong = troubles(of(pool));
  const toggle = () => {
    if (!view.open.delete(id)) view.open.add(id);
    redraw();
  };
  return h("li", { key: id, class: wrong.length ? "wrong" : "" },
    h("div", { class: "pool" },
      h("div", { class: "name" },
        h("h2", {}, h("button", { class: "toggle", "aria-expanded": String(open), onclick: toggle }, pool.name)),
        h("div", { class: "quiet" }, version(pool))),
      h("div", { class: "connections" }, cells(pool), h("div", { class: "quiet" }, usage(pool))),
      h("div", { class: "graph" }, h("span", { class: "quiet" }, "transactions "), rateLine(rates, model.most ?? 180)),
      h("div", { class: "graph" }, time(pool, times)),
      h("div", { class: "clients" }, count(pool.clients, "client"), waiting(pool))),
    wrong.map((trouble) => h("p", { class: "why" }, trouble.sentence)),
    !wrong.length && pool.last_error ? h("p", { class: "why" }, pool.last_error) : null,
    draining(pool).map(drain),
    open ? details(pool) : null);
}

/// In session mode a connection is in use as long as its client is there: its time says nothing.
function time(pool, times) {
  if (pool.pool_mode === "session") return h("span", { class: "quiet" }, "session mode");
  return [h("span", { class: "quiet" }, "each takes "), timeLine(times, model.most ?? 180)];
}

function version(pool) {
  const current = pool.generations.find((g) => !g.draining_since);
  const shared = pool.secret === pool.name ? "" : `${pool.secret}, `;
  if (!current) return `${shared}no version logs in yet`;
  return `${shared}version ${short(current.version)} for ${age(current.adopted_at)}`;
}

function usage(pool) {
  const open = pool.generations.reduce((sum, g) => sum + g.active + g.idle, 0);
  const held = pool.generations.reduce((sum, g) => sum + g.active, 0);
  const opening = pool.servers.opening ? `, ${pool.servers.opening} logging in` : "";
  return `${open} of ${pool.pool_size} open, ${held} in use${opening}`;
}

function waiting(pool) {
  const paused = pool.paused ? h("div", {}, h("b", { class: "mark" }, "paused")) : null;
  if (!pool.waiting) return paused;
  const longest = pool.longest_wait_ms ? `, longest ${span(pool.longest_wait_ms / 1000)}` : "";
  return [h("div", {}, h("b", { class: "mark" }, `${pool.waiting} waiting${longest}`)), paused];
}

/// A generation on its way out, and who keeps it.
function drain(generation) {
  const left = generation.active + generation.idle;
  const names = [...new Set(generation.holders.map((holder) => holder.client))];
  const kept = names.length ? `, kept by ${list(names.slice(0, 3))}${names.length > 3 ? " …" : ""}` : "";
  return h("p", { class: "drains", key: `drain ${generation.number}` },
    h("i", { class: `${colour(generation)} held old` }),
    ` version ${short(generation.version)} has drained for ${age(generation.draining_since)}: `,
    `${count(left, "connection")} left${kept}`);
}

function details(pool) {
  const { name, secret } = pool;
  const facts = (model.status.secrets ?? []).find((s) => s.secret === secret);
  const pinned = Object.entries(pool.pinned ?? {}).map(([why, n]) => `${n} × ${why}`);
  return h("div", { class: "details" },
    h("dl", {},
      fact("Pool mode", pool.pool_mode),
      fact("Keep their connection", pinned.length ? list(pinned) : "no client"),
      pool.listener ? fact("Listens for", `${count(pool.listener.clients, "client")} on ${count(pool.listener.channels, "channel")}`) : null,
      fact("Secret confirmed", facts?.confirmed_at ? `${age(facts.confirmed_at)} ago` : "not yet"),
      fact("Next rotation", facts?.next_rotation ? until(facts.next_rotation) : "not by pgvalet")),
    timeline(model.versions[secret] ?? [], facts?.candidates_tried),
    generations(pool),
    holders(pool),
    h("div", { class: "acts" },
      pool.paused ? button("resume", { database: name }) : button("pause", { database: name }),
      button("reconnect", { database: name }),
      button("refresh", { secret }),
      button("kill", { database: name, clients: pool.clients })));
}

function generations(pool) {
  return [h("h3", {}, "Generations"), sheet(`Generations of ${pool.name}`, [
    ["Version", (g) => [h("i", { class: `${colour(g)} held` }), " ", h("code", {}, g.version)]],
    ["Labels", (g) => g.stages.join(", ") || "none"],
    ["User", (g) => g.user],
    ["Adopted", (g) => clock(g.adopted_at)],
    ["In use", (g) => g.active],
    ["Idle", (g) => g.idle],
    ["State", (g) => (g.draining_since ? `draining for ${age(g.draining_since)}` : "in force")],
  ], pool.generations, { key: (g) => g.number })];
}

function holders(pool) {
  const held = pool.generations.flatMap((g) => g.holders.map((holder) => ({ ...holder, version: g.version })));
  if (!held.length) return null;
  return [h("h3", {}, "Who keeps an old version"), sheet(`Who keeps an old version of ${pool.name}`, [
    ["Client", (x) => x.client],
    ["From", (x) => x.source],
    ["Version", (x) => short(x.version)],
    ["Why", (x) => x.reason],
    ["Connected", (x) => `for ${age(x.since)}`],
    model.mayChange ? ["Do", (x) => button("kill-client", { id: x.session, client: x.client })] : null,
  ].filter(Boolean), held, { key: (x) => x.session })];
}
