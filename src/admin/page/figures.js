// What is drawn: server connections as cells, a line for the last fifteen minutes, and the
// versions of a secret one after the other. Each says in words what it shows.

import { h } from "./dom.js";
import { colour } from "./model.js";
import { brief, clock, count, number, short, span } from "./words.js";

/// More cells than this say nothing more: then one stands for several connections.
const MOST_CELLS = 60;

/// What was drawn last for each pool, and for each array of values: most of it has not changed.
const drawn = new Map();
const lines = new WeakMap();

/// The connections of a pool: each generation in its own colour, those in use filled.
export function cells(pool) {
  const label = `${opened(pool)} of ${count(pool.pool_size, "server connection")}: ${contents(pool)}`;
  const before = drawn.get(pool.id);
  if (before?.attributes["aria-label"] === label) return before;
  const now = h("span", { class: "cells", role: "img", "aria-label": label, title: label },
    kinds(pool).map((kind) => h("i", { class: kind })));
  drawn.set(pool.id, now);
  return now;
}

const opened = (pool) => pool.generations.reduce((sum, g) => sum + g.active + g.idle, 0);

/// The cells, each as the classes that it has.
function kinds(pool) {
  const open = opened(pool);
  const total = Math.max(pool.pool_size, open + pool.servers.opening);
  const each = Math.ceil(total / MOST_CELLS);
  const all = [];
  const add = (kind, n) => {
    for (let i = 0; i < Math.ceil(n / each); i += 1) all.push(kind);
  };
  for (const generation of pool.generations) {
    const old = generation.draining_since ? " old" : "";
    add(`${colour(generation)} held${old}`, generation.active);
    add(`${colour(generation)} idle${old}`, generation.idle);
  }
  add("opening", pool.servers.opening);
  add("free", Math.max(0, total - open - pool.servers.opening));
  return all;
}

function contents(pool) {
  const parts = pool.generations.map((g) => {
    const state = g.draining_since ? " (drains)" : "";
    return `version ${short(g.version)}${state}: ${g.active} in use, ${g.idle} idle`;
  });
  if (pool.servers.opening) parts.push(`${pool.servers.opening} logging in`);
  return parts.join("; ") || "none yet";
}

const WIDTH = 120;
const HEIGHT = 26;

/// A line of the values, oldest first, the newest at the right; gaps where they are null.
function line(values, most, kind, label) {
  const highest = Math.max(...values.filter((v) => v !== null), 0) || 1;
  const step = WIDTH / (most - 1);
  const first = most - values.length;
  let path = "";
  let pen = "M";
  values.forEach((value, i) => {
    if (value === null) {
      pen = "M";
      return;
    }
    const x = (first + i) * step;
    const y = HEIGHT - 1 - (value / highest) * (HEIGHT - 2);
    path += `${pen}${x.toFixed(1)} ${y.toFixed(1)}`;
    // A value between two gaps is a point.
    if (pen === "M") path += "h.1";
    pen = "L";
  });
  return h("svg", {
    class: `line ${kind}`, viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none",
    role: "img", "aria-label": label,
  }, h("path", { d: path || "M0 0" }));
}

/// Throughput of the last fifteen minutes.
export function rateLine(rates, most) {
  return remembered(rates, () => rateDrawn(rates, most));
}

/// Mean time of a transaction in the last fifteen minutes.
export function timeLine(times, most) {
  return remembered(times, () => timeDrawn(times, most));
}

function remembered(values, draw) {
  if (!lines.has(values)) lines.set(values, draw());
  return lines.get(values);
}

function rateDrawn(rates, most) {
  const known = rates.filter((v) => v !== null);
  const now = known.at(-1) ?? 0;
  const highest = Math.max(...known, 0);
  const label = `Transactions a second in the last 15 minutes: ${rate(now)} now, ${rate(highest)} at most`;
  return [h("b", {}, `${rate(now)}/s`), line(rates, most, "rate", label)];
}

function timeDrawn(times, most) {
  const known = times.filter((v) => v !== null);
  const now = times.at(-1);
  const words = now === null || now === undefined ? "–" : brief(now);
  const longest = known.length ? brief(Math.max(...known)) : "–";
  const label = `Mean time of a transaction in the last 15 minutes: ${words} now, ${longest} at most`;
  return [h("b", {}, words), line(times, most, "time", label)];
}

const rate = (n) => (n > 0 && n < 10 ? n.toFixed(1) : number(Math.round(n)));

/// The versions of a secret since the proxy started, each as wide as it was long in force, but
/// so that every one can be seen.
export function timeline(versions, failed) {
  const now = Date.now();
  const lasted = (i) => {
    const end = versions[i + 1] ? Date.parse(versions[i + 1].adopted_at) : now;
    return Math.max(1, (end - Date.parse(versions[i].adopted_at)) / 1000);
  };
  const item = (version, i) => {
    const isLast = i === versions.length - 1;
    const words = `${short(version.version)}, user ${version.user}, in force ${isLast ? "for" : "was"} ${span(lasted(i))}`;
    return h("li", {
      key: version.version + version.adopted_at,
      class: isLast && "now",
      style: { "flex-grow": String(1 + Math.log10(lasted(i))) },
      title: `${words}, adopted ${clock(version.adopted_at)}`,
    },
      h("b", {}, short(version.version)),
      h("span", {}, isLast ? `in force for ${span(lasted(i))}` : span(lasted(i))));
  };
  const refused = (f) => h("li", { key: `failed ${f.version}`, class: "failed", title: `${f.why}, tried ${clock(f.at)}` },
    h("b", {}, short(f.version)), h("span", {}, "does not log in"));
  return h("ol", { class: "timeline", "aria-label": "Versions since the proxy started, oldest first", tabindex: "0" },
    versions.map(item), (failed ?? []).map(refused));
}
