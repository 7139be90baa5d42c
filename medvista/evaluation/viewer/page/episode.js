"use strict";
/* One episode in full: pictures with boxes, thoughts, calls, what came back, the reward. */

const SHARP_BELOW = 300; // pixels: a smaller picture is enlarged in squares, as the policy got it

function verdict(episode) {
  const kind = episode.right ? "right" : "wrong";
  const said = episode.answer === null ? "no answer" : kind;
  return el("span", { class: `verdict ${kind}` }, episode.right ? "✓ " : "✗ ", said);
}

function chips(...texts) {
  return el("p", { class: "chips" }, texts.filter(Boolean).map((text) => el("span", {}, text)));
}

/** A view with its outlines, which are in its own pixels. */
function picture({ uri, width, height, alt, outlines }) {
  const frame = el("button", { type: "button", class: "picture", "aria-label": `Enlarge: ${alt}` },
    el("img", { src: uri, width, height, alt: "", class: width < SHARP_BELOW ? "squares" : "", decoding: "async" }),
    svg("svg", { viewBox: `0 0 ${width} ${height}`, preserveAspectRatio: "none", "aria-hidden": "true" }, outlines.map(outlineShape)),
    outlines.filter((outline) => outline.kind === "look").map((outline) => numberTag(outline, width, height)));
  frame.style.aspectRatio = `${width} / ${height}`;
  frame.addEventListener("click", () => enlarge(frame, alt));
  return frame;
}

function outlineShape({ kind, x, y, width, height, label }) {
  const box = { x, y, width, height };
  return svg("g", { class: kind, "data-look": kind === "look" ? label : null },
    svg("title", {}, label), svg("rect", { class: "halo", ...box }), svg("rect", { class: "line", ...box }));
}

function numberTag({ x, y, label }, width, height) {
  const tag = el("b", { class: "number", "data-look": label }, label);
  tag.style.left = `${Math.min(Math.max(x / width, 0), 0.94) * 100}%`;
  tag.style.top = `${Math.min(Math.max(y / height, 0), 0.94) * 100}%`;
  return tag;
}

function enlarge(frame, alt) {
  const dialog = document.getElementById("enlarged");
  const copy = frame.cloneNode(true);
  copy.removeAttribute("aria-label");
  const large = el("div", { class: "picture", role: "img", "aria-label": alt }, [...copy.childNodes]);
  large.style.aspectRatio = frame.style.aspectRatio;
  const [width, height] = frame.style.aspectRatio.split("/").map(Number);
  large.style.width = `min(92vw, calc(82vh * ${width / height}))`;
  document.getElementById("enlarged-picture").replaceChildren(large);
  dialog.showModal();
}

/** The article of an episode. */
function episodeArticle(episode, record, store, link) {
  const reward = record.reward === null ? null : `reward ${short(record.reward)}`;
  return el("article", { class: "episode", "aria-label": episode.source.label },
    el("header", {},
      el("p", { class: "source" }, el("b", {}, episode.source.label), episode.source.about && ` ${episode.source.about}`),
      el("h2", {}, record.question),
      record.choices.length > 0 && el("ol", { class: "choices", type: "A" }, record.choices.map((choice) => el("li", {}, choice))),
      el("p", { class: "said" }, verdict(episode), record.answer !== null && [" ", el("b", {}, record.answer)],
        el("span", { class: "gold" }, " accepted: ", el("b", {}, record.gold))),
      chips(record.benchmark, record.family && words(record.family), reward, record.stop_reason)),
    el("div", { class: "body" },
      el("section", { class: "source-images", "aria-label": "What it was shown first" },
        record.pictures.map(picture), boxKeys(record)),
      el("ol", { class: "steps" }, record.steps.map((step, index) => stepItem(step, record.seconds[index]))),
      rewardTable(record)),
    el("details", {}, el("summary", {}, "Prompt and facts"),
      record.prompt && el("pre", { tabindex: "0" }, record.prompt), factList(record)),
    el("p", { class: "link" }, el("a", { href: link }, "Link to this episode"), ` ${record.sample_id}`));
}

function boxKeys(record) {
  const has = (kind) => record.pictures.some((p) => p.outlines.some((outline) => outline.kind === kind));
  const key = (kind, text) => has(kind) && el("li", { class: kind }, text);
  return (has("look") || has("evidence")) && el("ul", { class: "keys" }, key("look", "where it looked"), key("evidence", "annotated evidence, never shown to it"));
}

function rewardTable(record) {
  if (record.reward === null) return null;
  const rows = record.terms.map(([name, value]) => [words(name), value]);
  const row = ([name, value]) => el("tr", {}, el("th", { scope: "row" }, name), el("td", {}, value === null ? "–" : short(value)));
  return el("table", { class: "reward" }, el("caption", {}, "Reward terms, before their weights"),
    el("tbody", {}, rows.map(row)),
    el("tfoot", {}, row(["reward", record.reward])));
}

function factList(record) {
  return el("dl", { class: "facts" }, record.facts.map(([name, value]) => el("div", {}, el("dt", {}, name), el("dd", {}, value))));
}

function stepItem(step, seconds) {
  const tag = (text, ...rest) => el("p", {}, el("span", { class: "tag" }, text), ...rest);
  const verb = { call: "calls", answer: "answers", unreadable: "writes what cannot be read" }[step.kind];
  return el("li", { class: `step ${step.kind}`, "data-step": step.number, tabindex: "-1" },
    el("b", { class: "number", "data-look": step.number }, step.number),
    el("div", { class: "told" },
      step.thought && tag("thinks", el("span", { class: "thought" }, step.thought)),
      tag(verb, el("code", {}, step.action), seconds >= 0.01 && el("small", {}, ` ${short(seconds)} s`)),
      step.error && tag("failed", el("span", { class: "failed" }, step.error)),
      step.reply && step.kind !== "answer" && tag("is told", el("span", { class: "reply" }, step.reply)),
      step.readings.length > 0 && el("p", { class: "readings" }, el("span", { class: "tag" }, "readings"),
        step.readings.map(([name, value]) => el("span", {}, words(name), " ", el("b", {}, value)))),
      el("details", {}, el("summary", {}, "as written"), el("pre", { tabindex: "0" }, step.written))),
    step.pictures.length > 0 && el("div", { class: "shown" }, step.pictures.map(picture)));
}

/** Mark one step, and its boxes, in every episode shown; 0 marks none. */
function markStep(number) {
  for (const marked of document.querySelectorAll(".current")) marked.classList.remove("current");
  for (const step of document.querySelectorAll(`#episodes [data-step="${number}"]`)) {
    step.classList.add("current");
    step.scrollIntoView({ block: "nearest" });
  }
  for (const box of document.querySelectorAll(`#episodes [data-look="${number}"]`)) box.classList.add("current");
}
