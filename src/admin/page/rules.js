// The view of the rules, and the question which of them would decide.

import { h } from "./dom.js";
import { model } from "./model.js";
import { choice, sheet, Source, table } from "./table.js";
import { authorization } from "./token.js";

const source = new Source("rules");
const view = choice("Rule");
const asked = { answer: null, error: null };

export const rules = {
  refresh: (then) => source.refresh(then),
  draw: (redraw) => [
    form(redraw),
    h("div", { id: "answer", role: "status" }, answer(asked)),
    table(source, {
      caption: "Rules, in the order in which they decide", one: "rule", view, redraw,
      key: (r) => r.rule,
      texts: (r) => [r.client, r.conditions, r.databases, r.users, r.secret],
      columns: [
        ["Rule", (r) => r.rule],
        ["Client", (r) => r.client],
        ["Recognised by", (r) => r.conditions],
        ["Databases", (r) => r.databases],
        ["Users", (r) => r.users ?? "any"],
        ["Console", (r) => ({ read: "may look", change: "may change" })[r.admin] ?? ""],
        ["Secret", (r) => r.secret ?? "the database's"],
        ["Connected", (r) => r.clients],
      ],
    }),
  ],
};

function form(redraw) {
  const names = [...new Set((model.status?.databases ?? []).map((pool) => pool.name))];
  const ask = async (event) => {
    event.preventDefault();
    const fields = [...new FormData(event.target)].filter(([, value]) => value.trim() !== "");
    await explain(new URLSearchParams(fields));
    redraw();
  };
  const field = (label, name, more) => h("label", {}, `${label} `, h("input", { name, autocomplete: "off", ...more }));
  return h("form", { class: "ask", onsubmit: ask },
    h("h2", {}, "Would this client be let in?"),
    h("div", { class: "tools" },
      field("Database", "database", { required: true, list: "names" }),
      h("datalist", { id: "names" }, names.map((name) => h("option", { key: name, value: name }))),
      field("User", "user", { placeholder: "anyone" }),
      field("From address", "from", { placeholder: "10.0.0.7" }),
      field("or unix user", "unix_user"),
      h("button", { class: "main" }, "Explain")));
}

async function explain(question) {
  Object.assign(asked, { answer: null, error: null });
  try {
    const answer = await fetch(`explain?${question}`, { headers: authorization() });
    if (!answer.ok) throw new Error((await answer.text()).trim());
    asked.answer = await answer.json();
  } catch (error) {
    asked.error = error.message;
  }
}

function answer({ answer: said, error }) {
  if (error) return h("p", { class: "why" }, error);
  if (!said) return null;
  const words = said.decision === "granted"
    ? `Let in as ${said.client} by rule ${said.rule}, ${said.secret ? `with secret ${said.secret}` : "to the console"}.`
    : `Denied: ${said.words}.${said.meant ? ` Did you mean ${said.meant}?` : ""}`;
  const because = (r) => r.mismatches.map((m) => m.because).join("; ");
  return [
    h("p", {}, h("b", { class: said.decision === "granted" ? "" : "mark" }, words), said.note ? ` ${said.note}` : ""),
    sheet("What each rule says", [
      ["Rule", (r) => r.rule],
      ["Client", (r) => r.client],
      ["Verdict", (r) => r.verdict],
      ["Because", because],
    ], said.rules, { key: (r) => r.rule }),
  ];
}
