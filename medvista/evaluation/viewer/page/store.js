"use strict";
/* The data of the page: the index of all episodes, and their full records, a shard at a time. */

const MOST_SHARDS = 24; // kept in memory

const waiting = new Map(); // name of a data script -> what to do with what it hands over

/** Called by every script in data/. */
function receive(name, text) {
  waiting.get(name)?.(JSON.parse(text));
}

/** What a script in data/ holds. A page opened from disk may not read files, but it may load scripts. */
function load(name) {
  return new Promise((resolve, reject) => {
    const script = el("script", { src: `data/${name}.js` });
    const done = (settle, value) => { waiting.delete(name); script.remove(); settle(value); };
    waiting.set(name, (values) => done(resolve, values));
    script.addEventListener("error", () => done(reject, new Error(`data/${name}.js cannot be loaded`)));
    document.head.append(script);
  });
}

class Store {
  constructor(index) {
    this.shardSize = index.shard_size;
    this.tools = index.tools;
    this.files = index.files ?? [];
    this.sources = index.sources.map(({ run, arm, mode, about }, number) => ({ number, run, arm, mode, about }));
    this.runs = [...new Set(this.sources.map((source) => source.run))];
    for (const source of this.sources) source.label = this.label(source);
    this.headline = this.sources[index.headline ?? 0];
    this.samples = index.samples.map(([benchmark, split, id, family, question, gold]) =>
      ({ benchmark, split, id, family, question, gold }));
    this.plays = new Map(); // "source sample" -> its episodes, siblings in order
    this.episodes = index.episodes.map((row, number) => this.episode(row, number));
    this.shards = new Map(); // number -> promise of its records, the one used last at the end
  }

  episode([sample, source, answer, right, reward, tools, failed, stop], number) {
    const key = `${source} ${sample}`;
    if (!this.plays.has(key)) this.plays.set(key, []);
    const siblings = this.plays.get(key);
    const episode = {
      number, answer, reward, stop, right: right === 1, failed: failed === 1, sibling: siblings.length, sampleNumber: sample,
      sample: this.samples[sample], source: this.sources[source], tools: tools.map((tool) => this.tools[tool]),
    };
    siblings.push(episode);
    return episode;
  }

  label({ run, arm, mode }) {
    const own = [arm, mode].filter(Boolean).join(", ");
    return this.runs.length > 1 ? `${run}: ${own}` : own;
  }

  /** The episode of another source on the same question, or undefined. */
  mate(episode, source) {
    const plays = this.plays.get(`${source.number} ${episode.sampleNumber}`) ?? [];
    return plays[episode.sibling] ?? plays[0];
  }

  /** Everything about an episode; loads its shard where it is not there. */
  async record(episode) {
    const records = await this.shard(Math.floor(episode.number / this.shardSize));
    return records[episode.number % this.shardSize];
  }

  shard(number) {
    const records = this.shards.get(number) ?? load(`episodes-${number}`);
    this.shards.delete(number);
    this.shards.set(number, records);
    records.catch(() => this.shards.delete(number));
    if (this.shards.size > MOST_SHARDS) this.shards.delete(this.shards.keys().next().value);
    return records;
  }
}
