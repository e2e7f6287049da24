// Puts the page together: what the proxy sends goes into the model, and the document follows.

import { say } from "./actions.js";
import { databases, show as showDatabase } from "./databases.js";
import { h, render } from "./dom.js";
import { reconnect, watch } from "./feed.js";
import { draining, model, take, troubles } from "./model.js";
import { records } from "./records.js";
import { rotations } from "./rotations.js";
import { rules } from "./rules.js";
import { secrets, show as showSecret } from "./secrets.js";
import { clients, servers } from "./sessions.js";
import { ask, signin } from "./signin.js";
import * as token from "./token.js";
import { age, clock, count, list } from "./words.js";

/// Only for those who have the token.
const PRIVATE = true;

const VIEWS = [
  ["databases", "Databases", { draw: databases }],
  ["secrets", "Secrets", { draw: secrets }],
  ["clients", "Clients", clients],
  ["servers", "Servers", servers],
  ["rules", "Rules", rules, PRIVATE],
  ["rotations", "Rotations", rotations],
  ["audit", "Audit log", records, PRIVATE],
];

const place = (id) => document.getElementById(id);

const chosen = () => {
  const name = location.hash.slice(1);
  const found = VIEWS.find(([id]) => id === name) ?? VIEWS[0];
  return found[3] && !model.mayChange ? VIEWS[0] : found;
};

function draw() {
  const { status } = model;
  render(place("top"), top(status));
  render(place("lost"), lost(status));
  document.documentElement.classList.toggle("stale", model.link !== "live");
  if (!status) return;
  render(place("verdict-words"), verdict(status));
  render(place("verdict-rest"), sums(status), wrongs());
  document.title = title(status);
  const [current, , view] = chosen();
  const offered = VIEWS.filter(([, , , isPrivate]) => model.mayChange || !isPrivate);
  render(place("views"), offered.map(([id, words]) =>
    h("a", { key: id, href: `#${id}`, "aria-current": id === current ? "page" : false }, words)));
  render(place("view"), h("div", { key: current }, view.draw(redraw)));
}

function top(status) {
  return [
    h("strong", {}, "pgvalet"),
    h("span", { class: "quiet" }, location.host, status ? `, version ${status.version}, up for ${age(status.started_at)}` : ""),
    h("span", { class: `link ${model.link}` }, { live: "live", lost: "no connection", locked: "locked", connecting: "connecting" }[model.link]),
    signin(),
  ];
}

/// That the proxy does not answer, and from when the rest is.
function lost(status) {
  if (model.link === "locked") {
    const why = token.has() ? "This token is not the one of this proxy." : "This proxy shows its state only to those who have its token.";
    return h("p", {}, why, " ", h("button", { onclick: ask }, "Give the token …"));
  }
  if (model.link !== "lost") return null;
  const since = status ? ` What you see is from ${clock(model.heardAt)}.` : "";
  return h("p", {}, `The proxy does not answer: ${model.why}.${since} Trying again … `,
    h("button", { onclick: reconnect }, "Try now"));
}

function verdict(status) {
  const n = troubles().length;
  if (n) return n === 1 ? "One thing is wrong." : `${n} things are wrong.`;
  if (!status.ready) return "This proxy cannot serve clients yet.";
  const moving = [...new Set(status.databases.filter((d) => draining(d).length).map((d) => d.secret))];
  if (!moving.length) return "All is well.";
  const named = moving.length > 3 ? count(moving.length, "secret") : list(moving);
  return `All is well. ${named} ${moving.length === 1 ? "moves" : "move"} to a new version.`;
}

function sums({ databases: pools }) {
  const sum = (of) => pools.reduce((total, pool) => total + of(pool), 0);
  const names = new Set(pools.map((pool) => pool.name));
  const parts = [
    count(names.size, "database"),
    count(sum((p) => p.clients), "client"),
    `${sum((p) => p.waiting)} waiting`,
    count(sum((p) => p.servers.active + p.servers.idle), "server connection"),
  ];
  return h("p", { class: "quiet" }, parts.join(" · "));
}

function wrongs() {
  const all = troubles();
  if (!all.length) return null;
  return h("ol", { class: "troubles" }, all.map((trouble) =>
    h("li", { key: `${trouble.kind} ${trouble.database} ${trouble.secret} ${trouble.file}` },
      h("div", {}, h("b", {}, trouble.sentence), " ", h("span", { class: "quiet" }, `since ${clock(trouble.since)}, ${age(trouble.since)}`)),
      h("div", {}, trouble.remedy),
      where(trouble))));
}

function where(trouble) {
  const go = (view, show, name) => h("a", {
    href: `#${view}`,
    onclick: () => { show(name); draw(); },
  }, `Show ${name}`);
  if (trouble.database) return go("databases", showDatabase, trouble.database);
  return trouble.secret ? go("secrets", showSecret, trouble.secret) : null;
}

function title(status) {
  const n = troubles().length;
  if (model.link === "lost") return "pgvalet: no answer";
  if (n) return `pgvalet: ${n} wrong`;
  return status.ready ? "pgvalet: well" : "pgvalet: not ready";
}

let due = false;

/// Draws at most once a frame, and not while nobody looks.
function redraw() {
  if (due) return;
  due = true;
  requestAnimationFrame(() => {
    due = false;
    draw();
  });
}

addEventListener("hashchange", () => {
  chosen()[2].refresh?.(redraw);
  draw();
  place("view").focus();
});
addEventListener("online", reconnect);
// Ages grow by themselves, and some views are asked for as long as somebody looks.
setInterval(() => {
  if (document.hidden) return;
  chosen()[2].refresh?.(redraw);
  redraw();
}, 1000);
draw();
watch(
  (event, data) => {
    take(event, data);
    // A proxy that has no token file makes a new token at each start.
    if (event === "hello" && token.has() && !model.mayChange) {
      token.forget();
      say("The token is not the one of this proxy.");
    }
    redraw();
  },
  (link, why = "") => { Object.assign(model, { link, why }); redraw(); },
);
