/** The catalogue as an admin sees it. */

import { cancelNarration, requestNarration } from "../narration.js";
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

byId("add").addEventListener("click", () => void edit(null));
byId("all").addEventListener("click", () => {
  for (const card of cards.values()) {
    if (card.book && card.narration.state === "none" && !card.narration.audio) {
      act("request", card.book);
    }
  }
});

function act(action: Action, book: Book): void {
  const done = {
    request: () => requestNarration(db, book.id, ADMIN),
    cancel: () => cancelNarration(db, book.id),
    edit: () => edit(book),
    delete: () => confirmDeletion(book),
  }[action];
  byId("refusal").hidden = true;
  void done().catch(complain);
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

function summarise(): void {
  const states = [...cards.values()].map((card) => card.narration.state);
  const count = (...which: string[]) => states.filter((state) => which.includes(state)).length;
  const busy = count("requested", "processing");
  const parts = [states.length === 1 ? "1 book" : `${states.length} books`, `${count("ready")} ready`];
  if (busy) parts.push(`${busy} in work`);
  if (count("failed")) parts.push(`${count("failed")} failed`);
  const text = parts.join(", ");
  const summary = byId("summary");
  if (summary.textContent !== text) summary.textContent = text;
}
