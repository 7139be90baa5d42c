"use strict";
/* Which episodes are listed: choices by benchmark, arm, right or wrong, tool, reward, words; and the form that makes them. */

const ANSWERS = { right: "right", wrong: "wrong", none: "no answer" };
const OUTCOMES = { differ: "they differ", first: "only the first is right", second: "only the second is right",
  wrong: "both wrong", right: "both right" };

/** The fields of the form: name, label, and the values to choose from; those with nothing to choose are left out. */
function filterFields(store) {
  const of = (values, shown = (value) => value) => [...new Set(values)].filter(Boolean).map((value) => [value, shown(value)]);
  const sources = store.sources.map((source) => [String(source.number), source.label]);
  return [
    { name: "run", label: "Run", options: store.runs.map((run) => [run, run]), all: "all runs" },
    { name: "benchmark", label: "Benchmark", options: of(store.samples.map((s) => s.benchmark)), all: "all benchmarks" },
    { name: "split", label: "Split", options: of(store.samples.map((s) => s.split)), all: "all splits" },
    { name: "arm", label: "Arm", options: of(store.sources.map((s) => s.arm)), all: "all arms" },
    { name: "mode", label: "Mode", options: of(store.sources.map((s) => s.mode)), all: "all modes" },
    { name: "family", label: "Kind of question", options: of(store.samples.map((s) => s.family), words), all: "all kinds" },
    { name: "answer", label: "Answer", options: Object.entries(ANSWERS), all: "right or wrong" },
    { name: "tool", label: "Tool", all: "any tool or none", least: 1,
      options: [...store.tools.map((tool) => [`+${tool}`, tool]), ...(store.tools.length ? TOOL_USE : [])] },
    { name: "beside", label: "Beside it", options: sources, all: "nothing" },
    { name: "outcome", label: "Where", options: Object.entries(OUTCOMES), all: "all questions of both" },
  ].filter((field) => field.options.length >= (field.least ?? 2));
}
const TOOL_USE = [["any", "any tool"], ["none", "no tool"], ["failed", "a call that failed"]];

/** The numbers of the episodes that fit, in order. */
function fitting(store, chosen) {
  const least = chosen.from ? Number(chosen.from) : -Infinity, most = chosen.to ? Number(chosen.to) : Infinity;
  const text = (chosen.text ?? "").trim().toLowerCase();
  const beside = besideSource(store, chosen);
  const fits = (episode) => {
    const { sample, source } = episode;
    return (!chosen.run || source.run === chosen.run)
      && (!chosen.arm || source.arm === chosen.arm)
      && (!chosen.mode || source.mode === chosen.mode)
      && (!chosen.benchmark || sample.benchmark === chosen.benchmark)
      && (!chosen.split || sample.split === chosen.split)
      && (!chosen.family || sample.family === chosen.family)
      && (!chosen.answer || answerFits(episode, chosen.answer))
      && (!chosen.tool || toolFits(episode, chosen.tool))
      && (episode.reward === null ? least === -Infinity && most === Infinity : episode.reward >= least && episode.reward <= most)
      && (!text || haystack(episode).includes(text))
      && (!beside || outcomeFits(episode, store.mate(episode, beside), beside, chosen.outcome));
  };
  return store.episodes.filter(fits);
}

function besideSource(store, chosen) {
  return chosen.beside ? store.sources[Number(chosen.beside)] : undefined;
}

function answerFits(episode, answer) {
  if (answer === "none") return episode.answer === null;
  return episode.right === (answer === "right");
}

function toolFits(episode, tool) {
  if (tool === "any") return episode.tools.length > 0;
  if (tool === "none") return episode.tools.length === 0;
  if (tool === "failed") return episode.failed;
  return episode.tools.includes(tool.slice(1));
}

function outcomeFits(episode, mate, beside, outcome) {
  if (episode.source === beside || mate === undefined) return false;
  const [ours, theirs] = [episode.right, mate.right];
  switch (outcome) {
    case "differ": return ours !== theirs || episode.answer !== mate.answer;
    case "first": return ours && !theirs;
    case "second": return theirs && !ours;
    case "wrong": return !ours && !theirs;
    case "right": return ours && theirs;
    default: return true;
  }
}

function haystack(episode) {
  const { sample } = episode; // made when first asked for: a search reads every episode
  episode.words ??= [sample.question, sample.gold, sample.id, episode.answer ?? ""].join("\n").toLowerCase();
  return episode.words;
}

// ------------------------------------------------------------------------------------------------------------- the form

/** Fill the form with its fields. */
function buildFilters(form, store, chosen) {
  const selects = filterFields(store).map(({ name, label, options, all }) =>
    el("label", { "data-field": name }, label,
      el("select", { name }, el("option", { value: "" }, all), options.map(([value, text]) => el("option", { value }, text)))));
  const number = (name, label) => el("input", { name, type: "number", step: "any", placeholder: label, "aria-label": `Reward, ${label}` });
  const reward = el("div", { "data-field": "reward", role: "group", "aria-label": "Reward" }, "Reward",
    el("span", {}, number("from", "least"), "–", number("to", "most")));
  const pair = selects.findIndex((select) => select.dataset.field === "beside"); // what compares comes last
  form.replaceChildren(
    el("label", { "data-field": "text" }, "Search", el("input", { name: "text", type: "search", placeholder: "question, answer, id" })),
    el("button", { type: "reset" }, "Clear"),
    ...(pair < 0 ? selects : selects.slice(0, pair)), reward, ...(pair < 0 ? [] : selects.slice(pair)),
  );
  showChosen(form, chosen);
}

/** Put what is chosen into the form; what has nothing to act on is hidden. */
function showChosen(form, chosen) {
  for (const field of form.elements) if (field.name) field.value = chosen[field.name] ?? "";
  const outcome = form.querySelector("[data-field=outcome]");
  if (outcome) outcome.hidden = !chosen.beside;
}

/** What the form says, without what is left open. */
function readFilters(form) {
  const entries = [...new FormData(form)].filter(([, value]) => value !== "");
  return Object.fromEntries(entries);
}
