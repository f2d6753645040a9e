/** One book on the page. */

import { type Narration, type NarrationAudio, isOutdated, lightest, narrationOf } from "../narration.js";
import type { Book } from "./catalogue.js";

const STATES: Record<Narration["state"], string> = {
  none: "No narrative",
  requested: "Waiting",
  processing: "Narrating",
  ready: "Ready",
  failed: "Failed",
};

export type Action = "request" | "cancel" | "edit" | "delete";

/** A list item that shows a book. Parts that did not change are left alone, and so is what plays. */
export class Card {
  readonly element: HTMLLIElement;
  readonly #audio: HTMLAudioElement;
  #shown: NarrationAudio | null = null;
  #book: Book | undefined;

  constructor(template: HTMLTemplateElement, act: (action: Action, book: Book) => void) {
    const copy = template.content.firstElementChild?.cloneNode(true);
    if (!(copy instanceof HTMLLIElement)) throw new Error("the template holds no list item");
    this.element = copy;
    this.#audio = this.#find("audio");
    this.#audio.addEventListener("error", () => this.#swap(true));
    this.#audio.addEventListener("play", () => this.#onlyThis());
    this.element.addEventListener("click", (event) => {
      const button = event.target instanceof Element ? event.target.closest("[data-do]") : null;
      const action = button?.getAttribute("data-do");
      if (action && this.#book) act(action as Action, this.#book);
    });
  }

  get book(): Book | undefined {
    return this.#book;
  }

  get narration(): Narration {
    return narrationOf(this.#book?.record);
  }

  show(book: Book): void {
    this.#book = book;
    const narration = this.narration;
    const busy = narration.state === "requested" || narration.state === "processing";
    this.element.dataset["book"] = book.id;
    this.element.dataset["state"] = narration.state;
    this.#write("title", book.title);
    this.#write("author", book.author);
    this.#write("state", STATES[narration.state]);
    this.#write("text", book.text || "This book has no text.");
    this.#write("error", narration.error?.message ?? "");
    this.#part("error").hidden = narration.error === null;
    this.#showProgress(book, narration);
    this.#showAudio(book, narration.audio);
    const again = narration.audio || narration.error ? "Generate again" : "Generate narrative";
    this.#button("request", again, book).hidden = busy;
    this.#button("cancel", "Cancel", book).hidden = !busy;
    this.#button("edit", "Edit", book);
    this.#button("delete", "Delete", book);
  }

  #showProgress(book: Book, narration: Narration): void {
    const share = narration.progress;
    this.#part("progress").hidden = narration.state !== "processing";
    this.#write("percent", `${Math.round(share * 100)} %`);
    const bar = this.#find<HTMLProgressElement>("progress");
    bar.value = share;
    bar.setAttribute("aria-label", `Narration of ${book.title}`);
  }

  #showAudio(book: Book, audio: NarrationAudio | null): void {
    this.#part("player").hidden = audio === null;
    this.#audio.setAttribute("aria-label", `Narration of ${book.title}`);
    const other = audio?.id !== this.#shown?.id;
    this.#shown = audio;
    if (other || this.#audio.paused) this.#swap(false);
    if (audio === null) return;
    const facts = [`${Math.round(audio.seconds)} s`];
    if (audio.madeAt) facts.push(audio.madeAt.toLocaleString());
    const note = facts.join(" · ");
    this.#write("facts", note);
    void isOutdated(audio, book.text).then((outdated) => {
      if (this.#shown === audio && outdated) {
        this.#write("facts", `${note} · the text has changed since`);
      }
    });
  }

  /**
   * Plays from the newest URL. One that was renewed plays on where the old one was; what plays now
   * is left alone until it stops or its URL has died.
   */
  #swap(broken: boolean): void {
    const url = this.#shown ? lightest(this.#shown) : "";
    if (this.#audio.getAttribute("src") === (url || null)) return;
    if (url === "") {
      this.#audio.removeAttribute("src");
      delete this.#audio.dataset["id"];
      this.#audio.load();
      return;
    }
    const same = this.#audio.dataset["id"] === this.#shown?.id;
    const at = same ? this.#audio.currentTime : 0;
    const plays = broken && same && !this.#audio.paused;
    this.#audio.dataset["id"] = this.#shown?.id ?? "";
    this.#audio.src = url;
    if (at > 0) this.#audio.currentTime = at;
    if (plays) void this.#audio.play().catch(() => undefined);
  }

  #onlyThis(): void {
    for (const other of document.querySelectorAll("audio")) {
      if (other !== this.#audio) other.pause();
    }
  }

  #button(action: Action, name: string, book: Book): HTMLButtonElement {
    const button = this.#find<HTMLButtonElement>(`[data-do="${action}"]`);
    if (button.textContent !== name) button.textContent = name;
    button.setAttribute("aria-label", `${name}: ${book.title}`);
    return button;
  }

  #write(part: string, text: string): void {
    const element = this.#part(part);
    if (element.textContent !== text) element.textContent = text;
  }

  #part(name: string): HTMLElement {
    return this.#find(`[data-part="${name}"]`);
  }

  #find<T extends HTMLElement>(selector: string): T {
    const found = this.element.querySelector<T>(selector);
    if (!found) throw new Error(`the card holds no ${selector}`);
    return found;
  }
}
