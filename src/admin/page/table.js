// Tables of what the proxy is asked for while somebody looks: clients, servers, rules, records.

import { h } from "./dom.js";
import { authorization } from "./token.js";
import { count, finds } from "./words.js";

/// More rows than this are not drawn; a search narrows them down.
const MOST = 300;

/// At least between two questions, and more if an answer takes long.
const PACE = 2000;

/// Asks `path` and keeps the answer. `rows` finds the rows in it.
export class Source {
  constructor(path, rows = (answer) => answer) {
    Object.assign(this, { path, pick: rows, rows: null, answer: null, error: null, busy: false, next: 0 });
  }

  /// Asks, unless it did a moment ago; calls `then` when there is news.
  async refresh(then, now = false) {
    if (this.busy || (!now && Date.now() < this.next)) return;
    this.busy = true;
    const began = Date.now();
    try {
      const answer = await fetch(this.path, { headers: authorization(), cache: "no-store" });
      if (!answer.ok) throw new Error((await answer.text()).trim() || `status ${answer.status}`);
      this.answer = await answer.json();
      this.rows = this.pick(this.answer);
      this.error = null;
    } catch (error) {
      this.error = error instanceof TypeError ? "the proxy does not answer" : error.message;
    }
    this.busy = false;
    this.next = Date.now() + Math.max(PACE, 10 * (Date.now() - began));
    then();
  }
}

/// What a reader has chosen of a table.
export const choice = (sort, down = false) => ({ wanted: "", only: false, sort, down });

/// A table with a search and headings that sort. A column is `[heading, show, order]`: what a cell
/// has, and by what its rows are ordered, if it is not the same; null if by nothing.
export function table(source, { caption, one, many, columns, texts, only, view, redraw, key }) {
  if (source.rows === null) return h("p", {}, source.error ? `They cannot be shown: ${source.error}.` : "One moment …");
  const shown = columns.filter(Boolean);
  const found = source.rows
    .filter((row) => !only || !view.only || only.keeps(row))
    .filter((row) => finds(view.wanted, texts(row)));
  const order = shown.find(([heading]) => heading === view.sort);
  if (order) sort(found, order[2] ?? order[1], view.down);
  return [
    h("div", { class: "tools" },
      h("label", {}, "Find ", h("input", {
        type: "search", value: view.wanted,
        oninput: (event) => { view.wanted = event.target.value; redraw(); },
      })),
      only ? h("label", {}, h("input", {
        type: "checkbox", checked: view.only,
        onchange: (event) => { view.only = event.target.checked; redraw(); },
      }), ` ${only.label}`) : null,
      h("span", { class: "quiet" }, found.length === source.rows.length
        ? count(found.length, one, many) : `${found.length} of ${count(source.rows.length, one, many)}`,
      found.length > MOST ? `, the first ${MOST} are shown` : "")),
    source.error ? h("p", { class: "why" }, `What you see is old: ${source.error}.`) : null,
    sheet(caption, shown, found.slice(0, MOST), { view, redraw, key }),
  ];
}

function sort(rows, by, down) {
  const compare = (a, b) => {
    const [x, y] = [by(a) ?? "", by(b) ?? ""];
    return typeof x === "number" && typeof y === "number"
      ? x - y : String(x).localeCompare(String(y), "en", { numeric: true });
  };
  rows.sort((a, b) => (down ? compare(b, a) : compare(a, b)));
}

/// The table itself. Without `view` its headings do not sort. On a phone each row is a card, with
/// the headings beside the cells; the roles say that it is a table nevertheless.
export function sheet(caption, columns, rows, { view, redraw, key }) {
  const heading = ([words, , order]) => {
    if (!view || order === null) return h("th", { scope: "col", role: "columnheader" }, words);
    const sorted = view.sort === words;
    const choose = () => {
      view.down = sorted && !view.down;
      view.sort = words;
      redraw();
    };
    const direction = view.down ? "descending" : "ascending";
    return h("th", { scope: "col", role: "columnheader", "aria-sort": sorted ? direction : false },
      h("button", { onclick: choose }, words), sorted ? (view.down ? " ↓" : " ↑") : "");
  };
  return h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": caption },
    h("table", { role: "table" },
      h("caption", { class: "unseen" }, caption),
      h("thead", { role: "rowgroup" }, h("tr", { role: "row" }, columns.map(heading))),
      h("tbody", { role: "rowgroup" }, rows.map((row, i) =>
        h("tr", { role: "row", key: String(key ? key(row) : i) },
          columns.map(([words, show]) => h("td", { role: "cell", "data-label": words }, show(row))))))));
}
