"use strict";
/* Two arms beside each other in numbers: how often each was right and used a tool, and where they agree. */

const AGREEMENT = [["right", "both right"], ["first", "only the first"], ["second", "only the second"], ["wrong", "both wrong"]];

/** Counts over the questions that both played and that fit, wherever their answers differ; null without a second arm. */
function pairCounts(store, chosen) {
  const beside = besideSource(store, chosen);
  if (!beside) return null;
  const counts = { n: 0, rows: [[0, 0], [0, 0]], right: 0, first: 0, second: 0, wrong: 0, labels: new Set(), beside: beside.label };
  for (const episode of fitting(store, { ...chosen, outcome: "" })) {
    const pair = [episode, store.mate(episode, beside)];
    pair.forEach((each, side) => {
      counts.rows[side][0] += each.right;
      counts.rows[side][1] += each.tools.length > 0;
    });
    counts.n += 1;
    counts[agreement(...pair)] += 1;
    counts.labels.add(episode.source.label);
  }
  return counts;
}

function agreement(ours, theirs) {
  if (ours.right) return theirs.right ? "right" : "first";
  return theirs.right ? "second" : "wrong";
}

/** The counts as two small tables; a cell of agreement lists its questions. */
function pairTables(counts, outcome, choose) {
  const { n, rows, labels, beside } = counts;
  const share = (count) => (n ? `${((100 * count) / n).toFixed(1)} %` : "–");
  const names = [labels.size === 1 ? [...labels][0] : "those listed", beside];
  const row = (name, [right, tool]) =>
    el("tr", {}, el("th", { scope: "row" }, name), el("td", {}, share(right)), el("td", {}, share(tool)));
  const cell = ([key, text]) => {
    const pressed = outcome === key;
    const button = el("button", { type: "button", "aria-pressed": String(pressed) }, el("b", {}, counts[key].toLocaleString("en")), ` ${text}`);
    button.addEventListener("click", () => choose(pressed ? "" : key));
    return el("li", {}, button);
  };
  return [
    el("table", {},
      el("caption", {}, `${n.toLocaleString("en")} questions that both played`),
      el("thead", {}, el("tr", {}, el("td", {}), el("th", { scope: "col" }, "right"), el("th", { scope: "col" }, "with a tool"))),
      el("tbody", {}, names.map((name, side) => row(name, rows[side])))),
    el("ul", { "aria-label": "Where they agree" }, AGREEMENT.map(cell)),
  ];
}
