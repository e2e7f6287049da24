// The view of the audit log: its newest records.

import { h } from "./dom.js";
import { choice, Source, table } from "./table.js";
import { age, clock, short, span } from "./words.js";

const source = new Source("audit");
const view = choice("When", true);

export const records = {
  refresh: (then) => source.refresh(then),
  draw: (redraw) => table(source, {
    caption: "The newest records of the audit log", one: "record", view, redraw,
    key: (r) => r.seq ?? JSON.stringify(r),
    texts: (r) => [JSON.stringify(r)],
    columns: [
      ["When", (r) => h("span", { title: `${age(r.time)} ago` }, clock(r.time)), (r) => r.time],
      ["Event", (r) => r.event],
      ["Client", (r) => r.client ?? ""],
      ["Database", (r) => r.database ?? ""],
      ["Secret", (r) => (r.credential ? `${r.credential.secret} ${short(r.credential.version ?? "")}` : "")],
      ["Outcome", (r) => (r.outcome && r.outcome !== "success" ? h("b", { class: "mark" }, r.outcome) : r.outcome ?? ""), (r) => r.outcome],
      ["What", what, (r) => r.reason],
    ],
  }),
};

/// What else a record has to say, in short.
function what(record) {
  const { step, action, reason, source, duration_ms: duration } = record;
  return [step, action, reason, source && `from ${source}`, duration === undefined ? null : `after ${span(duration / 1000)}`]
    .filter(Boolean).join(", ");
}
