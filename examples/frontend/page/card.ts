/** One book on the page. */

import {
  type Narration,
  type NarrationAudio,
  isOutdated,
  lightest,
  loadWords,
  narrationOf,
} from "../narration.js";
import type { Book } from "./catalogue.js";
import { Reader } from "./reader.js";

const STATES: Record<Narration["state"], string> = {
  none: "No narrative",
  requested: "Waiting",
  processing: "Narrating",
  ready: "Ready",
  failed: "Failed",
};

/** What the filter calls the states. */
const STATE_GROUPS: Record<string, readonly Narration["state"][]> = {
  none: ["none"],
  work: ["requested", "processing"],
  ready: ["ready"],
  failed: ["failed"],
};

export type Action = "request" | "cancel" | "edit" | "delete" | "retake";

/** Seconds as players show them: 2:48. */
function clock(seconds: number): string {
  const whole = Math.floor(seconds);
  const parts = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60, whole % 60];
  const shown = parts[0] ? parts : parts.slice(1);
  return shown.map((part, place) => (place ? String(part).padStart(2, "0") : part)).join(":");
}

/** A time to come at a glance: of another day with its date; one that is over is soon. */
function around(time: Date): string {
  if (time.getTime() < Date.now()) return "soon";
  const clockTime = time.toLocaleTimeString([], { hour: "numeric", minute: "2-digit" });
  const today = time.toDateString() === new Date().toDateString();
  return today ? `at ${clockTime}` : `on ${time.toLocaleDateString()} at ${clockTime}`;
}

/** A list item that shows a book. Parts that did not change are left alone, and so is what plays. */
export class Card {
  readonly element: HTMLLIElement;
  readonly #audio: HTMLAudioElement;
  readonly #reader: Reader;
  #shown: NarrationAudio | null = null;
  #book: Book | undefined;
  /** The audio whose text is open to be read along. */
  #open: string | null = null;

  /** @param act does what a button says; of a retake it is told the number of the segment. */
  constructor(
    template: HTMLTemplateElement,
    act: (action: Action, book: Book, segment: number) => void,
  ) {
    const copy = template.content.firstElementChild?.cloneNode(true);
    if (!(copy instanceof HTMLLIElement)) throw new Error("the template holds no list item");
    this.element = copy;
    this.#audio = this.#find("audio");
    this.#reader = new Reader(this.#part("words"), this.#part("word"), this.#audio);
    this.#audio.addEventListener("error", () => this.#swap(true));
    this.#audio.addEventListener("play", () => this.#onlyThis());
    this.element.addEventListener("click", (event) => {
      const button = event.target instanceof Element ? event.target.closest("[data-do]") : null;
      const action = button?.getAttribute("data-do");
      if (action === "read") void this.#readAlong();
      else if (action && this.#book) act(action as Action, this.#book, this.#reader.segment ?? 0);
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
    this.#write("text", book.text || "This book has no text.");
    this.#write("error", narration.error?.message ?? "");
    this.#part("error").hidden = narration.error === null;
    this.#showProgress(book, narration);
    this.#write("ready-by", narration.readyBy ? `Probably ready ${around(narration.readyBy)}` : "");
    this.#part("ready-by").hidden = narration.readyBy === null;
    this.#showAudio(book, narration.audio);
    const again = narration.audio || narration.error ? "Generate again" : "Generate narrative";
    this.#button("request", again, book).hidden = busy;
    this.#button("cancel", "Cancel", book).hidden = !busy;
    this.#button("read", this.#open === null ? "Read along" : "Close the text", book);
    this.#button("retake", "Read this passage again", book).hidden = busy;
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
    const facts = [clock(audio.seconds)];
    if (audio.madeAt) facts.push(audio.madeAt.toLocaleString());
    const note = facts.join(" · ");
    this.#write("facts", note);
    void isOutdated(audio, book.text).then((outdated) => {
      if (this.#shown !== audio) return;
      if (outdated) this.#write("facts", `${note} · the text has changed since`);
      // Places are those of the text that was read.
      const readable = !outdated && audio.captions.words !== null;
      this.#find("[data-do=read]").hidden = !readable;
      if (this.#open !== null && (!readable || this.#open !== audio.id)) this.#closeText();
    });
  }

  /** Opens the text to be read along, or closes it. */
  async #readAlong(): Promise<void> {
    const [audio, book] = [this.#shown, this.#book];
    if (!audio || !book) return;
    if (this.#open !== null) return this.#closeText();
    this.#open = audio.id;
    this.#button("read", "Close the text", book);
    const words = await loadWords(audio).catch(() => null);
    if (this.#open !== audio.id) return;
    this.#part("reading").hidden = false;
    const box = this.#part("words");
    box.setAttribute("aria-label", `Text of ${book.title}`);
    this.#reader.show(book.text, words);
    if (words) box.focus({ preventScroll: true });
    else box.textContent = "It is not known when the words are heard.";
  }

  #closeText(): void {
    this.#open = null;
    this.#part("reading").hidden = true;
    this.#reader.show("", null);
    if (this.#book) this.#button("read", "Read along", this.#book);
  }

  /** Says how many are asked for before this book; null where it does not wait. */
  waits(place: number | null, count: number): void {
    const text = place === null ? STATES[this.narration.state] : `Waiting, ${place} of ${count}`;
    this.#write("state", text);
  }

  /** Whether it is one of those that are looked for. */
  matches(wanted: string, state: string): boolean {
    const book = this.#book;
    const named = `${book?.title ?? ""} ${book?.author ?? ""}`.toLowerCase();
    const stands = state === "" || STATE_GROUPS[state]?.includes(this.narration.state) === true;
    return stands && wanted.toLowerCase().split(/\s+/).every((word) => named.includes(word));
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

  #button(action: Action | "read", name: string, book: Book): HTMLButtonElement {
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
