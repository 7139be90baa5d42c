"use strict";
/* A list of any length of which only the rows in sight exist. */

const ROW_HEIGHT = 88; // pixels, as in viewer.css
const BEYOND = 6; // rows kept above and below what is in sight

class VirtualList {
  /** `onPick(index)` is told of the row that a person picks; `draw(item)` gives a row's children. */
  constructor(viewport, rows, draw, onPick) {
    Object.assign(this, { viewport, rows, draw, onPick, items: [], selected: -1, due: false });
    viewport.addEventListener("scroll", () => this.later(), { passive: true });
    new ResizeObserver(() => this.later()).observe(viewport);
    rows.addEventListener("click", (event) => {
      const row = event.target.closest("[role=option]");
      if (row) onPick(Number(row.dataset.index));
    });
  }

  show(items, selected) {
    this.items = items;
    this.rows.style.height = `${items.length * ROW_HEIGHT}px`;
    this.select(selected);
  }

  select(index) {
    this.selected = index;
    if (index >= 0) this.reveal(index);
    this.render();
  }

  /** Scroll no further than it takes to see a row. */
  reveal(index) {
    const top = index * ROW_HEIGHT, { scrollTop, clientHeight } = this.viewport;
    if (top < scrollTop) this.viewport.scrollTop = top;
    else if (top + ROW_HEIGHT > scrollTop + clientHeight) this.viewport.scrollTop = top + ROW_HEIGHT - clientHeight;
  }

  get rowsInSight() {
    return Math.max(1, Math.floor(this.viewport.clientHeight / ROW_HEIGHT));
  }

  later() {
    if (this.due) return;
    this.due = true;
    requestAnimationFrame(() => { this.due = false; this.render(); });
  }

  render() {
    const first = Math.max(0, Math.floor(this.viewport.scrollTop / ROW_HEIGHT) - BEYOND);
    const last = Math.min(this.items.length, first + this.rowsInSight + 1 + 2 * BEYOND);
    const rows = [];
    for (let index = first; index < last; index++) rows.push(this.row(index));
    this.rows.replaceChildren(...rows);
    const active = this.selected >= first && this.selected < last ? `row-${this.selected}` : null;
    if (active) this.viewport.setAttribute("aria-activedescendant", active);
    else this.viewport.removeAttribute("aria-activedescendant");
  }

  row(index) {
    const row = el("div", {
      role: "option", id: `row-${index}`, "data-index": index, "aria-selected": String(index === this.selected),
      "aria-posinset": index + 1, "aria-setsize": this.items.length,
    }, this.draw(this.items[index]));
    row.style.top = `${index * ROW_HEIGHT}px`;
    return row;
  }
}
