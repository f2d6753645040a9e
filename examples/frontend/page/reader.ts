/** The text of a book as it is read aloud: the word that is heard is marked, and a press plays from there. */

import { type Words, segmentAt, wordAt } from "../narration.js";

/** Shows one text. What it shows is text alone, whatever it holds. */
export class Reader {
  readonly #element: HTMLElement;
  readonly #told: HTMLElement;
  readonly #audio: HTMLAudioElement;
  #words: Words | null = null;
  #spans: HTMLElement[] = [];
  #heard = -1;
  #chosen = -1;
  #frame = 0;

  /**
   * @param element holds the text, and takes the keys.
   * @param told says the word that the keys have chosen, for who does not see it.
   * @param audio plays.
   */
  constructor(element: HTMLElement, told: HTMLElement, audio: HTMLAudioElement) {
    this.#element = element;
    this.#told = told;
    this.#audio = audio;
    for (const event of ["play", "seeking", "timeupdate"]) {
      audio.addEventListener(event, () => this.#follow());
    }
    element.addEventListener("click", (event) => this.#press(event));
    element.addEventListener("keydown", (event) => this.#key(event));
  }

  /** The number of the segment of the word that was chosen, or else is heard; the first's before. */
  get segment(): number | null {
    const number = this.#chosen < 0 ? Math.max(this.#heard, 0) : this.#chosen;
    const word = this.#words?.words[number];
    return this.#words && word ? segmentAt(this.#words, word.from) : null;
  }

  /** Shows a text; null takes it away. */
  show(text: string, words: Words | null): void {
    this.#words = words;
    this.#spans = [];
    this.#heard = this.#chosen = -1;
    const parts: (string | HTMLElement)[] = [];
    let done = 0;
    for (const [number, word] of (words?.words ?? []).entries()) {
      parts.push(text.slice(done, word.from));
      const span = document.createElement("span");
      span.textContent = text.slice(word.from, word.to);
      span.dataset["word"] = String(number);
      this.#spans.push(span);
      parts.push(span);
      done = word.to;
    }
    parts.push(text.slice(done));
    this.#element.replaceChildren(...(words ? parts : []));
    this.#follow();
  }

  /** Marks the word that is heard, for as long as it plays. */
  #follow(): void {
    cancelAnimationFrame(this.#frame);
    if (!this.#words || this.#element.offsetParent === null) return;
    this.#mark(wordAt(this.#words.words, this.#audio.currentTime));
    if (!this.#audio.paused) this.#frame = requestAnimationFrame(() => this.#follow());
  }

  #mark(number: number): void {
    if (number === this.#heard) return;
    this.#spans[this.#heard]?.removeAttribute("aria-current");
    this.#heard = number;
    const span = this.#spans[number];
    span?.setAttribute("aria-current", "true");
    if (span && !this.#audio.paused) this.#keepInView(span);
  }

  /** Scrolls the text, and not the page, once the word is out of sight. */
  #keepInView(span: HTMLElement): void {
    const box = this.#element.getBoundingClientRect();
    const word = span.getBoundingClientRect();
    if (word.top < box.top || word.bottom > box.bottom) {
      this.#element.scrollTop += word.top - box.top - box.height / 3;
    }
  }

  #press(event: MouseEvent): void {
    const span = event.target instanceof Element ? event.target.closest("[data-word]") : null;
    if (span instanceof HTMLElement) this.#playFrom(Number(span.dataset["word"]));
  }

  #key(event: KeyboardEvent): void {
    const last = this.#spans.length - 1;
    const at = this.#chosen < 0 ? Math.max(this.#heard, 0) : this.#chosen;
    const moves: Record<string, number> = {
      ArrowRight: at + 1,
      ArrowDown: at + 10,
      ArrowLeft: at - 1,
      ArrowUp: at - 10,
      Home: 0,
      End: last,
    };
    const to = moves[event.key];
    if (to !== undefined) this.#choose(Math.min(last, Math.max(0, to)));
    else if (event.key === "Enter") this.#playFrom(at);
    else if (event.key === " ") void (this.#audio.paused ? this.#play() : this.#audio.pause());
    else return;
    event.preventDefault();
  }

  #choose(number: number): void {
    this.#spans[this.#chosen]?.classList.remove("chosen");
    this.#chosen = number;
    const span = this.#spans[number];
    if (!span) return;
    span.classList.add("chosen");
    this.#keepInView(span);
    this.#told.textContent = span.textContent;
  }

  #playFrom(number: number): void {
    const word = this.#words?.words[number];
    if (!word) return;
    this.#spans[this.#chosen]?.classList.remove("chosen");
    this.#chosen = -1;
    this.#audio.currentTime = word.start;
    void this.#play();
  }

  #play(): Promise<void> {
    return this.#audio.play().catch(() => undefined);
  }
}
