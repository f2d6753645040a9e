/** The catalogue as an admin sees it. */

import { cancelNarration, requestNarration, retakeNarration } from "../narration.js";
import { type Action, Card } from "./card.js";
import {
  ADMIN,
  type Book,
  type Draft,
  addBook,
  connect,
  deleteBook,
  editBook,
  watchCatalogue,
} from "./catalogue.js";
import { Failures } from "./failures.js";

function byId<T extends HTMLElement>(id: string): T {
  const found = document.getElementById(id);
  if (!found) throw new Error(`the page holds no #${id}`);
  return found as T;
}

const db = connect(location);
const shelf = byId("shelf");
const template = byId<HTMLTemplateElement>("card");
const editor = byId<HTMLDialogElement>("editor");
const deletion = byId<HTMLDialogElement>("deletion");
const cards = new Map<string, Card>();
/** Whether what all books together say is about to be shown. */
let due = false;

watchCatalogue(db, {
  put(book) {
    let card = cards.get(book.id);
    if (!card) {
      card = new Card(template, act);
      card.element.dataset["book"] = book.id;
      const next = [...shelf.children].find((other) => keyOf(other) > book.id);
      shelf.insertBefore(card.element, next ?? null);
      cards.set(book.id, card);
    }
    card.show(book);
    summarise();
  },
  take(id) {
    cards.get(id)?.element.remove();
    cards.delete(id);
    summarise();
  },
  online(is) {
    const connection = byId("connection");
    connection.dataset["online"] = String(is);
    connection.textContent = is ? "Live" : "Offline";
    summarise();
  },
  refused: complain,
});

const failures = new Failures(
  byId("failures"),
  byId("failure"),
  act,
  askForAll,
  () => summarise(),
);
const search = byId<HTMLInputElement>("search");
const filter = byId<HTMLSelectElement>("filter");
search.addEventListener("input", () => summarise());
filter.addEventListener("change", () => summarise());

byId("add").addEventListener("click", () => void edit(null));
byId("all").addEventListener("click", () => {
  const without = [...cards.values()].filter(
    ({ narration }) => narration.state === "none" && !narration.audio,
  );
  askForAll(without.map((card) => card.book).filter((book) => book !== undefined));
});

function act(action: Action, book: Book, segment = 0): void {
  const done = {
    request: () => requestNarration(db, book.id, ADMIN),
    cancel: () => cancelNarration(db, book.id),
    retake: () => retakeNarration(db, book.id, [segment], ADMIN),
    edit: () => edit(book),
    delete: () => confirmDeletion(book),
  }[action];
  byId("refusal").hidden = true;
  void done().catch(complain);
}

/** Asks for many books: presses of a button go before them, and one that is refused holds up no other. */
function askForAll(books: readonly Book[]): void {
  byId("refusal").hidden = true;
  const asked = books.map((book) => requestNarration(db, book.id, ADMIN, { priority: "bulk" }));
  for (const one of asked) void one.catch(complain);
}

async function edit(book: Book | null): Promise<void> {
  const form = formOf(editor);
  const field = (name: string) => form.elements.namedItem(name) as HTMLInputElement;
  byId("editor-title").textContent = book ? `Edit ${book.title}` : "Add a book";
  field("title").value = book?.title ?? "";
  field("author").value = book?.author ?? "";
  field("text").value = book?.text ?? "";
  const count = () => {
    const text = field("text").value;
    const words = text.split(/\s+/).filter(Boolean).length;
    byId("editor-count").textContent =
      `${words.toLocaleString()} words, ${[...text].length.toLocaleString()} characters`;
  };
  count();
  field("text").oninput = count;
  if ((await answer(editor)) !== "save") return;
  const draft: Draft = {
    title: field("title").value.trim(),
    author: field("author").value.trim(),
    text: field("text").value,
  };
  await (book ? editBook(db, book.id, draft) : addBook(db, draft));
}

async function confirmDeletion(book: Book): Promise<void> {
  byId("deletion-book").textContent = `${book.title}, with its narration.`;
  if ((await answer(deletion)) === "delete") await deleteBook(db, book.id);
}

/** Shows a dialog, and waits for the button it is closed with. */
function answer(dialog: HTMLDialogElement): Promise<string> {
  dialog.returnValue = "";
  dialog.showModal();
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => resolve(dialog.returnValue), { once: true });
  });
}

function formOf(dialog: HTMLDialogElement): HTMLFormElement {
  const form = dialog.querySelector("form");
  if (!form) throw new Error("the dialog holds no form");
  return form;
}

function keyOf(element: Element): string {
  return (element as HTMLElement).dataset["book"] ?? "";
}

function complain(error: Error): void {
  const refusal = byId("refusal");
  refusal.textContent = `The database refused this: ${error.message}`;
  refusal.hidden = false;
}

/** What goes first, by the priority that a request may have. */
const LEVELS = ["now", "normal", "bulk"];

/** Where each waiting book stands: of those of a priority, those asked for first are read first. */
function queue(): void {
  const waiting = [...cards.values()].filter((card) => card.narration.state === "requested");
  waiting.sort((one, other) => level(one) - level(other) || askedAt(one) - askedAt(other));
  for (const card of cards.values()) {
    const place = waiting.indexOf(card);
    card.waits(place < 0 ? null : place + 1, waiting.length);
  }
}

function field(card: Card, name: string): unknown {
  return (card.book?.record as Record<string, unknown> | undefined)?.[name];
}

function level(card: Card): number {
  const named = LEVELS.indexOf(String(field(card, "narrativeAudioPriority")));
  return named < 0 ? LEVELS.indexOf("normal") : named;
}

/** One that is not wanted before some time counts as asked for then. */
function askedAt(card: Card): number {
  const times = ["narrativeAudioRequestedAt", "narrativeAudioNotBefore"].map((name) => field(card, name));
  return Math.max(0, ...times.filter((at) => typeof at === "number"));
}

/** Shows the books that are looked for. */
function sift(): void {
  let shown = 0;
  for (const card of cards.values()) {
    const matches = card.matches(search.value.trim(), filter.value);
    card.element.hidden = !matches;
    if (matches) shown += 1;
  }
  byId("nothing").hidden = shown > 0 || cards.size === 0;
}

/** Shows what all books together say, once for all that comes at a time. */
function summarise(): void {
  if (due) return;
  due = true;
  queueMicrotask(() => {
    due = false;
    showAll();
  });
}

function showAll(): void {
  queue();
  sift();
  failures.show(cards.values(), search.value.trim());
  const states = [...cards.values()].map((card) => card.narration.state);
  const count = (...which: string[]) => states.filter((state) => which.includes(state)).length;
  const parts = [states.length === 1 ? "1 book" : `${states.length} books`, `${count("ready")} ready`];
  if (count("processing")) parts.push(`${count("processing")} in work`);
  if (count("requested")) parts.push(`${count("requested")} waiting`);
  if (count("failed")) parts.push(`${count("failed")} failed`);
  const text = parts.join(", ");
  const summary = byId("summary");
  if (summary.textContent !== text) summary.textContent = text;
}
