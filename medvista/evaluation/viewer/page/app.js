"use strict";
/* Puts the parts together: what is chosen, what is opened, keys, and the address that says both. */

const FILTERS = ["text", "run", "benchmark", "split", "arm", "mode", "family", "answer", "tool", "from", "to", "beside", "outcome"];
const OPENED = ["in", "question", "sibling"]; // of the address: an episode by names that outlive a rewritten viewer
const NARROW = matchMedia("(max-width: 860px)");

class App {
  constructor(store) {
    this.store = store;
    this.chosen = {};
    this.shown = [];
    this.open = null; // the episode in the detail pane
    this.step = 0;
    this.form = document.getElementById("filters");
    this.list = new VirtualList(document.getElementById("list"), document.getElementById("rows"),
      (episode) => this.row(episode), (index) => this.pick(index, true));
    document.getElementById("title").textContent = store.runs.join(" beside ");
    document.getElementById("files").replaceChildren(...store.files.map(([name, address]) => el("a", { href: address }, name)));
    document.title = `${store.runs.join(" beside ")} · medvista viewer`;
    buildFilters(this.form, store, this.chosen);
    document.getElementById("choose").open = !NARROW.matches;
    this.listen();
    this.followAddress();
  }

  listen() {
    this.form.addEventListener("input", () => this.refilter());
    this.form.addEventListener("submit", (event) => event.preventDefault());
    this.form.addEventListener("reset", () => queueMicrotask(() => this.refilter()));
    document.addEventListener("keydown", (event) => this.key(event));
    addEventListener("hashchange", () => this.followAddress());
    document.getElementById("back").addEventListener("click", () => this.view("list"));
    document.getElementById("close").addEventListener("click", () => document.getElementById("enlarged").close());
    document.getElementById("skip").addEventListener("click", (event) => {
      event.preventDefault();
      this.view("detail");
      document.getElementById("detail").focus();
    });
  }

  // ------------------------------------------------------------------------------------------------------- the address

  followAddress() {
    const asked = new URLSearchParams(location.hash.slice(1));
    const names = FILTERS.filter((name) => asked.get(name));
    const opened = this.find(asked);
    this.chosen = names.length || opened ? Object.fromEntries(names.map((name) => [name, asked.get(name)])) : this.first();
    this.chosen = this.named(this.chosen);
    showChosen(this.form, this.chosen);
    this.apply(opened);
    if (opened) this.view("detail");
  }

  /** What is chosen before anyone has chosen: the arm a reader looks for first, beside its namesake of the other run. */
  first() {
    const { run, arm, mode } = this.store.headline;
    const twin = this.store.sources.find((source) => source.run !== run && source.arm === arm && source.mode === mode);
    return { ...(this.store.runs.length > 1 && { run }), arm, mode, ...(twin && { beside: twin.label }) };
  }

  /** In the form a source is its number; in the address its label, which outlives a rewritten viewer. */
  named(chosen) {
    const source = this.store.sources.find(({ label }) => label === chosen.beside);
    const { beside, ...rest } = chosen;
    return source ? { ...rest, beside: String(source.number) } : rest;
  }

  find(asked) {
    const source = this.store.sources.find(({ label }) => label === asked.get("in"));
    if (!source) return null;
    const of = ({ sample }) => `${sample.benchmark}/${sample.split}/${sample.id}` === asked.get("question");
    const plays = this.store.episodes.filter((episode) => episode.source === source && of(episode));
    return plays[Number(asked.get("sibling") ?? 0)] ?? null;
  }

  address(episode) {
    const asked = new URLSearchParams(this.chosen);
    const beside = besideSource(this.store, this.chosen);
    if (beside) asked.set("beside", beside.label);
    if (episode) {
      asked.set("in", episode.source.label);
      asked.set("question", `${episode.sample.benchmark}/${episode.sample.split}/${episode.sample.id}`);
      if (episode.sibling) asked.set("sibling", episode.sibling);
    }
    return `#${asked}`;
  }

  /** Write the address once a person rests: browsers refuse it at the pace of a key that is held down. */
  remember(episode) {
    clearTimeout(this.writing);
    this.writing = setTimeout(() => history.replaceState(null, "", this.address(episode)), 120);
  }

  // -------------------------------------------------------------------------------------------------- what is listed

  refilter() {
    this.chosen = readFilters(this.form);
    showChosen(this.form, this.chosen);
    this.apply(this.open);
  }

  /** List what fits, and open `wanted` where it does, else the first. */
  apply(wanted) {
    this.shown = fitting(this.store, this.chosen);
    const at = wanted ? this.shown.indexOf(wanted) : -1;
    this.list.show(this.shown, at);
    this.countUp();
    if (at >= 0 || !wanted) this.pick(at >= 0 ? at : 0);
    else if (this.open === wanted) this.pick(0);
    else this.openEpisode(wanted); // a link leads to its episode, listed or not
  }

  countUp() {
    const pair = pairCounts(this.store, this.chosen), summary = document.getElementById("pair");
    summary.hidden = pair === null;
    if (pair) summary.replaceChildren(...pairTables(pair, this.chosen.outcome ?? "", (outcome) => this.chooseOutcome(outcome)));
    const right = this.shown.filter((episode) => episode.right).length, all = this.shown.length;
    const share = all ? `, ${short((100 * right) / all)} % right` : "";
    document.getElementById("status").textContent =
      `${all.toLocaleString("en")} of ${this.store.episodes.length.toLocaleString("en")} episodes${share}`;
  }

  chooseOutcome(outcome) {
    this.form.elements.outcome.value = outcome;
    this.refilter();
  }

  row(episode) {
    const beside = besideSource(this.store, this.chosen);
    const mate = beside && this.store.mate(episode, beside);
    const one = (each) => el("span", { class: "outcome" }, verdict(each), " ", each.answer ?? "");
    return [
      el("span", { class: "question" }, episode.sample.question),
      el("span", { class: "outcomes" }, one(episode), mate && one(mate)),
      el("span", { class: "small" },
        [episode.source.label, episode.tools.join(" + "), episode.failed && "failed call", episode.reward !== null && `reward ${short(episode.reward)}`]
          .filter(Boolean).join(" · ")),
    ];
  }

  // -------------------------------------------------------------------------------------------------- what is opened

  pick(index, byHand = false) {
    const episode = this.shown[index] ?? null;
    this.list.select(episode ? index : -1);
    if (episode) this.openEpisode(episode);
    else this.openNothing();
    if (byHand) this.view("detail");
  }

  openNothing() {
    this.open = null;
    this.remember(null);
    document.getElementById("episodes").replaceChildren(el("p", { class: "nothing" }, "No episode fits these filters."));
  }

  async openEpisode(episode) {
    this.open = episode;
    this.step = 0;
    this.remember(episode);
    const beside = besideSource(this.store, this.chosen);
    const mate = beside && beside !== episode.source ? this.store.mate(episode, beside) ?? null : undefined;
    try {
      const wanted = [episode, mate].filter(Boolean);
      const records = await Promise.all(wanted.map((each) => this.store.record(each)));
      if (this.open !== episode) return; // another one was opened meanwhile
      this.display(wanted, records, mate === null ? beside : null);
      this.prefetch();
    } catch (error) {
      document.getElementById("episodes").replaceChildren(el("p", { class: "nothing" }, `${error.message}: write the viewer again.`));
    }
  }

  display(episodes, records, absent) {
    const articles = episodes.map((episode, index) => episodeArticle(episode, records[index], this.store, this.address(episode)));
    const pane = document.getElementById("episodes");
    pane.classList.toggle("two", articles.length + (absent ? 1 : 0) > 1);
    pane.replaceChildren(
      ...articles,
      ...(absent ? [el("p", { class: "nothing" }, `${absent.label} has no episode of this question.`)] : []));
    document.getElementById("detail").scrollTop = 0;
  }

  /** Load the neighbours' shards, so that the next key finds them there. */
  prefetch() {
    for (const offset of [1, -1]) {
      const next = this.shown[this.list.selected + offset];
      if (next) this.store.record(next).catch(() => {});
    }
  }

  view(name) {
    document.body.dataset.view = name;
    if (NARROW.matches) document.getElementById(name === "list" ? "list" : "back").focus();
  }

  // ------------------------------------------------------------------------------------------------------------- keys

  key(event) {
    if (event.altKey || event.ctrlKey || event.metaKey || document.getElementById("enlarged").open) return;
    if (event.target.closest("input, select, textarea, pre")) {
      if (event.key === "Escape") event.target.blur();
      return;
    }
    const rows = this.list.rowsInSight, last = this.shown.length - 1, at = this.list.selected;
    const inList = event.target.closest("#list") !== null;
    const go = (index) => this.pick(Math.min(Math.max(index, 0), last));
    const keys = {
      ArrowDown: () => go(at + 1),
      ArrowUp: () => go(at - 1),
      ArrowRight: () => this.goStep(1),
      ArrowLeft: () => this.goStep(-1),
      "/": () => { this.view("list"); document.getElementById("choose").open = true; this.form.elements.text.focus(); },
      Escape: () => this.view("list"),
      ...(inList && {
        PageDown: () => go(at + rows), PageUp: () => go(at - rows), Home: () => go(0), End: () => go(last),
        Enter: () => this.view("detail"),
      }),
    };
    if (!Object.hasOwn(keys, event.key)) return;
    event.preventDefault();
    keys[event.key]();
  }

  goStep(by) {
    const most = Math.max(0, ...[...document.querySelectorAll("#episodes [data-step]")].map((step) => Number(step.dataset.step)));
    this.step = Math.min(Math.max(this.step + by, 0), most);
    markStep(this.step);
  }
}

load("index").then(
  (index) => {
    window.app = new App(new Store(index));
    requestAnimationFrame(() => performance.mark("first list")); // for `python -m benchmarks.viewer`
  },
  () => { document.getElementById("status").textContent = "data/index.js is missing: the viewer was not written to its end."; },
);
