/** The books that have failed: why, and how they are asked for again. */

import type { Action, Card } from "./card.js";
import type { Book } from "./catalogue.js";

/**
 * A list of failed books, the latest first, made once it is opened. Rows that stay are left alone, and
 * so is the focus.
 */
export class Failures {
  readonly #root: HTMLDetailsElement;
  readonly #template: HTMLTemplateElement;
  readonly #code: HTMLSelectElement;
  readonly #again: HTMLButtonElement;
  readonly #rows: HTMLElement;
  /** The rows by the ids of their books, in the order in which they are shown. */
  #shown = new Map<string, HTMLTableRowElement>();
  #cards: readonly Card[] = [];

  /**
   * @param act does what the button of a book says.
   * @param ask asks for all of some books again.
   * @param change is called when another code is chosen, and when the list is opened.
   */
  constructor(
    root: HTMLDetailsElement,
    template: HTMLTemplateElement,
    act: (action: Action, book: Book) => void,
    ask: (books: readonly Book[]) => void,
    change: () => void,
  ) {
    this.#root = root;
    this.#template = template;
    this.#code = part(root, "code");
    this.#again = find(root, "[data-do=again]");
    this.#rows = part(root, "rows");
    this.#code.addEventListener("change", change);
    root.addEventListener("toggle", change);
    this.#again.addEventListener("click", () => ask(this.#books()));
    this.#rows.addEventListener("click", (event) => {
      const button = event.target instanceof Element ? event.target.closest("[data-do]") : null;
      const id = button?.closest("tr")?.dataset["book"];
      const book = this.#books().find((one) => one.id === id);
      if (button && book) act(button.getAttribute("data-do") as Action, book);
    });
  }

  /**
   * @param cards all books.
   * @param wanted what is looked for in titles and authors.
   */
  show(cards: Iterable<Card>, wanted: string): void {
    const failed = [...cards].filter((card) => card.narration.error !== null);
    this.#root.hidden = failed.length === 0;
    const said = failed.length === 1 ? "1 book has failed" : `${failed.length} books have failed`;
    write(this.#root, "summary", said);
    const found = failed.filter((card) => card.matches(wanted, ""));
    this.#offerCodes(found.map(codeOf));
    const code = this.#code.value;
    this.#cards = found
      .filter((card) => code === "" || codeOf(card) === code)
      .sort((one, other) => failedAt(other) - failedAt(one) || (idOf(one) < idOf(other) ? -1 : 1));
    this.#again.disabled = this.#cards.length === 0;
    this.#again.textContent = `Generate ${this.#cards.length} again`;
    part(this.#root, "none").hidden = this.#cards.length > 0;
    find(this.#root, "table").hidden = this.#cards.length === 0;
    if (this.#root.open) this.#showRows();
  }

  #books(): Book[] {
    return this.#cards.map((card) => card.book).filter((book) => book !== undefined);
  }

  /** Each code with how many failed with it. The chosen one stays, though none be left. */
  #offerCodes(codes: readonly string[]): void {
    const chosen = this.#code.value;
    const counts = new Map<string, number>(chosen === "" ? [] : [[chosen, 0]]);
    for (const code of codes) counts.set(code, (counts.get(code) ?? 0) + 1);
    const known = [...counts.keys()].sort();
    const options = [`All codes (${codes.length})`, ...known.map((one) => `${one} (${counts.get(one)})`)];
    if (options.join() === [...this.#code.options].map((one) => one.text).join()) return;
    this.#code.replaceChildren(
      ...options.map((text, place) => new Option(text, known[place - 1] ?? "")),
    );
    this.#code.value = chosen;
  }

  #showRows(): void {
    const focused = document.activeElement?.closest("tr") ?? null;
    const place = [...this.#rows.children].findIndex((row) => row === focused);
    const rows = new Map<string, HTMLTableRowElement>();
    for (const card of this.#cards) rows.set(idOf(card), this.#shown.get(idOf(card)) ?? this.#row());
    for (const [id, row] of this.#shown) if (!rows.has(id)) row.remove();
    this.#shown = rows;
    let next = this.#rows.firstElementChild;
    for (const card of this.#cards) {
      const row = rows.get(idOf(card)) as HTMLTableRowElement;
      fill(row, card);
      if (row === next) next = row.nextElementSibling;
      else this.#rows.insertBefore(row, next);
    }
    // Whoever goes through them by keyboard goes on where the row was.
    if (place >= 0 && !focused?.isConnected) {
      const rest = [...rows.values()];
      const row = rest[Math.min(place, rest.length - 1)];
      (row?.querySelector("button") ?? this.#code).focus();
    }
  }

  #row(): HTMLTableRowElement {
    const copy = this.#template.content.firstElementChild?.cloneNode(true);
    if (!(copy instanceof HTMLTableRowElement)) throw new Error("the template holds no row");
    return copy;
  }
}

function fill(row: HTMLTableRowElement, card: Card): void {
  const { book, narration } = card;
  const error = narration.error;
  if (!book || !error) return;
  row.dataset["book"] = book.id;
  write(row, "title", book.title);
  write(row, "code", error.code);
  write(row, "message", error.message);
  const facts = [error.attempts === 1 ? "1 attempt" : `${error.attempts} attempts`];
  if (error.at) facts.push(error.at.toLocaleString());
  write(row, "facts", facts.join(" · "));
  for (const button of row.querySelectorAll("button")) {
    button.setAttribute("aria-label", `${button.textContent}: ${book.title}`);
  }
}

function idOf(card: Card): string {
  return card.book?.id ?? "";
}

function codeOf(card: Card): string {
  return card.narration.error?.code ?? "";
}

function failedAt(card: Card): number {
  return card.narration.error?.at?.getTime() ?? 0;
}

function write(root: HTMLElement, name: string, text: string): void {
  const element = part(root, name);
  if (element.textContent !== text) element.textContent = text;
}

function part<T extends HTMLElement>(root: HTMLElement, name: string): T {
  return find(root, `[data-part="${name}"]`);
}

function find<T extends HTMLElement>(root: HTMLElement, selector: string): T {
  const found = root.querySelector<T>(selector);
  if (!found) throw new Error(`there is no ${selector}`);
  return found;
}
