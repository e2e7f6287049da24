// The view of the rotations: the next ones, and the steps of those before.

import { button } from "./actions.js";
import { h } from "./dom.js";
import { model } from "./model.js";
import { choice, sheet, Source, table } from "./table.js";
import { age, clock, short, until } from "./words.js";

const steps = new Source("rotations");
const stepChoice = choice("When", true);

export const rotations = {
  refresh: (then) => steps.refresh(then),
  draw: (redraw) => {
    const planned = model.status.secrets.filter((s) => s.next_rotation);
    planned.sort((a, b) => a.next_rotation.localeCompare(b.next_rotation));
    return [
      h("h2", {}, "Next"),
      planned.length ? sheet("Next rotations", [
        ["Secret", (s) => s.secret],
        ["When", (s) => `${until(s.next_rotation)}, ${clock(s.next_rotation)}`],
        ["Now", (s) => (s.version ? `version ${short(s.version)} for ${age(s.adopted_at)}` : "no version logs in")],
        model.mayChange ? ["Do", (s) => button("rotate", { secret: s.secret })] : null,
      ].filter(Boolean), planned, { key: (s) => s.secret }) : h("p", {}, "This proxy rotates no secret by itself."),
      h("h2", {}, "Steps since the proxy started"),
      table(steps, {
        caption: "Steps of rotations", one: "step", view: stepChoice, redraw,
        key: (s) => `${s.at} ${s.secret} ${s.step}`,
        texts: (s) => [s.secret, s.version, s.step, s.outcome, s.detail, s.user],
        columns: [
          ["When", (s) => h("span", { title: `${age(s.at)} ago` }, clock(s.at)), (s) => s.at],
          ["Secret", (s) => s.secret],
          ["Step", (s) => s.step],
          ["Outcome", (s) => (s.outcome === "failed" ? h("b", { class: "mark" }, "failed") : s.outcome), (s) => s.outcome],
          ["Version", (s) => (s.version ? short(s.version) : "")],
          ["User", (s) => s.user ?? ""],
          ["What happened", (s) => s.detail],
        ],
      }),
    ];
  },
};
