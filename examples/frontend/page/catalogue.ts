/** The catalogue as the page keeps it: books in the database, and what an admin does with them. */

import { deleteApp, initializeApp } from "@firebase/app";
import {
  type Database,
  connectDatabaseEmulator,
  getDatabase,
  onChildAdded,
  onChildChanged,
  onChildRemoved,
  onValue,
  push,
  ref,
  remove,
  set,
  update,
} from "@firebase/database";

import { BOOKS } from "../narration.js";

/** Who the page is signed in as; a local Firebase believes it. */
export const ADMIN = "demo-admin";

export interface Book {
  readonly id: string;
  readonly title: string;
  readonly author: string;
  readonly text: string;
  /** The book as it is in the database. */
  readonly record: unknown;
}

export type Draft = Pick<Book, "title" | "author" | "text">;

export interface Shelf {
  put(book: Book): void;
  take(id: string): void;
  online(is: boolean): void;
  refused(error: Error): void;
}

/** Opens the local Firebase that this page came from. */
export function connect(address: Location): Database {
  const namespace = new URLSearchParams(address.search).get("ns") ?? "demo-books";
  const app = initializeApp({ projectId: namespace, databaseURL: `${address.origin}?ns=${namespace}` });
  const db = getDatabase(app);
  connectDatabaseEmulator(db, address.hostname, Number(address.port), {
    mockUserToken: { sub: ADMIN },
  });
  addEventListener("pagehide", () => void deleteApp(app), { once: true });
  return db;
}

/** Fills the shelf, and keeps it as the database is. Each change costs that book alone. */
export function watchCatalogue(db: Database, shelf: Shelf): void {
  const books = ref(db, BOOKS);
  const refused = (error: Error) => shelf.refused(error);
  onChildAdded(books, (book) => shelf.put(bookOf(book.key, book.val())), refused);
  onChildChanged(books, (book) => shelf.put(bookOf(book.key, book.val())), refused);
  onChildRemoved(books, (book) => shelf.take(book.key ?? ""), refused);
  onValue(ref(db, ".info/connected"), (now) => shelf.online(now.val() === true));
}

export async function addBook(db: Database, draft: Draft): Promise<void> {
  await set(push(ref(db, BOOKS)), fieldsOf(draft));
}

export async function editBook(db: Database, id: string, draft: Draft): Promise<void> {
  await update(ref(db, `${BOOKS}/${id}`), fieldsOf(draft));
}

export async function deleteBook(db: Database, id: string): Promise<void> {
  await remove(ref(db, `${BOOKS}/${id}`));
}

function fieldsOf(draft: Draft): Record<string, string | null> {
  return { title: draft.title, author: draft.author || null, narrative: draft.text || null };
}

function bookOf(id: string | null, record: unknown): Book {
  const fields = typeof record === "object" && record !== null ? record : {};
  const text = (name: string) => {
    const value = (fields as Record<string, unknown>)[name];
    return typeof value === "string" ? value : "";
  };
  return {
    id: id ?? "",
    title: text("title") || id || "",
    author: text("author"),
    text: text("narrative"),
    record,
  };
}
